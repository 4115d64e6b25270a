//! What every kind of dongle has in common.

use std::{
    fmt,
    fmt::Write as _,
    time::{Duration, Instant},
};

use arrayvec::{ArrayString, ArrayVec};

use super::{Fault, RawFrame};

/// One kind of dongle: a state machine without clock and port.
///
/// The driver calls [`opened`](Self::opened) each time the port has been opened, then [`bytes`](Self::bytes) for whatever
/// arrives and [`tick`](Self::tick) when the last [`Action::Wake`] is due, and carries out the actions in their order.
/// Time never goes back between calls. What is pushed to `out` is bounded by the bytes that came in.
pub trait Dongle: Send + Sync {
    /// The line's speed in baud. Always 8 data bits, no parity, one stop bit, no flow control. Whoever drives it looks again
    /// after each call, before it carries out the actions: it may change while nothing is on its way.
    fn baud(&self) -> u32;

    /// Sets after how long without any telegram it counts as deaf, in place of what is usual at the site.
    fn silent_after(&mut self, limit: Duration);

    /// Whether the port may be opened at all; asked before each opening.
    ///
    /// # Errors
    /// Why not.
    fn may_open(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// What will be opened next may be another device: its node is a new one, or the port could not be opened in between.
    fn maybe_another(&mut self);

    /// The port is open and its input is drained: begin the conversation from its start.
    fn opened(&mut self, now: Instant, out: &mut Vec<Action>);

    /// Bytes from the dongle, split in any way.
    fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>);

    /// The time of the last [`Action::Wake`] has come. Harmless if called too early.
    fn tick(&mut self, now: Instant, out: &mut Vec<Action>);

    /// What to say before the port is closed, whoever wants that: a dongle that would be left in a state in which it hears
    /// nothing is put out of it.
    fn farewell(&mut self) -> Option<CommandBytes> {
        None
    }

    /// What has been counted since the start of the process.
    fn counters(&self) -> Counters;
}

impl<D: Dongle + ?Sized> Dongle for Box<D> {
    fn baud(&self) -> u32 {
        (**self).baud()
    }

    fn silent_after(&mut self, limit: Duration) {
        (**self).silent_after(limit);
    }

    fn may_open(&mut self) -> Result<(), Fault> {
        (**self).may_open()
    }

    fn maybe_another(&mut self) {
        (**self).maybe_another();
    }

    fn opened(&mut self, now: Instant, out: &mut Vec<Action>) {
        (**self).opened(now, out);
    }

    fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>) {
        (**self).bytes(now, input, out);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Action>) {
        (**self).tick(now, out);
    }

    fn farewell(&mut self) -> Option<CommandBytes> {
        (**self).farewell()
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }
}

/// What a dongle wants done.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "telegrams are the common case and stay off the heap")]
pub enum Action {
    /// Send these bytes.
    Write(CommandBytes),
    /// Call [`Dongle::tick`] at this time, and forget any earlier request.
    Wake(Instant),
    /// A telegram.
    Heard(RawFrame),
    /// The dongle is set up as wanted and receives.
    Ready(Info),
    /// Close the port, and open it again after the usual back-off. No action follows it before the next
    /// [`Dongle::opened`].
    Reopen(Fault),
}

/// A command to a dongle.
pub type CommandBytes = ArrayVec<u8, 64>;

/// What a dongle says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Info {
    /// The module's name.
    pub model: &'static str,
    /// Its firmware, if it says so.
    pub firmware: Option<Firmware>,
    /// Its own serial number, if it has one.
    pub serial: Option<u32>,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model)?;
        if let Some(serial) = self.serial {
            write!(f, " {serial:08X}")?;
        }
        match self.firmware {
            Some(firmware) => write!(f, ", firmware {firmware}"),
            None => Ok(()),
        }
    }
}

/// A firmware's version in whatever form the dongle gives it: numbers or a short text. Printable ASCII only and cut where
/// it is too long, since it comes over a line that may say anything.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Firmware(ArrayString<{ Self::CAPACITY }>);

impl Firmware {
    const CAPACITY: usize = 48;

    /// Makes one of numbers or of what a dongle said.
    pub fn new(version: impl fmt::Display) -> Self {
        struct Printable(ArrayString<{ Firmware::CAPACITY }>);

        impl fmt::Write for Printable {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for character in text.chars() {
                    let printable = matches!(character, ' '..='~');
                    self.0.try_push(if printable { character } else { '?' }).map_err(|_| fmt::Error)?;
                }
                Ok(())
            }
        }

        let mut text = Printable(ArrayString::new());
        // An error means that it is full.
        let _ = write!(text, "{version}");
        Self(text.0)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

/// Counted since the start of the process, over all openings of the port.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Telegrams handed on.
    pub frames: u64,
    /// Bytes that belonged to no frame.
    pub garbage_bytes: u64,
    /// What looked like a frame and had a wrong checksum.
    pub bad_checksums: u64,
    /// Frames with a right checksum that are too short to be telegrams.
    pub short_frames: u64,
    /// Frames whose end never came: the line fell quiet in the middle, or another began.
    pub partial_frames: u64,
    /// Telegrams of which the dongle itself left out the rest, for want of room in its own memory.
    pub truncated: u64,
    /// Times a dongle that had been ready was set up again.
    pub restarts: u64,
    /// How many minutes it had heard nothing when it was found to be deaf; `None` again with the next telegram.
    pub deaf: Option<u64>,
    /// When the last telegram was heard.
    pub last_heard: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dongle_shows_what_it_knows_of_itself() {
        let mut info =
            Info { model: "iM871A", firmware: Some(Firmware::new("1.4")), serial: Some(0x0010_2863) };
        assert_eq!(info.to_string(), "iM871A 00102863, firmware 1.4");
        (info.model, info.serial) = ("CUL", None);
        info.firmware = Some(Firmware::new("V 1.67 nanoCUL868"));
        assert_eq!(info.to_string(), "CUL, firmware V 1.67 nanoCUL868");
        info.firmware = None;
        assert_eq!(info.to_string(), "CUL");
    }

    #[test]
    fn a_version_from_the_line_is_printable_and_short() {
        assert_eq!(Firmware::new("V 1\x1b[31m\u{e4}\n").to_string(), "V 1?[31m??");
        assert_eq!(Firmware::new("V".repeat(1000)).to_string().len(), 48);
    }
}
