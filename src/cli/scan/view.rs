//! Draws the table: made for 80 columns and 24 lines over SSH, in letters that every terminal has. Narrow terminals show
//! fewer columns. Nothing is told by colour alone.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::scan::row::{Opens, Row, Whose};
use crate::scan::table::{Table, Totals};
use crate::scan::verdict::{Verdict, span};

/// What is on the screen besides the table.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) table: Table,
    /// Whether keys go to the filter.
    pub(super) typing: bool,
    /// For how long it has counted by itself.
    pub(super) watched: Option<u64>,
    /// What was done last, until the next key.
    pub(super) said: Option<String>,
    /// Why nothing new comes.
    pub(super) trouble: Option<String>,
    /// The first row on the screen.
    top: usize,
}

impl Screen {
    /// Draws everything.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Min(1),
            Constraint::Length(4),
            Constraint::Length(1),
        ]);
        let [head, heads, rows, detail, help] = areas.areas(frame.area());
        let width = usize::from(frame.area().width);
        let columns = Column::that_fit(width);
        frame.render_widget(Paragraph::new(self.head()), head);
        let line: Vec<_> = columns.iter().map(|column| column.padded(column.head())).collect();
        let style = Style::new().add_modifier(Modifier::REVERSED);
        frame.render_widget(Paragraph::new(format!("{:<width$}", line.join(" "))).style(style), heads);
        self.rows(frame, rows, &columns);
        let shown = self.table.shown();
        let chosen = shown.get(self.table.chosen(&shown));
        if let Some(row) = chosen {
            frame.render_widget(Paragraph::new(detail_lines(row)), detail);
        }
        frame.render_widget(Paragraph::new(self.help(width)), help);
    }

    fn head(&self) -> Vec<Line<'static>> {
        let Totals { heard, listed, own, foreign, installing, open, shut, good, marginal, poor, early } =
            self.table.totals();
        let mut first = vec![Span::styled(
            format!("{heard} heard: {listed} listed*, {own} own+, {foreign} foreign"),
            Style::new().add_modifier(Modifier::BOLD),
        )];
        if installing > 0 {
            first.push(Span::styled(format!("  {installing} installing"), installing_style()));
        }
        if self.table.is_frozen() {
            first.push(Span::styled("  FROZEN", Style::new().add_modifier(Modifier::REVERSED)));
        }
        if let Some(watched) = self.watched {
            first.push(Span::raw(format!("  counting for {}", span(watched))));
        }
        let mut second = vec![Span::raw(format!(
            "ours: {good} good, {marginal} marginal, {poor} poor, {early} too early; {open} open, {shut} do not"
        ))];
        if let Some(trouble) = &self.trouble {
            second = vec![Span::styled(format!("! {trouble}"), bad_style())];
        }
        vec![Line::from(first), Line::from(second)]
    }

    fn rows(&mut self, frame: &mut Frame<'_>, area: Rect, columns: &[Column]) {
        let height = usize::from(area.height);
        let shown = self.table.shown();
        let chosen = self.table.chosen(&shown);
        self.top = self.top.min(chosen).max(chosen.saturating_add(1).saturating_sub(height));
        let mut lines: Vec<Line<'_>> = Vec::with_capacity(height);
        for (at, row) in shown.iter().enumerate().skip(self.top).take(height) {
            let mut cells = Vec::with_capacity(columns.len().saturating_mul(2));
            for column in columns {
                if !cells.is_empty() {
                    cells.push(Span::raw(" "));
                }
                cells.push(Span::styled(column.padded(&column.cell(row)), column.style(row)));
            }
            let line = Line::from(cells).style(row_style(row));
            lines.push(if at == chosen { line.style(row_style(row).reversed_too()) } else { line });
        }
        if shown.is_empty() {
            let why = if self.table.filter().is_empty() {
                "Nothing has been heard yet."
            } else {
                "No meter has all these words."
            };
            lines.push(Line::from(why));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn help(&self, width: usize) -> Line<'static> {
        let (sort, reversed) = self.table.sort();
        if self.typing {
            let filter = self.table.filter();
            return Line::from(format!("filter: {filter}_   Enter keeps it, Esc shows all"));
        }
        if let Some(said) = &self.said {
            return Line::from(said.clone());
        }
        let order = format!("{}{}", if reversed { "-" } else { "" }, sort.as_str());
        let filter = match self.table.filter() {
            "" => String::new(),
            filter => format!(":{filter}"),
        };
        let words = [
            ("q", "quit".to_owned()),
            ("s", format!("sort:{order}")),
            ("/", format!("filter{filter}")),
            ("space", "freeze".to_owned()),
            ("w", "save CSV".to_owned()),
            ("z", "count anew".to_owned()),
            ("r", "reverse".to_owned()),
            ("arrows", "choose".to_owned()),
        ];
        let (mut spans, mut used) = (Vec::new(), 0usize);
        for (key, word) in words {
            let length = key.len().saturating_add(word.chars().count()).saturating_add(2);
            used = used.saturating_add(length);
            if used > width {
                break;
            }
            spans.push(Span::styled(key, Style::new().add_modifier(Modifier::BOLD)));
            spans.push(Span::raw(format!(" {word} ")));
        }
        Line::from(spans)
    }
}

