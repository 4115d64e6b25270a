//! Whole messages out of a stream of bytes, whatever else is in it.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

/// How one kind of dongle marks where its messages begin and end.
pub(super) trait Framing {
    /// A whole message whose checksum, if it has one, is right.
    type Message<'a>;

    /// A silence this long inside a message means that the rest never comes.
    const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    /// What the first bytes are; there is at least one. A message is skipped byte by byte unless it is whole and right, so
    /// that a beginning seen in noise cannot hide a real one behind it.
    fn look<'a>(&mut self, bytes: &'a [u8]) -> Found<Self::Message<'a>>;

    /// What they are once nothing has followed them for [`LONGEST_PAUSE`](Self::LONGEST_PAUSE), so that a pause may be what
    /// ends a message. What is still incomplete is skipped then.
    fn look_at_rest<'a>(&mut self, bytes: &'a [u8]) -> Found<Self::Message<'a>> {
        self.look(bytes)
    }

    /// The port was opened anew: forget what was learned of the dongle's ways. Another one may answer now.
    fn forget(&mut self) {}
}

/// What the first bytes of a stream are.
pub(super) enum Found<M> {
    /// A message of so many bytes.
    Whole { message: M, length: usize },
    /// A message of so many bytes, unless what follows shows that it is none. Taken if nothing does follow.
    Likely { message: M, length: usize },
    /// A message begins here; its end has not come.
    Incomplete,
    /// A message of a wrong checksum, or only noise that looks like one: so many bytes can be no other message's beginning.
    BadChecksum { length: usize },
    /// The beginning of a message, so many bytes; another begins behind it.
    CutOff { length: usize },
    /// A message of so many bytes from which the dongle itself left out some.
    Truncated { length: usize },
    /// So many bytes that no message begins with.
    Garbage { length: usize },
    /// So many bytes that mean nothing, and that dongles send on purpose between messages.
    Padding { length: usize },
}

impl<M> Found<M> {
    /// Goes on with the message, if there is one.
    pub(super) fn and_then<N>(self, next: impl FnOnce(M) -> Found<N>) -> Found<N> {
        match self {
            Self::Whole { message, .. } | Self::Likely { message, .. } => next(message),
            Self::Incomplete => Found::Incomplete,
            Self::BadChecksum { length } => Found::BadChecksum { length },
            Self::CutOff { length } => Found::CutOff { length },
            Self::Truncated { length } => Found::Truncated { length },
            Self::Garbage { length } => Found::Garbage { length },
            Self::Padding { length } => Found::Padding { length },
        }
    }
}

/// What the line brought beside messages, since the start of the process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Noise {
    pub(super) garbage_bytes: u64,
    pub(super) bad_checksums: u64,
    pub(super) partial_frames: u64,
    pub(super) truncated: u64,
}

/// Bytes of which no message has been made yet: at most 1 KiB, more than any dongle's longest.
#[derive(Debug)]
pub(super) struct Deframer {
    buffer: ArrayVec<u8, 1024>,
    /// Bytes at the front that are done with.
    used: usize,
    last_byte: Option<Instant>,
    /// What is incomplete will stay so.
    overdue: bool,
    /// That has been counted.
    gave_up: bool,
    noise: Noise,
}

impl Deframer {
    pub(super) fn new() -> Self {
        Self {
            buffer: ArrayVec::new(),
            used: 0,
            last_byte: None,
            overdue: false,
            gave_up: false,
            noise: Noise::default(),
        }
    }

    /// Forgets what it saw, but not what it counted.
    pub(super) fn clear(&mut self) {
        *self = Self { noise: self.noise, ..Self::new() };
    }

    pub(super) fn noise(&self) -> Noise {
        self.noise
    }

    /// When the message that has begun will be given up.
    pub(super) fn gives_up_at<F: Framing>(&self) -> Option<Instant> {
        self.last_byte.filter(|_| !self.buffer.is_empty()).map(|last| last + F::LONGEST_PAUSE)
    }

    /// Takes as many of the bytes as there is room for, at least one; gives the others. All messages of earlier bytes have
    /// been [taken out](Self::next) before.
    pub(super) fn fill<'i>(&mut self, now: Instant, input: &'i [u8]) -> &'i [u8] {
        self.compact();
        if self.buffer.is_full() {
            // No message of any kind is so long.
            self.noise.partial_frames += 1;
            self.noise.garbage_bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        let (piece, rest) = input.split_at(self.buffer.remaining_capacity().min(input.len()));
        self.buffer.extend(piece.iter().copied());
        self.last_byte = Some(now);
        rest
    }

    /// From now on, until all is looked at, an incomplete message counts as broken, and messages behind its false or broken
    /// beginning come out. Nothing happens before its rest is overdue.
    pub(super) fn give_up<F: Framing>(&mut self, now: Instant) {
        self.overdue |= self.gives_up_at::<F>().is_some_and(|due| now >= due);
    }

    /// The next message, and when its last byte came.
    pub(super) fn next<'a, F: Framing>(&'a mut self, framing: &mut F) -> Option<(Instant, F::Message<'a>)> {
        let Self { buffer, used, last_byte, overdue, gave_up, noise } = self;
        loop {
            let rest = buffer.get(*used..).unwrap_or_default();
            if rest.is_empty() {
                (*overdue, *gave_up) = (false, false);
                return None;
            }
            let found = if *overdue { framing.look_at_rest(rest) } else { framing.look(rest) };
            let skipped = match found {
                Found::Whole { message, length } => {
                    *used += length.max(1);
                    return last_byte.map(|last| (last, message));
                }
                Found::Likely { message, length } if *overdue => {
                    *used += length.max(1);
                    return last_byte.map(|last| (last, message));
                }
                Found::Likely { .. } => return None,
                Found::Incomplete if !*overdue => return None,
                Found::Incomplete => {
                    noise.partial_frames += u64::from(!std::mem::replace(gave_up, true));
                    1
                }
                Found::Garbage { length } => length.max(1),
                Found::Padding { length } => {
                    *used += length.max(1);
                    continue;
                }
                Found::BadChecksum { length } => {
                    noise.bad_checksums += 1;
                    length.max(1)
                }
                Found::CutOff { length } => {
                    noise.partial_frames += 1;
                    length.max(1)
                }
                Found::Truncated { length } => {
                    noise.truncated += 1;
                    length.max(1)
                }
            };
            noise.garbage_bytes += skipped as u64;
            *used += skipped;
        }
    }

    /// Makes room of what is done with. To be called once [`next`](Self::next) gave `None`.
    pub(super) fn compact(&mut self) {
        let used = self.used.min(self.buffer.len());
        self.buffer.drain(..used);
        self.used = 0;
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }
}
