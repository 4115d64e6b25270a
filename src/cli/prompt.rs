//! What is asked on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Longer than any key or password.
const LONGEST: usize = 256;

/// Asks for a secret; what is typed is not shown.
pub(super) fn secret(question: &str) -> io::Result<Zeroizing<String>> {
    // First silence, so that not even the fastest answer shows.
    let _silence = Silence::begin()?;
    write!(io::stderr(), "{question}")?;
    let line = line();
    // The line break was typed, but not shown either.
    let _ = writeln!(io::stderr());
    line
}

/// Asks for consent; everything but yes is no.
pub(super) fn consent(question: &str) -> io::Result<bool> {
    write!(io::stderr(), "{question} [y/N] ")?;
    let answer = line()?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Whether somebody can be asked.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One line of standard input, without its end. It is read past the library's buffer, which nobody wipes.
pub(super) fn line() -> io::Result<Zeroizing<String>> {
    Ok(line_or_end()?.unwrap_or_default())
}

/// The same; `None` if nobody says anything any more.
pub(super) fn line_or_end() -> io::Result<Option<Zeroizing<String>>> {
    let mut line = Zeroizing::new([0; LONGEST]);
    let mut length = 0usize;
    while let Some(rest) = line.get_mut(length..).filter(|rest| !rest.is_empty()) {
        // From a terminal a line comes at once; from a pipe byte by byte, so that what follows stays there.
        let most = if io::stdin().is_terminal() { rest.len() } else { 1 };
        let read = rustix::io::read(io::stdin(), rest.get_mut(..most).unwrap_or_default())?;
        if read == 0 && length == 0 {
            return Ok(None);
        }
        length = length.saturating_add(read);
        if read == 0 || line.get(..length).is_some_and(|line| line.ends_with(b"\n")) {
            let text = std::str::from_utf8(line.get(..length).unwrap_or_default());
            let text = text.map_err(|_| io::Error::other("it is not UTF-8 text"))?;
            return Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())));
        }
    }
    Err(io::Error::other("it is too long"))
}

/// While it lives, the terminal does not show what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
