//! A dongle plugged into a pseudo-terminal, with all that can happen to it there.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{
    dongle::{Dongle, Mode, NotATelegram, check},
    fault::{Fault, Kind, Line},
    pty::Pty,
};

/// So many bytes wait for the host; then the air waits, too.
const WAITING: usize = 16 * 1024;
/// Between two pieces of a split frame.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two looks whether a host listens that says nothing.
const LOOK: Duration = Duration::from_millis(20);

/// A running virtual dongle. Dropping it unplugs it for good.
#[derive(Debug)]
pub struct Plugged {
    link: PathBuf,
    air: mpsc::Sender<OnAir>,
    orders: mpsc::Sender<(Order, oneshot::Sender<io::Result<()>>)>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

/// What can be seen of a virtual dongle from outside.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    /// The device node, while plugged in.
    pub device: Option<PathBuf>,
    /// Whether a host has spoken to it since it was plugged in or the host closed the port; of a dongle that nobody speaks
    /// to, whether a host has opened the port and set its speed.
    pub listening: bool,
    /// The line's speed as the host has set it, in baud.
    pub speed: u32,
    /// What it listens for.
    pub modes: Vec<Mode>,
    /// Times the host sent something.
    pub inputs: u64,
    /// Telegrams passed on to the host.
    pub passed_on: u64,
    /// Telegrams on the air that the host did not get: another mode, nobody listening, mute, or unplugged.
    pub missed: u64,
}

#[derive(Debug)]
struct OnAir {
    /// As the meters in the dongle's reach usually send, if not given.
    mode: Option<Mode>,
    telegram: Vec<u8>,
    rssi_dbm: i16,
}

#[derive(Debug)]
enum Order {
    Fault(Fault),
    Interject(OnAir),
    Raw(Vec<u8>),
    Mute(bool),
    Split(Option<usize>),
    Reboot,
    Unplug,
    Replug,
}

impl Plugged {
    /// Plugs a dongle in; `link` leads to its device node. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`Pty::new`].
    pub fn plug_in(link: &Path, device: Box<dyn Dongle>) -> io::Result<Self> {
        let (air, on_air) = mpsc::channel(64);
        let (orders, orders_in) = mpsc::channel(16);
        let (state_out, state) = watch::channel(State::default());
        let mut socket = Socket {
            link: link.into(),
            last_node: PathBuf::new(),
            pty: None,
            device,
            line: Line::default(),
            waiting: VecDeque::new(),
            late: Vec::new(),
            split: None,
            pause: None,
            look: None,
            state: state_out,
        };
        socket.plug()?;
        let task = tokio::spawn(socket.run(on_air, orders_in));
        Ok(Self { link: link.into(), air, orders, state, task })
    }

    /// The link that leads to the device node.
    pub fn link(&self) -> &Path {
        &self.link
    }

    /// What can be seen from outside, now and as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// A telegram, beginning with its length byte and without link-layer CRCs, is on the air, as the meters in the dongle's
    /// reach usually send: in mode C1, frame format A, where it can hear that.
    ///
    /// # Errors
    /// [`NotATelegram`] if the length byte is wrong.
    pub async fn hear(&self, telegram: &[u8], rssi_dbm: i16) -> Result<(), NotATelegram> {
        self.send(None, telegram, rssi_dbm).await
    }

    /// The same in another mode.
    ///
    /// # Errors
    /// [`NotATelegram`] if the length byte is wrong.
    pub async fn hear_in(&self, mode: Mode, telegram: &[u8], rssi_dbm: i16) -> Result<(), NotATelegram> {
        self.send(Some(mode), telegram, rssi_dbm).await
    }

    async fn send(&self, mode: Option<Mode>, telegram: &[u8], rssi_dbm: i16) -> Result<(), NotATelegram> {
        check(telegram)?;
        // The task takes telegrams for as long as this handle lives.
        let _ = self.air.send(OnAir { mode, telegram: telegram.into(), rssi_dbm }).await;
        Ok(())
    }

