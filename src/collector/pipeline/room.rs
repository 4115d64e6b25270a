//! Room for meters. Where a list or a key names a number alone, anybody can claim it under thousands of versions and device
//! types: those who do are few at a time, and the genuine one always finds room among them.

use wmbus::Meter;

use super::Collector;
use crate::collector::meter::MeterState;
use crate::collector::open::Expected;

/// So many meters of one number have a state that are not named in full, and as many again whose telegrams were opened.
const FEW: usize = 4;

impl Collector {
    /// Before a meter gets its state, or is opened for the first time: of the others of its number, the one that was not
    /// heard for longest goes if there are too many.
    pub(super) fn make_room(&mut self, meter: Meter, opened: bool) {
        let has_its_place = |state: &MeterState| state.is_opened() || !opened;
        if self.meters.get(&meter).is_some_and(|state| has_its_place(state)) {
            return;
        }
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        if expected.names(meter) {
            return;
        }
        let others = self.meters.iter().filter(|(other, state)| {
            other.serial == meter.serial && **other != meter && state.is_opened() == opened
        });
        let mut others: Vec<_> = others
            .filter(|(other, _)| !expected.names(**other))
            .map(|(other, state)| {
                let frames = state.sealed.as_ref().map_or(0, |waiting| waiting.kept());
                (state.reception.heard, frames, *other)
            })
            .collect();
        others.sort_unstable();
        let surplus = (others.len() + 1).saturating_sub(FEW);
        for (_, _, gone) in others.into_iter().take(surplus) {
            self.meters.remove(&gone);
            self.heard.forget(gone);
            self.to_open.retain(|other| *other != gone);
        }
    }

    /// What only claimed a name is not remembered over a restart.
    pub(super) fn is_worth_storing(&self, meter: Meter, state: &MeterState) -> bool {
        let has_history = state.guard.newest().is_some() || state.keeper.written().is_some();
        let expected = Expected { keys: &self.keys, list: &self.settings.list };
        has_history || expected.names(meter)
    }
}
