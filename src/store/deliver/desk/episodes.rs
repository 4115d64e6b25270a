//! Episodes and the alarms that were raised for them.

use messages::event::{Episode, Standing};
use messages::reading::Code;
use messages::{Id, MeterId, Other, Time};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Desk, parsed, time};
use crate::store::StoreError;

/// An episode as the receiving half told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownEpisode {
    /// The episode.
    pub episode: Episode,
    /// The alarm that was raised for it, or for one that it is the same as.
    pub alarm: Option<Id>,
}

/// An alarm that was raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaisedAlarm {
    /// The id of its first episode.
    pub id: Id,
    /// Which meter.
    pub meter: MeterId,
    /// Which code.
    pub code: Code,
    /// When.
    pub raised: Time,
}

impl Desk<'_> {
    /// What is known of an episode.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn episode(&self, id: Id) -> Result<Option<KnownEpisode>, StoreError> {
        let sql = format!("SELECT {EPISODE} FROM episode WHERE id = ?1");
        Ok(self.list(&sql, [id.to_string()], read_episode)?.pop())
    }

    /// The episodes of a code of a meter that go on, or were seen at or after `since`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn episodes(
        &self,
        meter: MeterId,
        code: &Code,
        since: Time,
    ) -> Result<Vec<KnownEpisode>, StoreError> {
        let sql = format!(
            "SELECT {EPISODE} FROM episode WHERE meter = ?1 AND code = ?2 AND (standing < 2 OR seen >= ?3)"
        );
        self.list(&sql, params![meter.as_str(), code.as_str(), since.unix()], read_episode)
    }

    /// Stores an episode.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_episode(&self, known: &KnownEpisode) -> Result<(), StoreError> {
        let KnownEpisode { episode, alarm } = known;
        let standing = match episode.standing {
            Standing::Active => 0,
            Standing::Unknown => 1,
            Standing::Ended => 2,
        };
        self.execute(
            "INSERT OR REPLACE INTO episode(id, meter, code, started, seen, lasted, standing, alarm)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                episode.id.to_string(),
                episode.meter.as_str(),
                episode.code.as_str(),
                episode.started.map(Time::unix),
                episode.seen.map(Time::unix),
                episode.lasted.cast_signed(),
                standing,
                alarm.map(|alarm| alarm.to_string())
            ],
        )
    }

    /// Codes of meters with an episode that goes on, or was seen at or after `since`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn running(&self, since: Time) -> Result<Vec<(MeterId, Code)>, StoreError> {
        let sql = "SELECT DISTINCT meter, code FROM episode WHERE standing < 2 OR seen >= ?1";
        self.list(sql, [since.unix()], |row| Ok(parsed(row, 0)?.zip(parsed(row, 1)?)))
    }

    /// An alarm.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn alarm(&self, id: Id) -> Result<Option<RaisedAlarm>, StoreError> {
        let sql = "SELECT id, meter, code, raised FROM alarm WHERE id = ?1";
        Ok(self.list(sql, [id.to_string()], read_alarm)?.pop())
    }

    /// Stores an alarm.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_alarm(&self, alarm: &RaisedAlarm) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO alarm(id, meter, code, raised) VALUES(?1, ?2, ?3, ?4)",
            params![alarm.id.to_string(), alarm.meter.as_str(), alarm.code.as_str(), alarm.raised.unix()],
        )
    }
}

/// The columns that [`read_episode`] takes, in its order.
pub(super) const EPISODE: &str = "id, meter, code, started, seen, lasted, standing, alarm";

pub(super) fn read_episode(row: &Row<'_>) -> rusqlite::Result<Option<KnownEpisode>> {
    let (id, meter, code) = (parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?);
    let (started, seen) = (time(row, 3)?, time(row, 4)?);
    let lasted = row.get::<_, i64>(5)?.cast_unsigned();
    let standing = match row.get(6)? {
        0 => Standing::Active,
        1 => Standing::Unknown,
        _ => Standing::Ended,
    };
    let alarm = parsed(row, 7)?;
    Ok((|| {
        let other = Other::default();
        let episode = Episode {
            id: id?,
            meter: meter?,
            code: code?,
            started,
            seen,
            lasted,
            standing,
            late: false,
            other,
        };
        Some(KnownEpisode { episode, alarm })
    })())
}

/// Takes id, meter, code and when it was raised.
pub(super) fn read_alarm(row: &Row<'_>) -> rusqlite::Result<Option<RaisedAlarm>> {
    let (id, meter, code) = (parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?);
    let raised = time(row, 3)?;
    Ok((|| Some(RaisedAlarm { id: id?, meter: meter?, code: code?, raised: raised? }))())
}
