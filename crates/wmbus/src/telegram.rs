//! A telegram: a frame's headers taken apart, its protection opened and verified.
//!
//! [`Sealed::read`] reads what is never enciphered and names the meter whose key is needed; [`Sealed::open`] deciphers
//! in place and verifies all there is to verify, or says which of the typed reasons there is to refuse.

mod refused;

pub use refused::{Check, Damage, Refused, Unsupported};

use crate::address::Meter;
use crate::afl::{Afl, Message};
use crate::crc;
use crate::frame::{Format, Frame};
use crate::link::{Control, ELL_V, ExtendedLink};
use crate::reader::{Reader, Truncated};
use crate::security::mode::{MARKER, Purpose, counter_block, derive, nonce_mode10, vector_mode5};
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
    /// How many bytes of the body were enciphered or need no enciphering; what stands behind was sent in the clear
    /// although a key protects the rest, and nothing vouches for it.
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
        if !link.control.carries_data() && bytes.is_empty() {
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
    let job = Job { owner, afl: afl.as_ref(), key, policy };
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
        _ => in_the_clear(outer, key.is_some(), policy, bytes.get(layers.body..).unwrap_or_default())?,
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

/// Security, bytes of marker to leave out, bytes that were protected.
type Opened = (Security, usize, usize);

/// A body that needs no deciphering here: it was opened further out, or nobody enciphered it.
fn in_the_clear(
    outer: Option<Security>,
    has_key: bool,
    policy: Policy,
    body: &[u8],
) -> Result<Opened, Refused> {
    let enciphered = outer.is_some_and(|outer| outer.scheme != Scheme::None);
    if has_key && !enciphered && policy == Policy::Strict {
        return Err(Refused::NotEncrypted);
    }
    let security =
        Security { scheme: Scheme::None, verified: Verified::default(), already_open: false, counter: None };
    Ok((security, 0, body.len()))
}

/// What the transport modes need beside their header.
struct Job<'a> {
    owner: Meter,
    afl: Option<&'a Afl>,
    key: Option<&'a Cipher>,
    policy: Policy,
}

