//! The one place where bytes are taken off a slice; nothing in this crate indexes by a number from the air.

use thiserror::Error;

/// Fewer bytes than a field needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{want} byte(s) wanted at byte {at}, but the data ends there")]
pub(crate) struct Truncated {
    /// Where, counted from the first byte of the slice that was read.
    pub(crate) at: u16,
    /// How many were wanted.
    pub(crate) want: u16,
}

/// Takes bytes from the front and knows where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Where the last byte would stand: counting is left to those who ask.
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len() }
    }

    /// Counts on from `at`, for bytes that are a part of something.
    pub(crate) fn counting_from(at: u16, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len().saturating_add(usize::from(at)) }
    }

    pub(crate) fn at(&self) -> u16 {
        saturate(self.end - self.rest.len())
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| *byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Truncated> {
        let (head, tail) = self.rest.split_first_chunk().ok_or_else(|| self.short(N))?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or_else(|| self.short(n))?;
        self.rest = tail;
        Ok(head)
    }

    fn short(&self, n: usize) -> Truncated {
        Truncated { at: self.at(), want: saturate(n) }
    }
}

pub(crate) fn saturate(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
