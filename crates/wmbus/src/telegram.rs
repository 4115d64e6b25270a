//! A telegram: a frame's headers taken apart, its protection opened and verified.
//!
//! [`Sealed::read`] reads what is never enciphered and names the meter whose key is needed; [`Sealed::open`] deciphers
//! in place and verifies all there is to verify, or says which of the typed reasons there is to refuse.

mod modes;
mod refused;

use modes::Job;
pub use refused::{Check, Damage, Refused, Unsupported};

use crate::address::Meter;
use crate::afl::{Afl, Message};
use crate::crc;
use crate::frame::{Format, Frame};
use crate::link::{Control, ELL_V, ExtendedLink};
use crate::reader::{Reader, Truncated};
use crate::security::mode::counter_block;
use crate::security::{Cipher, Scheme, Security, Verified, cipher};
use crate::transport::{Application, Mode, Transport};

/// How strictly to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// For everything that comes from the air.
    Strict,
    /// Also open frames whose header says enciphered and whose body is plain, as logs hold them. For people who look
    /// at logs; never for a daemon, since anyone can send such a frame.
    AlsoOpened,
}

/// The link layer's part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// In which shape the frame came.
    pub format: Format,
    /// Kind of frame.
    pub control: Control,
    /// Who sent it: the meter, or its radio adapter. A wired frame names its meter in the long header only.
    pub meter: Meter,
}

/// A frame whose clear headers have been read.
#[derive(Debug)]
pub struct Sealed<'a> {
    link: Link,
    extended: Option<ExtendedLink>,
    /// The meter whose key is needed.
    owner: Meter,
    /// From the payload CRC on if there is a session, else from the next CI on.
    bytes: &'a mut [u8],
}

/// A telegram that has been opened.
#[derive(Clone, Copy, Debug)]
pub struct Telegram<'a> {
    /// The link layer.
    pub link: Link,
    /// The extended link layer.
    pub extended: Option<ExtendedLink>,
    /// The authentication and fragmentation layer.
    pub afl: Option<Afl>,
    /// The transport layer's header.
    pub transport: Option<Transport>,
    /// How it was protected and what was verified.
    pub security: Security,
    /// What the application's bytes are.
    pub application: Application,
    /// Everything behind the extended link layer (and its payload CRC) in the clear.
    pub message: &'a [u8],
    /// The application's bytes in the clear, without the marker `2F 2F` and the authentication tag: a part of
    /// `message`.
    pub body: &'a [u8],
    /// How many bytes of the body were enciphered, or authenticated, or need no enciphering; what stands behind was
    /// sent in the clear although a key protects the rest, and nothing vouches for it.
    pub protected: usize,
}

impl Telegram<'_> {
    /// The meter it tells of: the long header's where there is one, else the link layer's.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.transport.and_then(|transport| transport.meter).unwrap_or(self.link.meter)
    }

    /// Whether a repeater has passed it on.
    #[must_use]
    pub fn relayed(&self) -> bool {
        self.extended.is_some_and(|extended| extended.communication.relayed())
            || self.transport.is_some_and(|transport| transport.configuration.relayed())
    }
}

