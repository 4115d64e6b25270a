//! Episodes, alarms and mails as lists, for people.

use messages::{MeterId, Time};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::episodes::{EPISODE, read_alarm, read_episode};
use super::mails::{MAIL, read_mail};
use super::{KnownEpisode, QueuedMail, RaisedAlarm, list};
use crate::store::StoreError;

/// What the alarm side knows, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlarmLists {
    /// Episodes that go on, or were seen since the moment that was asked for.
    pub episodes: Vec<KnownEpisode>,
    /// Alarms raised since then, and those of the episodes.
    pub alarms: Vec<RaisedAlarm>,
    /// Mails that wait, or about which something happened since then.
    pub mails: Vec<QueuedMail>,
}

impl AlarmLists {
    /// Of one meter or of all, at most `most` of each.
    pub(in crate::store) fn read(
        connection: &Connection,
        since: Time,
        meter: Option<MeterId>,
        most: u32,
    ) -> Result<Self, StoreError> {
        let meter = meter.map(|meter| meter.to_string());
        let values = params![since.unix(), most, meter];
        let episodes = format!(
            "SELECT {EPISODE} FROM episode
             WHERE (standing < 2 OR seen >= ?1) AND (?3 IS NULL OR meter = ?3)
             ORDER BY standing < 2 DESC, seen DESC LIMIT ?2"
        );
        let alarms = "SELECT id, meter, code, raised FROM alarm
             WHERE (raised >= ?1 OR id IN (SELECT alarm FROM episode WHERE standing < 2 OR seen >= ?1))
             AND (?3 IS NULL OR meter = ?3) ORDER BY raised DESC LIMIT ?2";
        let mails = format!(
            "SELECT {MAIL} FROM mail
             WHERE (state = 0 OR at >= ?1) AND (?3 IS NULL OR meter = ?3)
             ORDER BY state = 0 DESC, at DESC LIMIT ?2"
        );
        Ok(Self {
            episodes: list(connection, &episodes, values, read_episode)?,
            alarms: list(connection, alarms, values, read_alarm)?,
            mails: list(connection, &mails, values, read_mail)?,
        })
    }
}
