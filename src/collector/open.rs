//! From a frame to a reading, or to the reason why there is none.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use messages::event::Refusal;
use messages::reading::{Code, Role};
use serde::{Deserialize, Serialize};
use wmbus::afl::Reassembler;
use wmbus::compact::{self, CompactError, Learned};
use wmbus::link::Control;
use wmbus::meter::ReadError;
use wmbus::security::Scheme;
use wmbus::telegram::open_message;
use wmbus::transport::{Application, Mode};
use wmbus::{Frame, Meter, Policy, Refused, Sealed, Telegram};

use super::ciphers::Ciphers;
use super::guard::{Counter, Heard};
use super::hour::facts::Facts;
use crate::config::MeterList;
use crate::keyring::{Keyring, Selector};
use crate::receiver::LinkMode;
use crate::world::Uptime;

/// Opens frames.
#[derive(Debug, Default)]
pub struct Opener {
    ciphers: Ciphers,
    learned: Box<Learned>,
    fragments: Box<Reassembler>,
}

/// How a frame was heard.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    /// When.
    pub at: Uptime,
    /// How strong, in dBm.
    pub rssi: Option<i16>,
    /// By which way.
    pub via: Via,
}

/// The way of a telegram, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Via {
    /// The number of the receiver.
    pub receiver: Option<u8>,
    /// How it was sent.
    pub link_mode: Option<LinkMode>,
}

/// What the headers of a telegram say, which anybody can read.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// How it is protected.
    pub protected: Protected,
    /// Whether it is an installation telegram.
    pub installation: bool,
}

/// How a telegram says that it is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protected {
    /// Not at all.
    Plain,
    /// AES-CTR in the extended link layer.
    EllCtr,
    /// A mode of the transport layer.
    Mode(u8),
}

/// Which meters are expected, and their keys.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Keys.
    pub keys: &'a Keyring,
    /// The meter list.
    pub list: &'a MeterList,
}

/// What a frame came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A reading; whether it is believed is for the guard to say.
    Opened(Meter, Box<Opened>),
    /// The meter is neither listed nor has it a key.
    Foreign(Meter),
    /// An installation telegram: it commissions, it is never a reading.
    Installation(Meter),
    /// Nothing to read by its kind, or a fragment of what is still to come.
    Nothing(Meter),
    /// Refused.
    Refused(Meter, Refusal),
    /// So damaged that it names no meter.
    Unreadable,
}

/// A telegram that was opened and read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What it says.
    pub facts: Facts,
    /// How it was heard.
    pub reception: Reception,
    /// Its counter.
    pub counter: Option<Counter>,
    /// Tells it from other telegrams of its meter.
    pub digest: u64,
    /// The body of a full frame, which teaches the layout of compact ones once it is believed.
    pub full: Option<Box<[u8]>>,
}

impl Opener {
    /// Takes a frame without link-layer checksums.
    pub fn open(&mut self, bytes: &[u8], reception: Reception, expected: Expected<'_>) -> Outcome {
        self.look(bytes, reception, expected).1
    }

    /// The same; tells what its headers say, too, if they can be read.
    pub fn look(
        &mut self,
        bytes: &[u8],
        reception: Reception,
        expected: Expected<'_>,
    ) -> (Option<Headers>, Outcome) {
        let Ok(mut frame) = Frame::bare(bytes) else { return (None, Outcome::Unreadable) };
        let link = frame.bytes().get(2..).and_then(|rest| rest.first_chunk()).copied().map(Meter::from_link);
        let Some(link) = link else { return (None, Outcome::Unreadable) };
        match Sealed::read(&mut frame) {
            Ok(sealed) => {
                let installation = sealed.link().control == Control::InstallationRequest;
                let headers = Headers { protected: Protected::of(&sealed), installation };
                (Some(headers), self.unseal(sealed, reception, expected))
            }
            Err(refused) if expected.contains(link) => (None, Outcome::Refused(link, refusal(&refused))),
            Err(_) => (None, Outcome::Foreign(link)),
        }
    }

    fn unseal(&mut self, sealed: Sealed<'_>, reception: Reception, expected: Expected<'_>) -> Outcome {
        let meter = sealed.meter();
        if !expected.contains(meter) {
            return Outcome::Foreign(meter);
        }
        match sealed.link().control {
            Control::InstallationRequest => return Outcome::Installation(meter),
            control if !control.carries_data() => return Outcome::Nothing(meter),
            _ => {}
        }
        let cipher = self.ciphers.get(meter, expected.keys);
        if let Some((afl, piece)) = sealed.fragment() {
            let link = sealed.link();
            let Some(mut message) = self.fragments.add(link.meter, &afl, piece, reception.at.seconds())
            else {
                return Outcome::Nothing(meter);
            };
            let opened = open_message(link, &mut message, cipher, Policy::Strict);
            return read(opened, meter, reception, &self.learned);
        }
        read(sealed.open(cipher, Policy::Strict), meter, reception, &self.learned)
    }