impl<'a> Sealed<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// If they end too early, or belong to a layer that cannot be read.
    pub fn read(frame: &'a mut Frame) -> Result<Self, Refused> {
        let format = frame.format();
        let (link, at) = read_link(format, frame.bytes())?;
        let rest = frame.bytes_mut().get_mut(at..).unwrap_or_default();
        let mut reader = Reader::new(rest);
        let ci = reader.byte().map_err(in_layer("link layer"))?;
        let extended = match ci {
            ELL_V => return Err(Refused::Unsupported(Unsupported::Ci(ELL_V))),
            ci if ExtendedLink::opens(ci) => {
                Some(ExtendedLink::read(ci, &mut reader).map_err(in_layer("extended link layer"))?)
            }
            _ => None,
        };
        let skip = if extended.is_some() { usize::from(reader.at()) } else { 0 };
        let bytes = rest.get_mut(skip..).unwrap_or_default();
        // A session's key is the link layer's; else it is that of the meter the transport layer names.
        let owner = match extended.and_then(|extended| extended.session) {
            Some(session) if session.encryption() != 0 => None,
            Some(_) => bytes.get(2..).and_then(transport_owner),
            None => transport_owner(bytes),
        };
        let owner = owner.unwrap_or(link.meter);
        Ok(Self { link, extended, owner, bytes })
    }

    /// The meter whose key is needed: the one whose address goes into the ciphers.
    #[must_use]
    pub const fn meter(&self) -> Meter {
        self.owner
    }

    /// The link layer.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// The extended link layer.
    #[must_use]
    pub const fn extended(&self) -> Option<ExtendedLink> {
        self.extended
    }

    /// The security mode of the transport layer, as far as it can be seen without a key.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.clear_transport().map_or(Mode::None, |transport| transport.configuration.mode())
    }

    /// Whether a repeater has passed it on, as far as that can be seen without a key.
    #[must_use]
    pub fn relayed(&self) -> bool {
        self.extended.is_some_and(|link| link.communication.relayed())
            || self.clear_transport().is_some_and(|transport| transport.configuration.relayed())
    }

    /// Whether its headers say that a key is needed.
    #[must_use]
    pub fn is_enciphered(&self) -> bool {
        let session = self.extended.and_then(|extended| extended.session);
        session.is_some_and(|session| session.encryption() != 0) || self.mode() != Mode::None
    }

    /// The transport layer's header, unless it is enciphered.
    fn clear_transport(&self) -> Option<Transport> {
        let bytes = match self.extended.and_then(|extended| extended.session) {
            Some(session) if session.encryption() != 0 => return None,
            Some(_) => self.bytes.get(2..)?,
            None => &*self.bytes,
        };
        layers(bytes).ok()?.transport
    }

    /// If this is one of several fragments: its fields and the bytes for [`Reassembler`](crate::afl::Reassembler).
    #[must_use]
    pub fn fragment(&self) -> Option<(Afl, &[u8])> {
        if self.extended.is_some_and(|extended| extended.session.is_some()) {
            return None;
        }
        let layers = layers(self.bytes).ok()?;
        let afl = layers.afl.filter(|afl| afl.fragment() != 0)?;
        Some((afl, self.bytes.get(layers.start..).unwrap_or_default()))
    }

    /// Deciphers and verifies. With a key, only what that key protects is accepted.
    ///
    /// # Errors
    /// One of the typed reasons; nothing of the content is given away then.
    pub fn open(self, key: Option<&Cipher>, policy: Policy) -> Result<Telegram<'a>, Refused> {
        let Self { link, extended, bytes, .. } = self;
        if !link.control.carries_data() {
            return Err(Refused::NoData(link.control));
        }
        let Some((extended_link, session)) =
            extended.and_then(|link| link.session.map(|session| (link, session)))
        else {
            return open_transport(link, extended, None, bytes, key, policy, None);
        };
        let mut already_open = false;
        match (session.encryption(), key) {
            (0, _) => {
                if !payload_crc_fits(bytes) {
                    return Err(Refused::Damaged(Damage::PayloadCrc));
                }
                let outer = Security {
                    scheme: Scheme::None,
                    verified: Verified { payload_crc: true, ..Verified::default() },
                    already_open,
                    counter: Some(session.counter()),
                };
                let inner = bytes.get_mut(2..).unwrap_or_default();
                return open_transport(link, extended, None, inner, key, policy, Some(outer));
            }
            (1, Some(cipher)) => {
                let block = counter_block(link.meter, extended_link.communication, session);
                cipher.ctr(&block, bytes);
                if !payload_crc_fits(bytes) {
                    cipher.ctr(&block, bytes);
                    already_open = policy == Policy::AlsoOpened && payload_crc_fits(bytes);
                    if !already_open {
                        return Err(Refused::WrongKey(Check::PayloadCrc));
                    }
                }
            }
            (1, None) => {
                already_open = policy == Policy::AlsoOpened && payload_crc_fits(bytes);
                if !already_open {
                    return Err(Refused::NoKey);
                }
            }
            (other, _) => return Err(Refused::Unsupported(Unsupported::LinkEncryption(other))),
        }
        let verified = Verified { payload_crc: true, ..Verified::default() };
        let outer =
            Security { scheme: Scheme::EllCtr, verified, already_open, counter: Some(session.counter()) };
        let inner = bytes.get_mut(2..).unwrap_or_default();
        open_transport(link, extended, None, inner, key, policy, Some(outer))
    }
}

/// Opens a message put together from fragments; `link` is that of the fragments.
///
/// # Errors
/// As [`Sealed::open`].
pub fn open_message<'a>(
    link: Link,
    message: &'a mut Message,
    key: Option<&Cipher>,
    policy: Policy,
) -> Result<Telegram<'a>, Refused> {
    open_transport(link, None, Some(message.afl), &mut message.bytes, key, policy, None)
}

/// The clear headers behind the extended link layer.
struct Layers {
    afl: Option<Afl>,
    /// Where the transport layer's CI stands.
    start: usize,
    application: Application,
    transport: Option<Transport>,
    /// Where the application's bytes, or their ciphertext, start.
    body: usize,
}

fn layers(bytes: &[u8]) -> Result<Layers, Refused> {
    let mut reader = Reader::new(bytes);
    let mut afl = None;
    if bytes.first() == Some(&crate::afl::CI) {
        reader.byte().map_err(in_layer("transport layer"))?;
        afl = Some(Afl::read(&mut reader).map_err(|error| Refused::Damaged(Damage::Afl(error)))?);
    }
    let start = usize::from(reader.at());
    // Later fragments have no transport header, and the first may end inside it: what follows belongs to the message.
    let piece = Layers { afl, start, application: Application::Records, transport: None, body: start };
    match (afl.map_or(0, |afl| afl.fragment()), transport_header(&mut reader)) {
        (0 | 1, Ok((application, transport))) => {
            Ok(Layers { application, transport, body: usize::from(reader.at()), ..piece })
        }
        (0, Err(refused)) => Err(refused),
        _ => Ok(piece),
    }
}

