//! The machine itself: clock, disk, databases.

use std::io;

use super::{Area, Finding, Verdict};
use crate::config::Config;
use crate::health::clock::Source;
use crate::health::status::CollectStatus;
use crate::store::{self, StoreError};
use crate::world::Clock;

/// Why the clock is trusted; `None` if it is not.
pub(super) async fn trusted(
    config: &Config,
    clock: &Clock,
    collect: Option<&CollectStatus>,
) -> Option<&'static str> {
    if collect.is_some_and(|collect| collect.at.is_some()) {
        return Some("trusted");
    }
    match Source::of(config.gateway.clock, clock) {
        Source::Rtc => Some("battery-backed, says the configuration"),
        source => source.is_synchronised().await.then_some("set by a time service"),
    }
}

pub(super) fn clock(trusted: Option<&'static str>) -> Finding {
    if let Some(why) = trusted {
        return Finding::new(Area::Clock, Verdict::Good, why);
    }
    Finding::new(
        Area::Clock,
        Verdict::Bad,
        "no time service has set it: until one has, readings wait for their time and no mail goes out; see \
         `timedatectl`, or write clock = \"rtc\" in [gateway] if this machine has a battery-backed clock",
    )
}

pub(super) fn disk(config: &Config) -> Vec<Finding> {
    let folder = &config.gateway.data_dir;
    let finding = |verdict, text| vec![Finding::new(Area::Disk, verdict, text)];
    let space = match store::space(folder) {
        Ok(space) => space,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("{} is not there: start the gateway once, or create it", folder.display());
            return finding(Verdict::Bad, text);
        }
        Err(error) => {
            let text = format!("{} cannot be looked at: {}; try as root", folder.display(), error.kind());
            return finding(Verdict::Skipped, text);
        }
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
        Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            (Verdict::Skipped, format!("the store of {half} may not be looked at by this user: try as root"))
        }
        Err(StoreError::Damaged(_)) => (
            Verdict::Bad,
            format!(
                "the store of {half} is damaged: restart {half}; it begins a new one and saves what it can"
            ),
        ),
        Err(StoreError::Full) => (
            Verdict::Bad,
            format!(
                "the disk of the store of {half} is full: make room, alarms go out from memory meanwhile"
            ),
        ),
        Err(error @ (StoreError::Unwritable(_) | StoreError::Newer { .. } | StoreError::TooOld { .. })) => {
            (Verdict::Bad, format!("the store of {half}: {error}"))
        }
        Err(error @ (StoreError::Busy | StoreError::Replaced)) => {
            (Verdict::Doubtful, format!("the store of {half}: {error}; try again"))
        }
        Err(error) => (Verdict::Bad, format!("the store of {half} cannot be looked at: {error}")),
    };
    Finding::new(Area::Store, verdict, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_there_is_told_from_one_that_is_of_no_use() {
        let verdict = |error: StoreError| store("collect", Err(error)).verdict;
        let io = |kind: io::ErrorKind| StoreError::Io(kind.into());
        assert_eq!(verdict(StoreError::Absent), Verdict::Skipped);
        assert_eq!(verdict(io(io::ErrorKind::PermissionDenied)), Verdict::Skipped);
        let broken = || StoreError::Unwritable(rusqlite::Error::InvalidQuery);
        let newer = StoreError::Newer { found: 9, known: 1 };
        for error in [StoreError::Full, broken(), newer, StoreError::Damaged(String::new())] {
            assert_eq!(verdict(error), Verdict::Bad);
        }
        let text = |error: StoreError| store("collect", Err(error)).text;
        assert!(text(StoreError::Newer { found: 9, known: 1 }).contains("install that version"));
        assert!(text(StoreError::Full).contains("make room"));
        assert!(text(broken()).contains("read-only"));
    }
}