fn detail_lines(row: &Row) -> Vec<Line<'static>> {
    let heard = &row.heard;
    let name = row.name.as_ref().map_or_else(String::new, |name| format!(" \"{name}\""));
    let first = format!("{} {}{name}, {}", heard.meter, row.model(), row.whose.as_str());
    let rssi = heard.rssi.map_or_else(String::new, |rssi| format!("{rssi} dBm"));
    let best = heard.best_rssi.map_or_else(String::new, |best| format!(" (best {best})"));
    let every = row
        .heard
        .interval
        .map_or_else(String::new, |every| format!(", sends every {} s", (every + 500) / 1000));
    let echoes = if heard.echoes > 0 { format!(", {} again", heard.echoes) } else { String::new() };
    let second = format!("{} telegrams{echoes}{every}, {rssi}{best}", heard.telegrams);
    let codes = match (row.codes().join(", "), &heard.reading) {
        (codes, _) if !codes.is_empty() => format!("; codes: {codes}"),
        (_, Some(_)) => "; no codes".to_owned(),
        (_, None) => String::new(),
    };
    let refused = heard.refusal.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let volume = match row.volume() {
        volume if volume.is_empty() => volume,
        volume => format!("; {volume}"),
    };
    let third = format!("key: {}{refused}{volume}{codes}", row.key.as_str());
    let installing = match row.installation_words() {
        words if words.is_empty() => words,
        words => format!("; {words}"),
    };
    let fourth = vec![
        Span::styled(format!("reception {}", row.verdict_words()), verdict_style(row.verdict())),
        Span::styled(installing, installing_style()),
    ];
    vec![Line::from(first), Line::from(second), Line::from(third), Line::from(fourth)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Mark,
    Meter,
    Model,
    Signal,
    Last,
    Share,
    Mode,
    Key,
    Volume,
    Reception,
    Codes,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Mark,
        Self::Meter,
        Self::Model,
        Self::Signal,
        Self::Last,
        Self::Share,
        Self::Reception,
        Self::Mode,
        Self::Key,
        Self::Volume,
        Self::Codes,
    ];

    /// What a narrow terminal does without, first to go first.
    const LEAST: [Self; 7] =
        [Self::Model, Self::Mode, Self::Codes, Self::Share, Self::Volume, Self::Last, Self::Key];

    fn that_fit(width: usize) -> Vec<Self> {
        let mut columns = Self::ALL.to_vec();
        let needed =
            |columns: &[Self]| columns.iter().map(|column| column.width().saturating_add(1)).sum::<usize>();
        for least in Self::LEAST {
            // The last one needs no space behind it.
            if needed(&columns) <= width.saturating_add(1) {
                break;
            }
            columns.retain(|column| *column != least);
        }
        columns
    }

    const fn width(self) -> usize {
        match self {
            Self::Mark => 2,
            Self::Meter => 12,
            Self::Model => 12,
            Self::Signal => 9,
            Self::Last | Self::Share | Self::Reception => 4,
            Self::Mode => 2,
            Self::Key => 6,
            Self::Volume => 9,
            Self::Codes => 6,
        }
    }

    const fn head(self) -> &'static str {
        match self {
            Self::Mark => "",
            Self::Meter => "meter",
            Self::Model => "model",
            Self::Signal => "signal",
            Self::Last => "last",
            Self::Share => "got%",
            Self::Reception => "rcpt",
            Self::Mode => "md",
            Self::Key => "key",
            Self::Volume => "volume m3",
            Self::Codes => "codes",
        }
    }

    fn cell(self, row: &Row) -> String {
        match self {
            Self::Mark => format!("{}{}", row.whose.mark(), if row.is_installing() { '!' } else { ' ' }),
            Self::Meter => row.short_id().to_owned(),
            Self::Model => row.model().to_owned(),
            Self::Signal => {
                let rssi = row.heard.rssi.map_or_else(|| "?".to_owned(), |rssi| rssi.to_string());
                format!("{:<5}{rssi:>4}", "#".repeat(row.bars()))
            }
            Self::Last => row.ago(),
            Self::Share => row.reception.share.map_or_else(String::new, |share| share.to_string()),
            Self::Reception => row.verdict().short().to_owned(),
            Self::Mode => row.mode().to_owned(),
            Self::Key => row.key.short().to_owned(),
            Self::Volume => row.volume_number(),
            Self::Codes => row.codes().join(","),
        }
    }

    /// Cut or filled to the column's width; numbers to the right.
    fn padded(self, text: &str) -> String {
        let width = self.width();
        let cut: String = text.chars().take(width).collect();
        match self {
            Self::Last | Self::Share | Self::Volume => format!("{cut:>width$}"),
            _ => format!("{cut:<width$}"),
        }
    }

    fn style(self, row: &Row) -> Style {
        match self {
            Self::Reception | Self::Signal => verdict_style(row.verdict()),
            Self::Key if matches!(row.key, Opens::WrongKey | Opens::NoKey | Opens::Refused) => bad_style(),
            Self::Codes if !row.codes().is_empty() => bad_style(),
            _ => Style::new(),
        }
    }
}