    /// The telegram comes between the next request of the host and its reply.
    ///
    /// # Errors
    /// [`NotATelegram`] if the length byte is wrong.
    pub async fn interject(&self, telegram: &[u8], rssi_dbm: i16) -> Result<(), NotATelegram> {
        check(telegram)?;
        let _ = self.order(Order::Interject(OnAir { mode: None, telegram: telegram.into(), rssi_dbm })).await;
        Ok(())
    }

    /// Lets something go wrong with one of the next frames.
    pub async fn fault(&self, fault: Fault) {
        let _ = self.order(Order::Fault(fault)).await;
    }

    /// Sends these very bytes to the host now.
    pub async fn send_raw(&self, bytes: &[u8]) {
        let _ = self.order(Order::Raw(bytes.into())).await;
    }

    /// Falls mute, or comes back: nothing reaches the host meanwhile.
    pub async fn mute(&self, mute: bool) {
        let _ = self.order(Order::Mute(mute)).await;
    }

    /// From now on sends at most so many bytes at a time.
    pub async fn split(&self, size: Option<usize>) {
        let _ = self.order(Order::Split(size)).await;
    }

    /// Reboots: forgets what was set in RAM only.
    pub async fn reboot(&self) {
        let _ = self.order(Order::Reboot).await;
    }

    /// Pulls it out: the line is hung up and the link is gone.
    pub async fn unplug(&self) {
        let _ = self.order(Order::Unplug).await;
    }

