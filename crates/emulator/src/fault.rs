//! Faults of a dongle and its line, to be shown to a driver on purpose.
//!
//! A fault waits for the next frame it fits (any frame, or a reply) and is then used up; several wait in the order in which
//! they were given. [`Line`] turns the dongle's frames into what really comes over the wire.

use std::{collections::VecDeque, time::Duration};

use crate::dongle::{Dongle, Spoil};

/// One thing that goes wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// These bytes come in front of the next frame.
    Noise(Vec<u8>),
    /// The next frame has a wrong checksum; in a protocol without checksums, a wrong last byte.
    BadChecksum,
    /// Of the next frame, only so many bytes come; then silence.
    Truncated(usize),
    /// The next frame's length byte is this; its checksum is that of the original.
    LengthByte(u8),
    /// The next frame waits for the one after it, and both come at once.
    Joined,
    /// The next reply comes behind this telegram's frame.
    BehindFrame(Vec<u8>),
    /// The next reply does not come.
    NoReply,
    /// The next reply comes so much later.
    LateReply(Duration),
}

/// Whether a frame answers a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An answer.
    Reply,
    /// Sent unasked: a telegram.
    Indication,
}

/// The wire between dongle and host, with its faults.
#[derive(Clone, Debug, Default)]
pub struct Line {
    faults: VecDeque<Fault>,
    held: Vec<u8>,
    mute: bool,
}

impl Line {
    /// Lets something go wrong.
    pub fn add(&mut self, fault: Fault) {
        self.faults.push_back(fault);
    }

    /// While mute, nothing comes at all.
    pub fn set_mute(&mut self, mute: bool) {
        self.mute = mute;
    }

    /// A frame from the dongle. Gives what comes over the wire and after which delay; `None` if nothing does.
    pub fn carry(&mut self, dongle: &dyn Dongle, kind: Kind, frame: Vec<u8>) -> Option<(Duration, Vec<u8>)> {
        if self.mute {
            return None;
        }
        let waiting = self.faults.iter().position(|fault| fault.fits(kind));
        let (delay, mut bytes) = match waiting.and_then(|at| self.faults.remove(at)) {
            None => (Duration::ZERO, frame),
            Some(Fault::NoReply) => return None,
            Some(Fault::LateReply(delay)) => (delay, frame),
            Some(Fault::Joined) => {
                self.held.extend(frame);
                return None;
            }
            Some(fault) => (Duration::ZERO, fault.spoil(dongle, frame)),
        };
        if !self.held.is_empty() {
            let mut both = std::mem::take(&mut self.held);
            both.append(&mut bytes);
            bytes = both;
        }
        Some((delay, bytes))
    }
}

impl Fault {
    fn fits(&self, kind: Kind) -> bool {
        kind == Kind::Reply || !matches!(self, Self::BehindFrame(_) | Self::NoReply | Self::LateReply(_))
    }

    fn spoil(self, dongle: &dyn Dongle, mut frame: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Noise(mut before) | Self::BehindFrame(mut before) => {
                before.append(&mut frame);
                return before;
            }
            Self::BadChecksum => dongle.spoil(Spoil::Checksum, &mut frame),
            Self::Truncated(length) => frame.truncate(length),
            Self::LengthByte(length) => dongle.spoil(Spoil::Length(length), &mut frame),
            Self::Joined | Self::NoReply | Self::LateReply(_) => {}
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::im871a::Device;

    const FRAME: [u8; 6] = [0xA5, 0x81, 2, 0, 0x4C, 0xA3];

    fn carried(line: &mut Line, kind: Kind) -> Option<Vec<u8>> {
        line.carry(&Device::default(), kind, FRAME.to_vec()).map(|(_, bytes)| bytes)
    }

    #[test]
    fn without_faults_frames_pass_unchanged() {
        assert_eq!(
            Line::default().carry(&Device::default(), Kind::Reply, FRAME.to_vec()),
            Some((Duration::ZERO, FRAME.to_vec()))
        );
    }

    #[test]
    fn each_fault_spoils_one_frame() {
        let cases: [(Fault, &[u8]); 5] = [
            (Fault::Noise(vec![0xFE]), &[0xFE, 0xA5, 0x81, 2, 0, 0x4C, 0xA3]),
            (Fault::BadChecksum, &[0xA5, 0x81, 2, 0, 0x4C, 0xA2]),
            (Fault::Truncated(3), &[0xA5, 0x81, 2]),
            (Fault::LengthByte(255), &[0xA5, 0x81, 2, 255, 0x4C, 0xA3]),
            (Fault::BehindFrame(vec![1, 2]), &[1, 2, 0xA5, 0x81, 2, 0, 0x4C, 0xA3]),
        ];
        for (fault, expected) in cases {
            let mut line = Line::default();
            line.add(fault);
            assert_eq!(carried(&mut line, Kind::Reply).as_deref(), Some(expected));
            assert_eq!(carried(&mut line, Kind::Reply).as_deref(), Some(&FRAME[..]));
        }
    }

    #[test]
    fn a_fault_of_replies_waits_for_a_reply() {
        let mut line = Line::default();
        line.add(Fault::NoReply);
        assert!(carried(&mut line, Kind::Indication).is_some());
        assert_eq!(carried(&mut line, Kind::Reply), None);
        line.add(Fault::LateReply(Duration::from_secs(3)));
        assert_eq!(
            line.carry(&Device::default(), Kind::Reply, FRAME.to_vec()).unwrap().0,
            Duration::from_secs(3)
        );
    }

    #[test]
    fn joined_frames_come_at_once() {
        let mut line = Line::default();
        line.add(Fault::Joined);
        assert_eq!(carried(&mut line, Kind::Indication), None);
        assert_eq!(carried(&mut line, Kind::Indication).unwrap(), FRAME.repeat(2));
    }

    #[test]
    fn a_mute_line_carries_nothing() {
        let mut line = Line::default();
        line.set_mute(true);
        assert_eq!(carried(&mut line, Kind::Reply), None);
        line.set_mute(false);
        assert!(carried(&mut line, Kind::Reply).is_some());
    }
}
