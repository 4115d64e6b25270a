//! Which key opens what is heard of a meter: the only proof that a key is right.

use std::collections::{BTreeMap, HashSet};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use wmbus::telegram::Refused;
use wmbus::{Cipher, Frame, Key, Meter, Policy, Sealed, Serial};

use super::{Fingerprint, Keyring, Selector};

/// Meters of which it is told.
pub const MAX_METERS: usize = 20_000;
/// Frames of a meter that are looked at again when its own key does not open them.
const FRAMES: usize = 4;
/// Two bytes prove a key, so that one frame alone tells only among so many keys whose it is.
const SURE_WITH_ONE: usize = 64;
/// Openings tried in search of the right key, in all.
const MAX_TRIES: usize = 400_000;

/// How a meter's key did. For people and programs; no key is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTest {
    /// The meter as it is heard, in full.
    pub meter: String,
    /// How it went.
    pub result: Tested,
    /// Under which name its key is filed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed_under: Option<String>,
    /// The mark of that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Whose key opens it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_with: Option<String>,
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tested {
    /// The key opens what is heard.
    Opens,
    /// It does not.
    WrongKey,
    /// There is none.
    NoKey,
    /// There is one of this number, filed under another manufacturer or type.
    OtherName,
    /// The meter sends in the clear.
    InTheClear,
    /// Nothing was heard yet that it could have been tried on.
    Untried,
}

/// What one frame says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It opens with it.
    Opens,
    /// It does not.
    Fails,
    /// It needs no key.
    InTheClear,
    /// It is damaged, or carries nothing to open.
    Nothing,
}

/// Tries a key on a frame. `None` if the frame names no meter.
#[must_use]
pub fn attempt(frame: &Frame, key: Option<&Key>) -> Option<(Meter, Attempt)> {
    let mut frame = frame.clone();
    let sealed = Sealed::read(&mut frame).ok()?;
    let meter = sealed.meter();
    if !sealed.link().control.carries_data() {
        return Some((meter, Attempt::Nothing));
    }
    let cipher = key.map(|key| Cipher::new(key.clone()));
    let attempt = match sealed.open(cipher.as_ref(), Policy::Strict) {
        Ok(_) if key.is_some() => Attempt::Opens,
        Ok(_) | Err(Refused::NotEncrypted) => Attempt::InTheClear,
        Err(Refused::WrongKey(_) | Refused::NoKey) => Attempt::Fails,
        Err(_) => Attempt::Nothing,
    };
    Some((meter, attempt))
}

/// Tests of many meters with one keyring.
#[derive(Debug)]
pub struct Trials<'a> {
    ring: &'a Keyring,
    meters: BTreeMap<Meter, Trial>,
    tries: usize,
}

#[derive(Debug, Default)]
struct Trial {
    opened: bool,
    clear: bool,
    failed: ArrayVec<Frame, FRAMES>,
}

impl<'a> Trials<'a> {
    /// None so far.
    #[must_use]
    pub const fn new(ring: &'a Keyring) -> Self {
        Self { ring, meters: BTreeMap::new(), tries: 0 }
    }

    /// Takes a frame, damaged ones as well.
    pub fn hear(&mut self, frame: Frame) {
        let Some((meter, _)) = attempt(&frame, None) else { return };
        let Some((_, outcome)) = attempt(&frame, self.ring.get(meter)) else { return };
        if self.meters.len() >= MAX_METERS && !self.meters.contains_key(&meter) {
            return;
        }
        let trial = self.meters.entry(meter).or_default();
        match outcome {
            Attempt::Opens => trial.opened = true,
            Attempt::InTheClear => trial.clear = true,
            // The same again from a repeater proves nothing more.
            Attempt::Fails if trial.failed.iter().all(|known| known.bytes() != frame.bytes()) => {
                let _ = trial.failed.try_push(frame);
            }
            Attempt::Fails | Attempt::Nothing => {}
        }
    }

    /// A meter of which it is known otherwise whether its key opened it.
    pub fn know(&mut self, meter: Meter, opened: bool) {
        if self.meters.len() < MAX_METERS || self.meters.contains_key(&meter) {
            self.meters.entry(meter).or_default().opened |= opened;
        }
    }

    /// What came of it, by meter.
    #[must_use]
    pub fn results(mut self) -> Vec<KeyTest> {
        let numbers: HashSet<Serial> = self.ring.iter().map(|(selector, _)| selector.serial()).collect();
        let meters = std::mem::take(&mut self.meters);
        meters.into_iter().map(|(meter, trial)| self.result(meter, &trial, &numbers)).collect()
    }

    fn result(&mut self, meter: Meter, trial: &Trial, numbers: &HashSet<Serial>) -> KeyTest {
        let found = self.ring.find(meter);
        let mut test = KeyTest {
            meter: meter.to_string(),
            result: match (trial, found) {
                (Trial { opened: true, .. }, _) => Tested::Opens,
                // A frame in the clear among others is somebody else's.
                (Trial { clear: true, failed, .. }, _) if failed.is_empty() => Tested::InTheClear,
                (_, None) if numbers.contains(&meter.serial) => Tested::OtherName,
                (_, None) => Tested::NoKey,
                (Trial { failed, .. }, _) if failed.is_empty() => Tested::Untried,
                _ => Tested::WrongKey,
            },
            filed_under: found.map(|(selector, _)| selector.to_string()),
            mark: found.map(|(_, key)| Fingerprint::of(key).to_string()),
            opens_with: None,
        };
        if test.result == Tested::OtherName {
            let mut others = self.ring.iter().filter(|(selector, _)| selector.serial() == meter.serial);
            test.filed_under = others.next().map(|(selector, _)| selector.to_string());
        }
        if matches!(test.result, Tested::WrongKey | Tested::NoKey | Tested::OtherName) {
            test.opens_with = self.search(&trial.failed).map(|selector| selector.to_string());
        }
        test
    }

