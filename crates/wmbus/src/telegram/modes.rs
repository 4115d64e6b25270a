//! The security modes of the transport layer, one by one.

use crate::address::Meter;
use crate::afl::Afl;
use crate::security::mode::{MARKER, Purpose, derive, nonce_mode10, vector_mode5};
use crate::security::{Cipher, Scheme, Security, Verified, cipher};
use crate::telegram::{Check, Damage, Policy, Refused, Unsupported};
use crate::transport::Transport;

/// Security, bytes of marker to leave out, bytes that were protected.
pub(super) type Opened = (Security, usize, usize);

/// What the transport modes need beside their header.
pub(super) struct Job<'a> {
    pub(super) owner: Meter,
    pub(super) afl: Option<&'a Afl>,
    pub(super) key: Option<&'a Cipher>,
    /// What the extended link layer has already given.
    pub(super) outer: Option<Security>,
    pub(super) policy: Policy,
}

impl Job<'_> {
    /// A body that needs no deciphering here: it was opened further out, or nobody enciphered it.
    pub(super) fn in_the_clear(&self, body: &[u8]) -> Result<Opened, Refused> {
        let enciphered = self.outer.is_some_and(|outer| outer.scheme != Scheme::None);
        if self.key.is_some() && !enciphered && self.policy == Policy::Strict {
            return Err(Refused::NotEncrypted);
        }
        let security = Security {
            scheme: Scheme::None,
            verified: Verified::default(),
            already_open: false,
            counter: None,
        };
        Ok((security, 0, body.len()))
    }

    /// Mode 5: `body` is what follows the configuration field.
    pub(super) fn mode5(&self, transport: Transport, body: &mut [u8]) -> Result<Opened, Refused> {
        let sealed = enciphered_blocks(transport, body.len())?;
        if sealed == 0 {
            return self.in_the_clear(body);
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
    pub(super) fn mode7(
        &self,
        transport: Transport,
        message: &mut [u8],
        body: usize,
    ) -> Result<Opened, Refused> {
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
        // The code covers what is in the clear, too.
        let vouched = if security.verified.mac { message.len().saturating_sub(body) } else { sealed };
        Ok((security, if marked { MARKER.len() } else { 0 }, vouched))
    }

    /// Mode 10: `message` starts at the transport layer's CI, its body at `body`; the tag is its end.
    pub(super) fn mode10(
        &self,
        transport: Transport,
        message: &mut [u8],
        body: usize,
    ) -> Result<Opened, Refused> {
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
