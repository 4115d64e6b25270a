//! Asks the running gateway, with words that say what to do when it does not answer.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wmbus::Meter;

use crate::cli::common::printable;
use crate::config::{Config, MeterList, Problem};
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::health::heard::{HeardMeter, HeardPage};
use crate::health::status::CollectStatus;
use crate::scan::row::Row;

/// The receiving half, as seen through its control socket.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Gateway {
    collect: PathBuf,
    deliver: PathBuf,
    names: HashMap<String, Option<String>>,
}

/// More pages than there can be meters.
const MOST_PAGES: usize = 2000;
/// More names than this are not kept but looked up anew, so that meters that come and go do not pile up.
const MOST_NAMES: usize = 10_000;

impl Gateway {
    /// Of this configuration.
    pub(in crate::cli) fn of(config: &Config) -> Self {
        let socket = |half: PathBuf| half.join("control.sock");
        Self {
            collect: socket(config.status.collect_sockets()),
            deliver: socket(config.status.deliver_sockets()),
            names: HashMap::new(),
        }
    }

    /// Every meter that it has heard.
    pub(in crate::cli) async fn heard(&self) -> Result<Vec<HeardMeter>, String> {
        let (mut meters, mut after) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page: HeardPage =
                ask(&self.collect, &OfCollect::Heard { after }).await.map_err(|error| self.said(&error))?;
            meters.extend(page.meters);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(meters)
    }

    /// How the receiving half is.
    pub(in crate::cli) async fn status(&self) -> Result<CollectStatus, String> {
        ask(&self.collect, &OfCollect::Status).await.map_err(|error| self.said(&error))
    }

    /// Has both halves load their configuration again, and waits until it is in force. The delivering one takes names and
    /// contacts from the list: what is wrong there is given back, and no reason not to listen. It may not run, and reads the
    /// list at its start.
    pub(in crate::cli) async fn reload(&self) -> Result<Option<String>, String> {
        ask::<()>(&self.collect, &OfCollect::Reload).await.map_err(|error| match error {
            AskError::Refused(wrong) => wrong,
            other => self.said(&other),
        })?;
        match ask::<()>(&self.deliver, &OfDeliver::Reload).await {
            Ok(()) | Err(AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)) => {
                Ok(None)
            }
            Err(error) => Ok(Some(format!(
                "the delivering half, which mails alarms, has not loaded the list:\n{error}"
            ))),
        }
    }

    /// Calls the meters by their names in the list.
    pub(in crate::cli) fn name(&mut self, rows: &mut [Row], list: &MeterList) {
        if self.names.len() > MOST_NAMES {
            self.names.clear();
        }
        for row in rows.iter_mut().filter(|row| row.heard.listed) {
            let name = self.names.entry(row.heard.meter.clone()).or_insert_with(|| {
                let meter: Meter = row.heard.meter.parse().ok()?;
                list.get(meter)?.name.as_deref().map(printable)
            });
            row.name.clone_from(name);
        }
    }

    fn said(&self, error: &AskError) -> String {
        match error {
            AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => format!(
                "the gateway's receiving half does not run (nobody listens at {}): start it with \
                 `systemctl start vesigate-collect`, or name its configuration with --config",
                self.collect.display()
            ),
            AskError::Io(io::ErrorKind::PermissionDenied) => {
                "not allowed to ask the gateway: run it with sudo, or as a member of the group vesigate \
                 (`sudo usermod -aG vesigate $USER`, then log in again)"
                    .to_owned()
            }
            other => format!("the gateway's receiving half: {other}"),
        }
    }
}

/// How long to wait before all meters are asked for again: the receiving half makes an answer between two telegrams, so
/// whoever hears many is asked less often, for a thousand meters in a second at most.
pub(in crate::cli) fn pause(at_least: Duration, meters: usize) -> Duration {
    at_least.max(Duration::from_millis(u64::try_from(meters).unwrap_or(u64::MAX)))
}

/// The meter list in force; none if there is none, or it cannot be read: names are a convenience.
pub(in crate::cli) fn list_in_force(config: &Config) -> MeterList {
    let file = config.meter_list.as_deref();
    file.and_then(|file| MeterList::load(file, &config.contacts).ok()).unwrap_or_default()
}

/// A list, or everything that is wrong with it, a line each.
pub(in crate::cli) fn load_list(file: &Path, config: &Config) -> Result<MeterList, String> {
    MeterList::load(file, &config.contacts).map_err(|problems| lines(&problems))
}

/// Problems, a line each.
pub(in crate::cli) fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