    /// Plugs it in again, under another device node than before. Its RAM settings are gone.
    ///
    /// # Errors
    /// See [`Pty::new`].
    pub async fn replug(&self) -> io::Result<()> {
        self.order(Order::Replug).await
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        let _ = self.orders.send((order, done)).await;
        wait.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Socket {
    link: PathBuf,
    last_node: PathBuf,
    pty: Option<Pty>,
    device: Box<dyn Dongle>,
    line: Line,
    /// On its way to the host.
    waiting: VecDeque<u8>,
    late: Vec<(Instant, Vec<u8>)>,
    split: Option<usize>,
    pause: Option<Instant>,
    /// When to look whether a silent host listens.
    look: Option<Instant>,
    state: watch::Sender<State>,
}

impl Socket {
    async fn run(
        mut self,
        mut air: mpsc::Receiver<OnAir>,
        mut orders: mpsc::Receiver<(Order, oneshot::Sender<io::Result<()>>)>,
    ) {
        let mut buffer = [0; 1024];
        loop {
            let late = self.late.iter().map(|(due, _)| *due).min();
            tokio::select! {
                biased;
                Some(heard) = air.recv(), if self.waiting.len() < WAITING => self.hear(heard),
                order = orders.recv() => match order {
                    Some((order, done)) => {
                        let result = self.carry_out(order);
                        let _ = done.send(result);
                    }
                    None => return,
                },
                read = read(self.pty.as_ref(), &mut buffer) => match read {
                    Ok(count) if count > 0 => self.input(buffer.get(..count).unwrap_or_default()),
                    _ => self.closed_by_host(),
                },
                () = at(late), if late.is_some() => self.deliver_late(),
                () = at(self.look), if self.look.is_some() => self.look_for_host(),
                () = at(self.pause), if self.pause.is_some() => self.pause = None,
                written = write(self.pty.as_ref(), &self.waiting, self.split), if self.pause.is_none() => match written {
                    Ok(count) => {
                        self.waiting.drain(..count.min(self.waiting.len()));
                        self.pause = self.split.map(|_| Instant::now() + PAUSE);
                    }
                    Err(_) => self.closed_by_host(),
                },
            }
        }
    }

    fn hear(&mut self, heard: OnAir) {
        let speed = self.speed();
        let listening = self.state.borrow().listening;
        let mode = heard.mode.unwrap_or_else(|| self.device.usual_mode());
        let frame = self.device.hear(mode, &heard.telegram, heard.rssi_dbm, speed).ok().flatten();
        let passed_on = match frame.filter(|_| listening) {
            Some(frame) => self.send(Kind::Indication, frame),
            None => false,
        };
        self.state.send_modify(|state| {
            *(if passed_on { &mut state.passed_on } else { &mut state.missed }) += 1;
        });
    }

    fn input(&mut self, bytes: &[u8]) {
        let speed = self.speed();
        for reply in self.device.input(bytes, speed) {
            self.send(Kind::Reply, reply);
        }
        let modes = self.modes();
        self.state.send_modify(|state| {
            state.listening = true;
            state.inputs += 1;
            (state.speed, state.modes) = (speed, modes);
        });
    }

    /// A host that has just set the speed may still throw away what it finds on the line: it listens from the next look on.
    fn look_for_host(&mut self) {
        let (speed, known) = (self.speed(), self.state.borrow().speed);
        self.look = (speed == Pty::UNSET || speed != known).then(|| Instant::now() + LOOK);
        self.state.send_modify(|state| (state.speed, state.listening) = (speed, self.look.is_none()));
    }

    /// Gives whether anything will reach the host.
    fn send(&mut self, kind: Kind, frame: Vec<u8>) -> bool {
        match self.line.carry(&*self.device, kind, frame) {
            None => return false,
            Some((Duration::ZERO, bytes)) => self.waiting.extend(bytes),
            Some((delay, bytes)) => self.late.push((Instant::now() + delay, bytes)),
        }
        true
    }

    fn carry_out(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Fault(fault) => self.line.add(fault),
            Order::Interject(heard) => {
                let speed = self.speed();
                let mode = heard.mode.unwrap_or_else(|| self.device.usual_mode());
                if let Ok(Some(frame)) = self.device.hear(mode, &heard.telegram, heard.rssi_dbm, speed) {
                    self.line.add(Fault::BehindFrame(frame));
                }
            }
            Order::Raw(bytes) => self.waiting.extend(bytes),
            Order::Mute(mute) => self.line.set_mute(mute),
            Order::Split(size) => self.split = size,
            Order::Reboot => {
                self.device.reboot();
                let modes = self.modes();
                self.state.send_modify(|state| state.modes = modes);
            }
            Order::Unplug => {
                self.pty = None;
                self.hung_up();
            }
            Order::Replug => {
                self.device.reboot();
                return self.plug();
            }
        }
        Ok(())
    }

    /// The host has closed the port. A pseudo-terminal cannot be used again then: another takes its place behind the link.
    fn closed_by_host(&mut self) {
        if self.plug().is_err() {
            self.pty = None;
            self.hung_up();
        }
    }

    fn plug(&mut self) -> io::Result<()> {
        let mut pty = Pty::new(&self.link)?;
        if pty.device() == self.last_node {
            // The system reuses numbers; made while the first still exists, the second gets another.
            pty = Pty::new(&self.link)?;
        }
        self.last_node = pty.device().into();
        self.pty = Some(pty);
        self.hung_up();
        Ok(())
    }

    /// What was on its way to the host is lost.
    fn hung_up(&mut self) {
        self.waiting.clear();
        self.late.clear();
        let device = self.pty.as_ref().map(|pty| pty.device().to_path_buf());
        let modes = self.modes();
        self.look = (self.device.only_talks() && device.is_some()).then(|| Instant::now() + LOOK);
        self.state.send_modify(|state| {
            (state.listening, state.speed) = (false, 0);
            (state.device, state.modes) = (device, modes);
        });
    }

    fn deliver_late(&mut self) {
        let now = Instant::now();
        for (_, bytes) in self.late.extract_if(.., |(due, _)| *due <= now) {
            self.waiting.extend(bytes);
        }
    }

    fn modes(&self) -> Vec<Mode> {
        Mode::ALL.into_iter().filter(|mode| self.device.listens_for(*mode)).collect()
    }

    fn speed(&self) -> u32 {
        self.pty.as_ref().and_then(|pty| pty.speed().ok()).unwrap_or_default()
    }
}

async fn read(pty: Option<&Pty>, buffer: &mut [u8]) -> io::Result<usize> {
    match pty {
        Some(pty) => pty.read(buffer).await,
        None => pending().await,
    }
}

async fn write(pty: Option<&Pty>, waiting: &VecDeque<u8>, split: Option<usize>) -> io::Result<usize> {
    let (front, _) = waiting.as_slices();
    let piece = front.get(..split.unwrap_or(front.len()).clamp(1, front.len().max(1))).unwrap_or_default();
    match pty {
        Some(pty) if !piece.is_empty() => pty.write(piece).await,
        _ => pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