fn transport_header(reader: &mut Reader<'_>) -> Result<(Application, Option<Transport>), Refused> {
    let ci = reader.byte().map_err(in_layer("transport layer"))?;
    let (application, kind) = Application::of(ci).ok_or(Refused::Unsupported(Unsupported::Ci(ci)))?;
    let transport = Transport::read(kind, reader).map_err(in_layer("transport layer"))?;
    Ok((application, transport))
}

/// The long header's meter, if there is one.
fn transport_owner(bytes: &[u8]) -> Option<Meter> {
    layers(bytes).ok()?.transport?.meter
}

fn read_link(format: Format, bytes: &[u8]) -> Result<(Link, usize), Refused> {
    let mut reader = Reader::new(bytes);
    let short = in_layer("link layer");
    if format == Format::Wired {
        let [_, control, _] = *reader.array().map_err(short)?;
        let meter =
            transport_owner(reader.rest()).ok_or(Refused::Unsupported(Unsupported::WiredWithoutAddress))?;
        return Ok((Link { format, control: Control::from_wire(control), meter }, 3));
    }
    let [_, control] = *reader.array().map_err(short)?;
    let meter = Meter::from_link(*reader.array().map_err(short)?);
    Ok((Link { format, control: Control::from_wire(control), meter }, 10))
}

/// Opens transport layer and application. `outer` is what the extended link layer has already given.
fn open_transport<'a>(
    link: Link,
    extended: Option<ExtendedLink>,
    reassembled: Option<Afl>,
    bytes: &'a mut [u8],
    key: Option<&Cipher>,
    policy: Policy,
    outer: Option<Security>,
) -> Result<Telegram<'a>, Refused> {
    let layers = layers(bytes)?;
    if let Some(afl) = layers.afl
        && afl.fragment() != 0
    {
        return Err(Refused::Fragment);
    }
    let afl = reassembled.or(layers.afl);
    let owner = layers.transport.and_then(|transport| transport.meter).unwrap_or(link.meter);
    let opened_outside = outer.is_some_and(|outer| outer.scheme != Scheme::None);
    if opened_outside && owner != link.meter && policy == Policy::Strict {
        return Err(Refused::OtherMeter);
    }
    let job = Job { owner, afl: afl.as_ref(), key, outer, policy };
    let mode = layers.transport.map_or(Mode::None, |transport| transport.configuration.mode());
    let (mut security, skip, protected) = match (mode, layers.transport) {
        (Mode::Aes128Cbc, Some(transport)) => {
            job.mode5(transport, bytes.get_mut(layers.body..).unwrap_or_default())?
        }
        (Mode::Aes128CbcKdf, Some(transport)) => job.mode7(
            transport,
            bytes.get_mut(layers.start..).unwrap_or_default(),
            layers.body - layers.start,
        )?,
        (Mode::Aes128Ccm, Some(transport)) => job.mode10(
            transport,
            bytes.get_mut(layers.start..).unwrap_or_default(),
            layers.body - layers.start,
        )?,
        (Mode::Unsupported(number), _) => return Err(Refused::Unsupported(Unsupported::Mode(number))),
        _ => job.in_the_clear(bytes.get(layers.body..).unwrap_or_default())?,
    };
    if let Some(outer) = outer {
        security.verified.payload_crc = outer.verified.payload_crc;
        security.already_open |= outer.already_open;
        // A session number in the clear is bound to nothing: anyone could raise it to make an old telegram look new.
        if security.scheme == Scheme::None || outer.scheme != Scheme::None {
            security.counter = security.counter.or(outer.counter);
        }
        if security.scheme == Scheme::None {
            security.scheme = outer.scheme;
        }
    }
    let bytes: &'a [u8] = bytes;
    let end = if security.verified.tag { bytes.len().saturating_sub(cipher::TAG) } else { bytes.len() };
    let body = bytes.get(layers.body + skip..end).unwrap_or_default();
    let (transport, application) = (layers.transport, layers.application);
    let protected = protected.saturating_sub(skip).min(body.len());
    Ok(Telegram { link, extended, afl, transport, security, application, message: bytes, body, protected })
}

fn payload_crc_fits(bytes: &[u8]) -> bool {
    bytes.split_first_chunk::<2>().is_some_and(|(sum, payload)| crc::of(payload) == u16::from_le_bytes(*sum))
}

fn in_layer(layer: &'static str) -> impl Fn(Truncated) -> Refused + Copy {
    move |_| Refused::Damaged(Damage::Truncated(layer))
}

#[cfg(test)]
mod tests;