    /// The one key that opens all of these frames.
    fn search(&mut self, frames: &[Frame]) -> Option<Selector> {
        let enough = frames.len() > 1 || self.ring.len() <= SURE_WITH_ONE;
        if frames.is_empty() || !enough || self.tries.saturating_add(self.ring.len()) > MAX_TRIES {
            return None;
        }
        self.tries = self.tries.saturating_add(self.ring.len());
        let opens = |key: &Key| {
            let opens =
                |frame| attempt(frame, Some(key)).is_some_and(|(_, attempt)| attempt == Attempt::Opens);
            frames.iter().all(opens)
        };
        let mut right = self.ring.iter().filter(|(_, key)| opens(key));
        let first = right.next()?;
        // The same key may be filed under several names; another that also opens them leaves it open whose it is.
        right.all(|(_, key)| key == first.1).then_some(first.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::parse_key;

    // A made-up flowIQ: a full and a compact frame, the latter also in the clear.
    const METER: &str = "KAW.87654321.3C.16";
    const KEY: &str = "000102030405060708090A0B0C0D0E0F";
    const OTHER: &str = "00112233445566778899AABBCCDDEEFF";
    const FULL: &str = "4D44372C214365873C168D2010006A1820C73AF5D08C1642BD91DA83271EE41D69E0C6E6DD595C31F67CA709B624FF107DFD4916DD200E5F14AFA92122C285445D4FCC0ECC8E99C502C4D3E27C3C";
    const COMPACT: &str = "3444372C214365873C168D2011016A18205CD1F17A423BE1F423AA98F3494B8AF762452A124EED16ED2578E3BEBD0079430567E456";
    const CLEAR: &str = "3444372C214365873C168D2012026A1800D19D79F3A9EBF5240800003A300000E02E000061357C00E803000005500006500008130F";

    fn ring(entries: &[(&str, &str)]) -> Keyring {
        let mut ring = Keyring::new();
        for (selector, key) in entries {
            ring.insert(selector.parse().unwrap(), parse_key(key).unwrap()).unwrap();
        }
        ring
    }

    fn tested(ring: &Keyring, frames: &[&str]) -> KeyTest {
        let mut trials = Trials::new(ring);
        for frame in frames {
            let bytes: Vec<u8> = (0..frame.len() / 2)
                .map(|at| u8::from_str_radix(&frame[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            trials.hear(Frame::bare(&bytes).unwrap());
        }
        let [test] = <[KeyTest; 1]>::try_from(trials.results()).unwrap();
        assert_eq!(test.meter, METER);
        test
    }

    #[test]
    fn a_right_key_opens_what_is_heard_under_whatever_name_it_is_filed() {
        for name in ["87654321", "KAW.87654321", METER] {
            let test = tested(&ring(&[(name, KEY)]), &[FULL, COMPACT]);
            assert_eq!((test.result, test.filed_under.as_deref()), (Tested::Opens, Some(name)));
        }
    }

    #[test]
    fn a_wrong_key_is_named_and_the_right_one_found() {
        let test = tested(&ring(&[("KAW.87654321", OTHER), ("KAM.10000001", KEY)]), &[FULL, FULL, COMPACT]);
        assert_eq!((test.result, test.filed_under.as_deref()), (Tested::WrongKey, Some("KAW.87654321")));
        assert_eq!(test.opens_with.as_deref(), Some("KAM.10000001"));
        assert_eq!(tested(&ring(&[("87654321", OTHER)]), &[FULL]).opens_with, None);
    }

    #[test]
    fn a_meter_without_a_key_may_have_one_under_another_name() {
        assert_eq!(tested(&ring(&[]), &[FULL]).result, Tested::NoKey);
        let test = tested(&ring(&[("KAM.87654321", KEY)]), &[FULL]);
        assert_eq!((test.result, test.filed_under.as_deref()), (Tested::OtherName, Some("KAM.87654321")));
        assert_eq!(test.opens_with.as_deref(), Some("KAM.87654321"));
    }

    #[test]
    fn a_meter_in_the_clear_needs_no_key() {
        assert_eq!(tested(&ring(&[("87654321", KEY)]), &[CLEAR]).result, Tested::InTheClear);
        assert_eq!(tested(&ring(&[]), &[CLEAR]).result, Tested::InTheClear);
    }

    #[test]
    fn one_frame_alone_does_not_tell_whose_key_it_is_among_thousands() {
        let mut ring = ring(&[("10000001", KEY)]);
        for n in 0u32..100 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&(n + 1).to_be_bytes());
            ring.insert(format!("{n:08}").parse().unwrap(), Key::new(bytes)).unwrap();
        }
        assert_eq!(tested(&ring, &[FULL]).opens_with, None);
        assert_eq!(tested(&ring, &[FULL, COMPACT]).opens_with.as_deref(), Some("10000001"));
    }
}
