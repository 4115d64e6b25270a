//! Layouts learned from full frames.

use arrayvec::ArrayVec;

use crate::compact::{Kind, MAX_HEADS, Signature, Source, table, usable};
use crate::record::{Item, Items};
use crate::transport::Application;

/// How many layouts are kept. A utility has a handful of meter kinds and configurations.
const CAPACITY: usize = 64;

/// What learning from a full frame came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A layout seen for the first time: a second frame must agree before it is used.
    SeenOnce,
    /// Now used; worth storing.
    Learned,
    /// Known before.
    Known,
    /// Not a layout that a compact frame could have, or no room.
    NotLearned,
}

/// Layouts by kind of meter, learned from frames that passed every check. Bounded, without heap.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    layouts: ArrayVec<Layout, CAPACITY>,
    trusting: bool,
}

#[derive(Clone, Debug)]
struct Layout {
    kind: Kind,
    signature: Signature,
    confirmed: bool,
    heads: ArrayVec<u8, MAX_HEADS>,
}

/// A layout as it is stored over a restart. The signature follows from the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLayout<'a> {
    /// The kind of meter it was learned from.
    pub kind: Kind,
    /// DIF, DIFE, VIF and VIFE of its records, in order.
    pub heads: &'a [u8],
}

impl Learned {
    /// Uses a layout after a single full frame: for people who read logs. The air needs two that agree
    /// ([`default`](Self::default)), since anyone can send one.
    #[must_use]
    pub fn trusting() -> Self {
        Self { layouts: ArrayVec::new(), trusting: true }
    }

    /// Learns from the body of a full frame, or from a format frame. Call it only for telegrams that were opened and
    /// verified: a forged frame would teach a wrong layout.
    pub fn learn(&mut self, kind: Kind, application: Application, body: &[u8]) -> Outcome {
        let heads = match application {
            Application::Records => heads_of(body),
            Application::FormatFrame => heads_of_format_frame(body),
            _ => None,
        };
        let Some(heads) = heads.filter(|heads| usable(heads)) else { return Outcome::NotLearned };
        let signature = Signature::of(&heads);
        if contradicts_the_table(signature, &heads) {
            return Outcome::NotLearned;
        }
        if let Some(layout) = self.layouts.iter_mut().find(|layout| layout.is(kind, signature)) {
            if layout.heads != heads {
                // Two layouts with one signature: what was there stays, unless it was never confirmed.
                if !layout.confirmed {
                    layout.heads = heads;
                }
                return Outcome::NotLearned;
            }
            let before = core::mem::replace(&mut layout.confirmed, true);
            return if before { Outcome::Known } else { Outcome::Learned };
        }
        if self.layouts.is_full() {
            let Some(oldest) = self.layouts.iter().position(|layout| !layout.confirmed) else {
                return Outcome::NotLearned;
            };
            self.layouts.remove(oldest);
        }
        self.layouts.push(Layout { kind, signature, confirmed: self.trusting, heads });
        if self.trusting { Outcome::Learned } else { Outcome::SeenOnce }
    }

    /// Takes a layout back from storage. `false` if it cannot be one, or there is no room.
    pub fn restore(&mut self, stored: StoredLayout<'_>) -> bool {
        let signature = Signature::of(stored.heads);
        let known = self.layouts.iter().any(|layout| layout.is(stored.kind, signature));
        let usable = usable(stored.heads) && !contradicts_the_table(signature, stored.heads);
        if known || self.layouts.is_full() || !usable {
            return false;
        }
        let heads = stored.heads.iter().copied().collect();
        self.layouts.push(Layout { kind: stored.kind, signature, confirmed: true, heads });
        true
    }

    /// The layouts in use, for storing.
    pub fn stored(&self) -> impl Iterator<Item = StoredLayout<'_>> {
        self.layouts
            .iter()
            .filter(|layout| layout.confirmed)
            .map(|layout| StoredLayout { kind: layout.kind, heads: &layout.heads })
    }

    pub(crate) fn find(&self, kind: Kind, signature: Signature) -> Option<&[u8]> {
        let found = self.layouts.iter().find(|layout| layout.confirmed && layout.is(kind, signature))?;
        Some(&found.heads)
    }
}

impl Layout {
    fn is(&self, kind: Kind, signature: Signature) -> bool {
        self.signature == signature && self.kind == kind
    }
}

/// Whether a built-in layout that real meters confirmed has the same signature and other heads. It is easy to make such
/// heads, and AES-CTR does not say who made them; an inferred layout gives way.
fn contradicts_the_table(signature: Signature, heads: &[u8]) -> bool {
    table::find(signature).is_some_and(|(row, source)| source == Source::BuiltIn && row != heads)
}

/// The heads of a full frame's records, fillers left out. `None` where a compact frame could not stand for it.
fn heads_of(body: &[u8]) -> Option<ArrayVec<u8, MAX_HEADS>> {
    let mut heads = ArrayVec::new();
    for item in Items::full(body) {
        match item.ok()? {
            Item::Record(record) => heads.try_extend_from_slice(record.header.bytes).ok()?,
            Item::Filler { .. } => {}
            Item::Manufacturer { .. } => return None,
        }
    }
    Some(heads)
}

/// A format frame: a length, the signature, the heads (EN 13757-3, G.3).
fn heads_of_format_frame(body: &[u8]) -> Option<ArrayVec<u8, MAX_HEADS>> {
    let (length, rest) = body.split_first()?;
    let (signature, heads) = rest.get(..usize::from(*length))?.split_first_chunk::<2>()?;
    if Signature::of(heads) != Signature(u16::from_le_bytes(*signature)) {
        return None;
    }
    let mut copy = ArrayVec::new();
    copy.try_extend_from_slice(heads).ok()?;
    Some(copy)
}
