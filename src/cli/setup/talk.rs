//! The conversation with the installer. Everything goes to standard error: standard output is for `--json`.

use std::io::{self, IsTerminal as _, Write as _};

use zeroize::Zeroizing;

use crate::check::{Area, Finding, Verdict};
use crate::cli::check::line;
use crate::cli::common::{Colour, paint, wrapped};
use crate::cli::prompt;

/// Who is asked, and what was found on the way.
#[derive(Debug)]
pub(super) struct Talk {
    /// Whether somebody answers.
    pub(super) asks: bool,
    /// The last word on each area.
    pub(super) findings: Vec<Finding>,
}

/// What to do after something was found that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Try the same again.
    Again,
    /// Give other answers.
    Change,
    /// Go on with it as it is.
    Keep,
}

impl Talk {
    /// With whoever sits at the terminal, unless nobody does or `flags_only` is wanted.
    pub(super) fn new(flags_only: bool) -> Self {
        Self { asks: !flags_only && prompt::is_possible(), findings: Vec::new() }
    }

    /// The next part.
    pub(super) fn heading(text: &str) {
        Self::say(&format!("\n{}", paint(Colour::Bold, text)));
    }

    /// Words, in lines that fit.
    pub(super) fn tell(words: &str) {
        Self::say(&wrapped("  ", words));
    }

    /// A line as it is.
    pub(super) fn say(text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    /// What was found of an area; it replaces what was found of it before.
    pub(super) fn found(&mut self, finding: Finding) {
        Self::say(&line(&finding, io::stderr().is_terminal()));
        self.findings.push(finding);
    }

    /// What was found of this area does not count any more.
    pub(super) fn forget(&mut self, area: Area) {
        self.findings.retain(|finding| finding.area != area);
    }

    /// Asks for a text; Enter takes the default.
    pub(super) fn ask(question: &str, default: Option<&str>) -> Result<String, String> {
        loop {
            let shown = default.map_or_else(String::new, |default| format!(" [{default}]"));
            let _ = write!(io::stderr(), "  {question}{shown}: ");
            let line = answer()?;
            match (line.trim(), default) {
                ("", Some(default)) => return Ok(default.to_owned()),
                ("", None) => Self::tell("An answer is needed; Ctrl-C ends, and nothing is changed."),
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// Asks until the answer is one.
    pub(super) fn ask_as<T>(
        question: &str,
        default: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, String> {
        loop {
            match read(&Self::ask(question, default)?) {
                Ok(answer) => return Ok(answer),
                Err(reason) => Self::tell(&reason),
            }
        }
    }

    /// Asks for one of these words.
    pub(super) fn ask_which(question: &str, words: &[&str], default: &str) -> Result<String, String> {
        let question = format!("{question}: {}", words.join(", "));
        Self::ask_as(&question, Some(default), |answer| {
            let is_one = words.contains(&answer);
            is_one.then(|| answer.to_owned()).ok_or_else(|| format!("Answer one of {}.", words.join(", ")))
        })
    }

    /// Asks for a text that may be left out.
    pub(super) fn ask_perhaps(question: &str) -> Result<Option<String>, String> {
        let _ = write!(io::stderr(), "  {question} (Enter: none): ");
        let line = answer()?;
        Ok(Some(line.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }

    /// Asks yes or no.
    pub(super) fn yes(question: &str, default: bool) -> Result<bool, String> {
        loop {
            let _ = write!(io::stderr(), "  {question} [{}] ", if default { "Y/n" } else { "y/N" });
            match answer()?.trim().to_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => Self::tell("Answer y or n."),
            }
        }
    }

    /// Asks for a secret; what is typed is not shown.
    pub(super) fn secret(question: &str) -> Result<Zeroizing<String>, String> {
        prompt::secret(&format!("  {question} (not shown): ")).map_err(|error| error.to_string())
    }

    /// What comes after something was tried: `None` if that was all, else whether the answers are to change.
    pub(super) fn again(&self, works: bool) -> Result<Option<bool>, String> {
        if works || !self.asks {
            return Ok(None);
        }
        Ok(match Self::after()? {
            After::Again => Some(false),
            After::Change => Some(true),
            After::Keep => None,
        })
    }

    /// Asks what to do about something that does not work.
    pub(super) fn after() -> Result<After, String> {
        loop {
            let _ =
                write!(io::stderr(), "  Try again (t), change the answers (c), or go on as it is (g)? [t] ");
            match answer()?.trim().to_lowercase().as_str() {
                "" | "t" => return Ok(After::Again),
                "c" => return Ok(After::Change),
                "g" => return Ok(After::Keep),
                _ => Self::tell("Answer t, c or g."),
            }
        }
    }

    /// Whether everything that was found works.
    pub(super) fn all_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Bad)
    }
}

/// One line of the terminal. Its end is nobody's answer: whoever leaves changes nothing.
fn answer() -> Result<Zeroizing<String>, String> {
    prompt::line_or_end()
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "no answer: nothing was changed".to_owned())
}
