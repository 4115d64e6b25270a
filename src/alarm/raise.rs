//! What follows from a report of an episode, from time, and from changed documents: alarms raised, mails queued.

use std::collections::BTreeSet;

use messages::batch::Record;
use messages::event::Episode;
use messages::mail::Alarm;
use messages::reading::Code;
use messages::{Id, MeterId, Other, Time};
use tracing::debug;

use super::book::Page;
use super::queue::later;
use super::rule::{Merged, Next, Rule, next};
use super::{Alarms, DAY, MEMORY};
use crate::store::{Desk, KnownEpisode, RaisedAlarm, StoreError};

/// A store that has never read anything takes what was last seen longer ago for history.
const NEWS: i64 = DAY;
/// A full queue is tried again after so many seconds.
const FULL_QUEUE: i64 = 600;

impl Alarms {
    /// Joins a report of an episode with what is known of it.
    pub(super) fn learn(&mut self, desk: &Desk<'_>, episode: Episode) -> Result<(), StoreError> {
        // History of sealed frames: never a reason to mail.
        if episode.late {
            return Ok(());
        }
        let known = desk.episode(episode.id)?;
        let alarm = known.as_ref().and_then(|known| known.alarm);
        let joined = known.as_ref().map_or_else(|| episode.clone(), |known| known.episode.joined(&episode));
        if known.is_some_and(|known| known.episode == joined) {
            return Ok(());
        }
        self.look.insert((joined.meter, joined.code.clone()), Time::MIN);
        desk.put_episode(&KnownEpisode { episode: joined, alarm })
    }

    /// Looks at everything that is due to be looked at.
    pub(super) fn look(&mut self, desk: &mut Desk<'_>, now: Time) -> Result<(), StoreError> {
        self.catch_up(desk, now)?;
        let due: Vec<(MeterId, Code)> =
            self.look.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for (meter, code) in due {
            self.look.remove(&(meter, code.clone()));
            if let Some(at) = self.look_at(desk, meter, &code, now)? {
                self.look.insert((meter, code), at);
            }
        }
        Ok(())
    }

    /// After a start, and when file or documents have changed.
    fn catch_up(&mut self, desk: &mut Desk<'_>, now: Time) -> Result<(), StoreError> {
        if self.current {
            return Ok(());
        }
        if desk.floor()?.is_none() {
            desk.raise_floor(later(now, -NEWS))?;
        }
        self.book.read(desk)?;
        if desk.portal_seen()?.is_none() && !desk.documents()?.is_empty() {
            // Nobody has said yet when the portal was here: contacts lapse from now on, rather than never.
            desk.set_portal_seen(now)?;
        }
        self.begin_requests(desk, now)?;
        for key in desk.running(later(now, -MEMORY))? {
            self.look.insert(key, now);
        }
        self.current = true;
        Ok(())
    }

    /// Raises what is to be raised and queues what is to be told about one code of one meter. Gives when to look again.
    fn look_at(
        &mut self,
        desk: &mut Desk<'_>,
        meter: MeterId,
        code: &Code,
        now: Time,
    ) -> Result<Option<Time>, StoreError> {
        let episodes = desk.episodes(meter, code, later(now, -MEMORY))?;
        if episodes.is_empty() {
            return Ok(None);
        }
        let page = self.book.page(desk, meter)?;
        let rule = page.rules.get(code).copied();
        let mut again = page.changes(now);
        for merged in Merged::of(episodes) {
            let known = merged.alarm().map(|id| desk.alarm(id)).transpose()?.flatten();
            let (alarm, new) = match (known, rule) {
                (Some(alarm), _) => (alarm, false),
                (None, Some(rule)) if self.is_due(desk, &merged, rule, now)? => {
                    let Some(id) = merged.id() else { continue };
                    let alarm = RaisedAlarm { id, meter, code: code.clone(), raised: now };
                    desk.put_alarm(&alarm)?;
                    (alarm, true)
                }
                _ => continue,
            };
            for part in merged.parts.iter().filter(|part| part.alarm != Some(alarm.id)) {
                desk.put_episode(&KnownEpisode { alarm: Some(alarm.id), ..part.clone() })?;
            }
            // A rule that was taken away ends everything but the news that it is over.
            let rule = rule.or_else(|| merged.is_over().then_some(Rule { after: 0, every: DAY, times: 0 }));
            let (queued, at) = match rule {
                Some(rule) => self.tell(desk, &alarm, &merged, rule, &page, now)?,
                None => (0, None),
            };
            again = again.into_iter().chain(at).min();
            if new {
                debug!(%meter, %code, contacts = queued, "an alarm is raised");
                desk.report(Record::Alarm(Alarm {
                    episode: alarm.id,
                    meter,
                    code: code.clone(),
                    at: now,
                    span: merged.span(),
                    contacts: queued,
                    other: Other::default(),
                }));
            }
        }
        Ok(again)
    }

    fn is_due(&self, desk: &Desk<'_>, merged: &Merged, rule: Rule, now: Time) -> Result<bool, StoreError> {
        let floor = desk.floor()?.unwrap_or(Time::MIN);
        Ok(merged.is_alarm(rule, floor, now))
    }

    /// Queues what each contact is to be told now. Gives how many mails, and when to look again.
    fn tell(
        &self,
        desk: &Desk<'_>,
        alarm: &RaisedAlarm,
        merged: &Merged,
        rule: Rule,
        page: &Page,
        now: Time,
    ) -> Result<(u32, Option<Time>), StoreError> {
        if self.sender.is_none() {
            return Ok((0, None));
        }
        let mails = desk.mails_about(alarm.id)?;
        let recipients: BTreeSet<Id> = page.told(&alarm.code, now).map(|recipient| recipient.id).collect();
        let (mut queued, mut again) = (0_u32, None::<Time>);
        for contact in recipients {
            let told = page.fates(contact, &alarm.code, merged.span(), alarm.raised, &mails);
            match next(merged, rule, &told, now) {
                Next::Now(piece) => {
                    if self.queue(desk, alarm, merged.span(), contact, piece, now)? {
                        queued = queued.saturating_add(1);
                    } else {
                        again = again.into_iter().chain([later(now, FULL_QUEUE)]).min();
                    }
                }
                Next::At(at) => again = again.into_iter().chain([at]).min(),
                Next::Nothing => {}
            }
        }
        Ok((queued, again))
    }
}