impl Job<'_> {
    /// Mode 5: `body` is what follows the configuration field.
    fn mode5(&self, transport: Transport, body: &mut [u8]) -> Result<Opened, Refused> {
        let sealed = enciphered_blocks(transport, body.len())?;
        if sealed == 0 {
            return in_the_clear(None, self.key.is_some(), self.policy, body);
        }
        let part = body.get_mut(..sealed).unwrap_or_default();
        let mut security = Security {
            scheme: Scheme::Mode5,
            verified: Verified::default(),
            already_open: false,
            counter: None,
        };
        let plain = part.starts_with(&MARKER);
        match self.key {
            None if plain && self.policy == Policy::AlsoOpened => security.already_open = true,
            None => return Err(Refused::NoKey),
            Some(cipher) => {
                let vector = vector_mode5(self.owner, transport.access);
                cipher::cbc_decrypt(cipher.key(), &vector, part);
                if !part.starts_with(&MARKER) {
                    if !(plain && self.policy == Policy::AlsoOpened) {
                        return Err(Refused::WrongKey(Check::Marker));
                    }
                    cipher::cbc_encrypt(cipher.key(), &vector, part);
                    security.already_open = true;
                }
            }
        }
        security.verified.marker = true;
        Ok((security, MARKER.len(), sealed))
    }

    /// Mode 7: `message` starts at the transport layer's CI, its body at `body`.
    fn mode7(&self, transport: Transport, message: &mut [u8], body: usize) -> Result<Opened, Refused> {
        if transport.configuration.key_derivation() != 1 {
            return Err(Refused::Unsupported(Unsupported::KeyDerivation(
                transport.configuration.key_derivation(),
            )));
        }
        let sealed = enciphered_blocks(transport, message.len().saturating_sub(body))?;
        let counter = transport.configuration.counter.or_else(|| self.afl.and_then(|afl| afl.counter));
        let mut security =
            Security { scheme: Scheme::Mode7, verified: Verified::default(), already_open: false, counter };
        let plain = message.get(body..).is_some_and(|body| body.starts_with(&MARKER));
        let opened_before = plain && self.policy == Policy::AlsoOpened;
        match (self.key, self.afl, counter) {
            (None, ..) if opened_before => security.already_open = true,
            (None, ..) => return Err(Refused::NoKey),
            (Some(cipher), Some(afl), Some(counter)) if afl.is_cmac() => {
                let authentication = Cipher::new(derive(cipher, Purpose::Authenticate, counter, self.owner));
                let full = authentication.cmac([&afl.authenticated_head(), message]);
                let mac = afl.mac.bytes();
                if full.get(..mac.len()).is_some_and(|cut| !mac.is_empty() && cipher::same_code(cut, mac)) {
                    let key = derive(cipher, Purpose::Encipher, counter, self.owner);
                    let part =
                        message.get_mut(body..).and_then(|body| body.get_mut(..sealed)).unwrap_or_default();
                    cipher::cbc_decrypt(&key, &[0; 16], part);
                    security.verified.mac = true;
                } else if opened_before {
                    security.already_open = true;
                } else {
                    return Err(Refused::WrongKey(Check::Mac));
                }
            }
            (Some(_), ..) if opened_before => security.already_open = true,
            (Some(_), ..) => return Err(Refused::Unsupported(Unsupported::Authentication)),
        }
        let marked = message.get(body..).is_some_and(|body| body.starts_with(&MARKER));
        if sealed > 0 && !marked {
            return Err(Refused::WrongKey(Check::Marker));
        }
        security.verified.marker = marked;
        Ok((security, if marked { MARKER.len() } else { 0 }, sealed))
    }

    /// Mode 10: `message` starts at the transport layer's CI, its body at `body`; the tag is its end.
    fn mode10(&self, transport: Transport, message: &mut [u8], body: usize) -> Result<Opened, Refused> {
        let configuration = transport.configuration;
        let Some(counter) = configuration.counter else {
            return Err(Refused::Unsupported(Unsupported::Authentication));
        };
        if configuration.key_derivation() != 1 {
            return Err(Refused::Unsupported(Unsupported::KeyDerivation(configuration.key_derivation())));
        }
        // Only the tag of eight bytes and messages enciphered as a whole are known from real meters.
        if configuration.extension >> 8 & 0b11 != 1 || configuration.enciphered_bytes() != 0xFF {
            return Err(Refused::Unsupported(Unsupported::Authentication));
        }
        let Some(cipher) = self.key else { return Err(Refused::NoKey) };
        let (head, rest) =
            message.split_at_mut_checked(body).ok_or(Refused::Damaged(Damage::Truncated("body")))?;
        // The counter, the last four bytes of the header, is in the nonce and not in the associated data.
        let head = head.get(..head.len().saturating_sub(4)).unwrap_or_default();
        let Some((sealed, tag)) = rest.split_last_chunk_mut::<{ cipher::TAG }>() else {
            return Err(Refused::Damaged(Damage::Truncated("authentication tag")));
        };
        let key = derive(cipher, Purpose::Encipher, counter, self.owner);
        if !cipher::ccm_decrypt(&key, &nonce_mode10(self.owner, counter), head, sealed, tag) {
            return Err(Refused::WrongKey(Check::Tag));
        }
        let verified = Verified { tag: true, ..Verified::default() };
        let security =
            Security { scheme: Scheme::Mode10, verified, already_open: false, counter: Some(counter) };
        Ok((security, 0, sealed.len()))
    }
}

/// How many of `available` bytes modes 5 and 7 encipher. Fifteen blocks mean, in older profiles, all that fit.
fn enciphered_blocks(transport: Transport, available: usize) -> Result<usize, Refused> {
    let blocks = transport.configuration.blocks();
    let wanted = usize::from(blocks) * 16;
    match (wanted <= available, blocks) {
        (true, _) => Ok(wanted),
        (false, 15) => Ok(available / 16 * 16),
        (false, _) => Err(Refused::Damaged(Damage::Truncated("enciphered blocks"))),
    }
}

fn payload_crc_fits(bytes: &[u8]) -> bool {
    bytes.split_first_chunk::<2>().is_some_and(|(sum, payload)| crc::of(payload) == u16::from_le_bytes(*sum))
}

fn in_layer(layer: &'static str) -> impl Fn(Truncated) -> Refused + Copy {
    move |_| Refused::Damaged(Damage::Truncated(layer))
}

#[cfg(test)]
mod tests;
