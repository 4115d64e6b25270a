//! What every kind of dongle has in common.

use std::{fmt, time::Instant};

use arrayvec::ArrayVec;

use super::{Fault, RawFrame};

/// One kind of dongle: a state machine without clock and port.
///
/// The driver calls [`opened`](Self::opened) each time the port has been opened, then [`bytes`](Self::bytes) for whatever
/// arrives and [`tick`](Self::tick) when the last [`Action::Wake`] is due, and carries out the actions in their order.
/// Time never goes back between calls. What is pushed to `out` is bounded by the bytes that came in.
pub trait Dongle {
    /// The line's speed in baud. Always 8 data bits, no parity, one stop bit, no flow control.
    fn baud(&self) -> u32;

    /// The port is open and its input is drained: begin the conversation from its start.
    fn opened(&mut self, now: Instant, out: &mut Vec<Action>);

    /// Bytes from the dongle, split in any way.
    fn bytes(&mut self, now: Instant, input: &[u8], out: &mut Vec<Action>);

    /// The time of the last [`Action::Wake`] has come. Harmless if called too early.
    fn tick(&mut self, now: Instant, out: &mut Vec<Action>);

    /// What has been counted since the start of the process.
    fn counters(&self) -> Counters;
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
pub type CommandBytes = ArrayVec<u8, 32>;

/// What a dongle says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Info {
    /// The module's name.
    pub model: &'static str,
    /// Its firmware: major and minor number.
    pub firmware: (u8, u8),
    /// Its own serial number.
    pub serial: u32,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.firmware;
        write!(f, "{} {:08X}, firmware {major}.{minor}", self.model, self.serial)
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
    /// Times the line fell quiet in the middle of a frame.
    pub partial_frames: u64,
    /// Times a dongle that had been ready was set up again.
    pub restarts: u64,
    /// When the last telegram was heard.
    pub last_heard: Option<Instant>,
}