trait ReversedToo {
    fn reversed_too(self) -> Self;
}

impl ReversedToo for Style {
    fn reversed_too(self) -> Self {
        self.add_modifier(Modifier::REVERSED)
    }
}

fn row_style(row: &Row) -> Style {
    match row.whose {
        _ if row.is_installing() => installing_style(),
        Whose::Listed => Style::new().add_modifier(Modifier::BOLD),
        Whose::Own => Style::new(),
        Whose::Foreign => Style::new().add_modifier(Modifier::DIM),
    }
}

const fn installing_style() -> Style {
    Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)
}

const fn bad_style() -> Style {
    Style::new().fg(Color::Red)
}

const fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Good => Style::new().fg(Color::Green),
        Verdict::Marginal => Style::new().fg(Color::Yellow),
        Verdict::Poor => bad_style(),
        Verdict::Early => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::scan::table::tests::table;

    fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn screen() -> Screen {
        Screen { table: table(), ..Screen::default() }
    }

    #[test]
    fn the_table_fits_eighty_columns_and_twenty_four_lines() {
        insta::assert_snapshot!(drawn(&mut screen(), 80, 24));
    }

    #[test]
    fn a_narrow_terminal_keeps_what_matters() {
        let mut screen = screen();
        screen.table.choose(4);
        insta::assert_snapshot!(drawn(&mut screen, 48, 12));
    }

    #[test]
    fn filter_trouble_and_standing_still_are_shown() {
        let mut screen = screen();
        screen.table.set_filter("leak");
        screen.typing = true;
        screen.table.freeze();
        screen.watched = Some(65_000);
        screen.trouble = Some("the receiving half does not run".to_owned());
        insta::assert_snapshot!(drawn(&mut screen, 80, 12));
    }

    #[test]
    fn any_size_can_be_drawn_and_the_chosen_row_is_on_the_screen() {
        for (width, height) in [(1, 1), (10, 3), (20, 9), (200, 60)] {
            let mut screen = screen();
            screen.table.choose(5);
            let drawn = drawn(&mut screen, width, height);
            assert!(width < 20 || drawn.contains("LUG.00000007"), "{drawn}");
        }
    }

    #[test]
    fn an_empty_table_says_why() {
        let mut screen = Screen::default();
        assert!(drawn(&mut screen, 80, 24).contains("Nothing has been heard yet."));
        screen.table.set_filter("x");
        assert!(drawn(&mut screen, 80, 24).contains("No meter has all these words."));
    }
}
