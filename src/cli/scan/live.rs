//! The live table: one thread asks the gateway and waits for signals, this one draws and reads keys.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use super::gateway::{Gateway, pause};
use super::view::Screen;
use crate::cli::common::write_new;
use crate::cli::exit;
use crate::config::MeterList;
use crate::health::heard::HeardMeter;
use crate::scan::report::csv_rows;
use crate::scan::row::Row;
use crate::scan::watch::Watch;
use crate::world::Clock;

/// How often the gateway is asked at most.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How long a key or a signal waits at most.
const BEAT: Duration = Duration::from_millis(100);

type Heard = Result<Vec<HeardMeter>, String>;

/// Shows the table until somebody or a signal ends it.
pub(super) fn run(gateway: Gateway, list: MeterList, clock: Clock) -> Result<u8, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, hears) = sync_channel(1);
    let asker = (gateway.clone(), clock.clone(), Arc::clone(&stop));
    thread::spawn(move || {
        let (gateway, clock, stop) = asker;
        let asked = super::on_runtime(ask(&gateway, &clock, &told, &stop));
        stop.store(true, Ordering::Relaxed);
        asked
    });
    let mut live =
        Live { gateway, list, clock, watch: Watch::default(), last: Vec::new(), screen: Screen::default() };
    // Signals are heard from here on. What is wrong at once is said on a terminal as it was.
    match hears.recv() {
        Ok(first) => live.take(Ok(first?)),
        Err(_) => return Ok(exit::OK),
    }
    let terminal = Terminal::open().map_err(|error| error.to_string())?;
    let ended = live.turn(terminal, &hears, &stop);
    // A line that is gone cannot be written to; that is no failure of the table.
    match ended {
        Err(error) if !stop.load(Ordering::Relaxed) => Err(error.to_string()),
        _ => Ok(exit::OK),
    }
}

/// Asks on and on; an answer that nobody has looked at yet is not joined by a second one.
async fn ask(
    gateway: &Gateway,
    clock: &Clock,
    told: &SyncSender<Heard>,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let asking = async {
        loop {
            let heard = gateway.heard().await;
            let pause = pause(EVERY, heard.as_ref().map_or(0, Vec::len));
            let _ = told.try_send(heard);
            clock.sleep(pause).await;
        }
    };
    tokio::select! {
        () = asking => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = hangup.recv() => {}
    }
    stop.store(true, Ordering::Relaxed);
    Ok(())
}

/// The terminal in raw mode; as it was once this is dropped. A panic restores it before its message is written.
struct Terminal(ratatui::DefaultTerminal);

impl Terminal {
    fn open() -> io::Result<Self> {
        // What fails half-way is put back.
        ratatui::try_init().map(Self).inspect_err(|_| drop(ratatui::try_restore()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
    }
}

struct Live {
    gateway: Gateway,
    list: MeterList,
    clock: Clock,
    watch: Watch,
    /// The last answer, for counting anew.
    last: Vec<HeardMeter>,
    screen: Screen,
}

impl Live {
    fn turn(&mut self, mut terminal: Terminal, hears: &Receiver<Heard>, stop: &AtomicBool) -> io::Result<()> {
        let mut changed = true;
        while !stop.load(Ordering::Relaxed) {
            if let Ok(heard) = hears.try_recv() {
                self.take(heard);
                changed = true;
            }
            if std::mem::take(&mut changed) {
                terminal.0.draw(|frame| self.screen.draw(frame))?;
            }
            if !event::poll(BEAT)? {
                continue;
            }
            // A key, or another size of the terminal.
            changed = true;
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && !self.press(key)
            {
                return Ok(());
            }
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.uptime().0.as_millis()).unwrap_or(u64::MAX)
    }

    fn take(&mut self, heard: Heard) {
        match heard {
            Ok(heard) => {
                self.screen.trouble = None;
                self.last.clone_from(&heard);
                let now = self.now();
                let mut rows = self.watch.observe(heard, now);
                self.gateway.name(&mut rows, &self.list);
                self.screen.watched = self.watch.watched(now);
                self.screen.table.update(rows);
            }
            Err(trouble) => self.screen.trouble = Some(trouble),
        }
    }

    /// What a key does; `false` ends it.
    fn press(&mut self, key: KeyEvent) -> bool {
        self.screen.said = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return false,
            code if self.screen.typing => self.type_filter(code),
            KeyCode::Char('q') => return false,
            KeyCode::Char('s') => self.screen.table.sort_next(),
            KeyCode::Char('r') => self.screen.table.reverse(),
            KeyCode::Char('/' | 'f') => self.screen.typing = true,
            KeyCode::Char(' ') => self.screen.table.freeze(),
            KeyCode::Char('z') => {
                let now = self.now();
                self.watch.begin(&self.last, None, now);
                let said = "Counting begins anew: got% and reception are of what is heard from now on.";
                self.screen.said = Some(said.to_owned());
            }
            KeyCode::Char('w') => self.screen.said = Some(self.save()),
            KeyCode::Esc => self.screen.table.set_filter(""),
            KeyCode::Down | KeyCode::Char('j') => self.screen.table.choose(1),
            KeyCode::Up | KeyCode::Char('k') => self.screen.table.choose(-1),
            KeyCode::PageDown => self.screen.table.choose(10),
            KeyCode::PageUp => self.screen.table.choose(-10),
            KeyCode::Home => self.screen.table.choose(isize::MIN),
            KeyCode::End => self.screen.table.choose(isize::MAX),
            _ => {}
        }
        true
    }

    fn type_filter(&mut self, code: KeyCode) {
        let table = &mut self.screen.table;
        let mut filter = table.filter().to_owned();
        match code {
            KeyCode::Enter => self.screen.typing = false,
            KeyCode::Esc => {
                self.screen.typing = false;
                table.set_filter("");
            }
            KeyCode::Backspace => {
                filter.pop();
                table.set_filter(&filter);
            }
            KeyCode::Char(letter) => {
                filter.push(letter);
                table.set_filter(&filter);
            }
            KeyCode::Down => table.choose(1),
            KeyCode::Up => table.choose(-1),
            _ => {}
        }
    }

    /// Saves what is shown, in a new file here.
    fn save(&self) -> String {
        let now = jiff::Timestamp::from_second(self.clock.kernel()).unwrap_or_default();
        let file = PathBuf::from(format!("vesigate-scan-{}.csv", now.strftime("%Y%m%dT%H%M%SZ")));
        let shown: Vec<&Row> = self.screen.table.shown();
        let saved = csv_rows(shown.iter().copied()).and_then(|text| write_new(&file, &text));
        match saved {
            Ok(()) => format!("{} meters saved as {}", shown.len(), file.display()),
            Err(error) => error,
        }
    }
}