    /// Keys have changed.
    pub fn forget_keys(&mut self) {
        self.ciphers.forget();
    }

    /// Learns the layout of a believed telegram. `true` if it is new and worth storing.
    pub fn learn(&mut self, meter: Meter, opened: &Opened) -> bool {
        let body = opened.full.as_deref();
        body.is_some_and(|body| {
            self.learned.learn(meter.into(), Application::Records, body) == compact::Outcome::Learned
        })
    }

    /// What has been learned.
    pub fn learned(&mut self) -> &mut Learned {
        &mut self.learned
    }
}

impl Protected {
    fn of(sealed: &Sealed<'_>) -> Self {
        let session = sealed.extended().and_then(|extended| extended.session);
        match session {
            Some(session) if session.encryption() != 0 => Self::EllCtr,
            _ => match sealed.mode() {
                Mode::None => Self::Plain,
                mode => Self::Mode(mode.number()),
            },
        }
    }
}

impl Expected<'_> {
    /// Whether a meter is.
    #[must_use]
    pub fn contains(&self, meter: Meter) -> bool {
        self.keys.get(meter).is_some() || self.list.get(meter).is_some()
    }

    /// Whether it is expected under its full name, and not just under its number.
    #[must_use]
    pub fn names(&self, meter: Meter) -> bool {
        let name = Selector::Full(meter);
        self.keys.has(name) || self.list.has(name)
    }
}

impl Opened {
    /// As the guard wants it; `at` by the steady clock.
    #[must_use]
    pub fn heard(self: Box<Self>, at: u64) -> Heard<Box<Self>> {
        Heard {
            counter: self.counter,
            register: self.register(),
            reverse: self.facts.codes.contains(&Code::Reverse),
            digest: self.digest,
            at,
            payload: self,
        }
    }

    /// The volume in millilitres.
    fn register(&self) -> Option<i64> {
        let volume = self.facts.registers.iter().find(|(role, _)| *role == Role::Volume);
        volume.and_then(|(_, volume)| volume.value.in_units_of(-6))
    }
}

fn read(
    opened: Result<Telegram<'_>, Refused>,
    owner: Meter,
    reception: Reception,
    learned: &Learned,
) -> Outcome {
    let telegram = match opened {
        Ok(telegram) => telegram,
        Err(Refused::NoData(_) | Refused::Fragment) => return Outcome::Nothing(owner),
        Err(refused) => return Outcome::Refused(owner, refusal(&refused)),
    };
    // What a cipher that proves nothing covers may name another meter: nobody speaks for that one but its own key.
    if telegram.meter() != owner {
        return Outcome::Refused(owner, Refusal::Unsupported);
    }
    let reading = match telegram.reading(learned) {
        Ok(reading) => reading,
        Err(ReadError::Compact(CompactError::UnknownSignature(_)) | ReadError::NoRecords(_)) => {
            return Outcome::Refused(owner, Refusal::Unsupported);
        }
        Err(_) => return Outcome::Refused(owner, Refusal::Damaged),
    };
    let counter = telegram.security.counter.map(|number| match telegram.security.scheme {
        Scheme::None | Scheme::EllCtr => Counter::Session(number),
        Scheme::Mode5 | Scheme::Mode7 | Scheme::Mode10 => Counter::Message(number),
    });
    let mut digest = DefaultHasher::new();
    telegram.message.hash(&mut digest);
    let full = telegram.application == Application::Records && telegram.security.scheme != Scheme::None;
    Outcome::Opened(
        owner,
        Box::new(Opened {
            facts: Facts::of(&reading, &telegram.security),
            reception,
            counter,
            digest: digest.finish(),
            full: full.then(|| telegram.body.into()),
        }),
    )
}

fn refusal(refused: &Refused) -> Refusal {
    match refused {
        Refused::NoKey => Refusal::NoKey,
        Refused::WrongKey(_) => Refusal::WrongKey,
        Refused::NotEncrypted => Refusal::NotEncrypted,
        Refused::Damaged(_) => Refusal::Damaged,
        _ => Refusal::Unsupported,
    }
}
