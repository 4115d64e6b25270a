//! Another configuration while it runs.

use std::sync::Arc;

use messages::event::ProblemKind;
use tokio::sync::watch;
use tracing::warn;

use super::Half;
use super::post::Desk;
use crate::config::{Config, MeterList};

/// The place of a problem with the meter list.
pub(super) const LIST: &str = "meter_list";

impl Half {
    pub(super) async fn take(&mut self, config: &mut watch::Receiver<Arc<Config>>) {
        let fresh = config.borrow_and_update().clone();
        let taken = self.reload(fresh).await;
        self.reloads.taken(taken);
    }

    /// The meter list of this configuration; with a bad one the list before stays in force, so that its contacts still
    /// get their mails.
    fn take_list(&mut self) -> Result<(), String> {
        let taken = match meter_list(&self.config) {
            Ok(list) => {
                self.list = list;
                Ok(())
            }
            Err(reason) => Err(format!("{reason}; the one before stays in force")),
        };
        let refused = taken.as_ref().err().map(String::as_str);
        self.shared.problem(ProblemKind::ConfigRefused, Some(LIST), refused);
        self.alarms.configure(&self.config, Arc::clone(&self.list));
        taken
    }

    /// Takes another configuration, and gives what of it could not be.
    async fn reload(&mut self, config: Arc<Config>) -> Result<(), String> {
        let before = std::mem::replace(&mut self.config, config);
        let list = self.take_list();
        let desk = Desk::new(&self.config, &self.daemon.credentials).map(|desk| self.desk.replace_by(desk));
        if let Err(reason) = &desk {
            warn!("{reason}; mails go on as before");
        }
        let mut uplink = Ok(());
        if (&before.uplink, &before.home_assistant) != (&self.config.uplink, &self.config.home_assistant) {
            self.stop_uplink().await;
            self.shared.status.send_replace(None);
            if let Err(fatal) = self.start_uplink() {
                warn!("{fatal}");
                uplink = Err(fatal.to_string());
            }
        }
        list.and(desk).and(uplink)
    }
}

/// The meter list says whom a leak of a meter is mailed to, and names meters in mails; or what is wrong with it. The
/// configuration was checked with it, but it may have changed since.
pub(super) fn meter_list(config: &Config) -> Result<Arc<MeterList>, String> {
    let Some(path) = &config.meter_list else { return Ok(Arc::default()) };
    MeterList::load(path, &config.contacts).map(Arc::new).map_err(|problems| {
        for problem in &problems {
            warn!("{problem}");
        }
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        format!("the meter list is refused: {first}")
    })
}
