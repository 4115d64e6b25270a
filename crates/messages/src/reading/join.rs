//! Two rows of one key become one.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{HourRow, Register, Registers, Role};

/// Combines two rows of one meter and boundary, whichever gateways or runs they came from.
///
/// Of each register the reading nearest to the boundary stays, after offsets within 60 s became 0; then the earlier,
/// then the lower. Codes are united, extremes widened; minutes, classes, counts and RSSI are the greater ones. The row
/// is `late` only if both are, `inferred` if either is, and as well checked as the weaker. Of two fields of a later
/// version with the same name the one whose JSON text sorts later stays.
///
/// The operation is commutative and associative, and a row joined with itself is that row with its offsets snapped: any
/// order and any repetition give the same row.
///
/// # Errors
/// The rows have different keys.
///
/// ```
/// use messages::reading::{HourRow, join};
/// let row = |volume: &str, offset: i32| -> HourRow {
///     serde_json::from_value(serde_json::json!({
///         "meter": "KAM.76348799.1B.16", "boundary": "2026-11-24T01:00:00Z", "checked": "checksum",
///         "registers": { "volume": [volume, offset] },
///     })).unwrap()
/// };
/// let joined = join(&row("5.120 m3", -1800), &row("5.200 m3", 4))?;
/// assert_eq!(joined.registers, row("5.200 m3", 0).registers);
/// # Ok::<(), messages::reading::DifferentKeys>(())
/// ```
pub fn join(a: &HourRow, b: &HourRow) -> Result<HourRow, DifferentKeys> {
    if (a.meter, a.boundary) != (b.meter, b.boundary) {
        return Err(DifferentKeys);
    }
    Ok(HourRow {
        meter: a.meter,
        boundary: a.boundary,
        registers: nearest(&a.registers, &b.registers),
        flow: both(a.flow, b.flow, super::Extremes::widened),
        water: both(a.water, b.water, super::Extremes::widened),
        ambient: both(a.ambient, b.ambient, super::Extremes::widened),
        codes: &a.codes | &b.codes,
        classes: merge(a.classes.clone(), &b.classes, Ord::max),
        minutes: merge(a.minutes.clone(), &b.minutes, Ord::max),
        telegrams: a.telegrams.max(b.telegrams),
        rssi: both(a.rssi, b.rssi, Ord::max),
        late: a.late && b.late,
        inferred: a.inferred || b.inferred,
        checked: a.checked.min(b.checked),
        other: a.other.joined(&b.other),
    })
}

/// Rows of different meters or boundaries cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("rows of different meters or boundaries cannot be joined")]
pub struct DifferentKeys;

fn nearest(a: &Registers, b: &Registers) -> Registers {
    let mut all: Vec<(&Role, Register)> =
        a.iter().chain(b).map(|(role, register)| (role, register.snapped())).collect();
    // Of one role the nearest comes first.
    all.sort_unstable();
    all.dedup_by_key(|(role, _)| *role);
    all.into_iter().map(|(role, register)| (role.clone(), register)).collect()
}

fn merge<K: Ord + Clone, V: Copy>(
    mut into: BTreeMap<K, V>,
    from: &BTreeMap<K, V>,
    pick: fn(V, V) -> V,
) -> BTreeMap<K, V> {
    for (key, value) in from {
        into.entry(key.clone()).and_modify(|mine| *mine = pick(*mine, *value)).or_insert(*value);
    }
    into
}

fn both<T>(a: Option<T>, b: Option<T>, combine: fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(combine(a, b)),
        (one, None) | (None, one) => one,
    }
}
