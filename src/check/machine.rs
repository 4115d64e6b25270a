//! The machine itself: clock, disk, databases.

use super::{Area, Finding, Verdict};
use crate::config::Config;
use crate::health::clock::Source;
use crate::health::status::CollectStatus;
use crate::store::{self, StoreError};
use crate::world::Clock;

pub(super) async fn clock(config: &Config, clock: &Clock, collect: Option<&CollectStatus>) -> Finding {
    let finding = |verdict, text: &str| Finding::new(Area::Clock, verdict, text);
    if collect.is_some_and(|collect| collect.at.is_some()) {
        return finding(Verdict::Good, "trusted");
    }
    if Source::of(config.gateway.clock, clock) == Source::Rtc {
        return finding(Verdict::Good, "battery-backed, says the configuration");
    }
    if Source::of(config.gateway.clock, clock).is_synchronised().await {
        return finding(Verdict::Good, "set by a time service");
    }
    finding(
        Verdict::Bad,
        "no time service has set it: until one has, readings wait for their time and no mail goes out; see \
         `timedatectl`, or write clock = \"rtc\" in [gateway] if this machine has a battery-backed clock",
    )
}

pub(super) fn disk(config: &Config) -> Vec<Finding> {
    let folder = &config.gateway.data_dir;
    let finding = |verdict, text| vec![Finding::new(Area::Disk, verdict, text)];
    let Ok(space) = store::space(folder) else {
        let text = format!("{} is not there: start the gateway once, or create it", folder.display());
        return finding(Verdict::Bad, text);
    };
    if space.read_only {
        let text = format!("{} lies on a file system that is read-only: see `dmesg`", folder.display());
        return finding(Verdict::Bad, text);
    }
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let (free, budget) = (megabytes(space.free), megabytes(config.collect.store_budget));
    if free < budget {
        let text = format!(
            "{free} MB free at {}, less than the {budget} MB that the store may take: make room, or lower store_budget",
            folder.display()
        );
        return finding(Verdict::Doubtful, text);
    }
    finding(Verdict::Good, format!("{free} MB free at {}, the store may take {budget} MB", folder.display()))
}

pub(super) fn stores(config: &Config) -> Vec<Finding> {
    let stores = [
        ("collect", store::look_over_collect(&config.gateway.collect_dir())),
        ("deliver", store::look_over_deliver(&config.gateway.deliver_dir())),
    ];
    stores.into_iter().map(|(half, found)| store(half, found)).collect()
}

fn store(half: &str, found: Result<(), StoreError>) -> Finding {
    let (verdict, text) = match found {
        Ok(()) => (Verdict::Good, format!("the store of {half} is sound")),
        Err(StoreError::Absent) => (Verdict::Skipped, format!("{half} has no store yet")),
        Err(StoreError::Damaged(_)) => (
            Verdict::Bad,
            format!(
                "the store of {half} is damaged: restart {half}; it begins a new one and saves what it can"
            ),
        ),
        Err(error) => {
            (Verdict::Skipped, format!("the store of {half} cannot be looked at: {error}; try as root"))
        }
    };
    Finding::new(Area::Store, verdict, text)
}
