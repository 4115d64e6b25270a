//! The mail queue: what is sent when, what becomes of it, and under which name.

use messages::batch::Record;
use messages::config::{Request, RequestedWork};
use messages::mail::{MailKind, MailOutcome, MailReport, RequestOutcome, RequestReport};
use messages::reading::Code;
use messages::{Id, MeterId, Other, Span, Time};
use sha2::{Digest as _, Sha256};

use super::Alarms;
use super::book::{Page, Recipient};
use super::mail::{Head, Kind, Letter, Written, write};
use super::rule::{Merged, Piece};
use super::send::{Outcome, Trouble, TroubleKind};
use crate::store::{Desk, MailState, QueuedMail, RaisedAlarm, StoreError};

/// A mail is tried for so many seconds.
const PATIENCE: i64 = 5 * 86_400;
/// So many mails may wait; more alarms than this are told later.
const MOST_WAITING: u64 = 5000;
/// So many mails that need no sending are put away before the next one is looked for.
const AT_ONCE: u32 = 200;

/// A mail to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its Message-ID, without brackets.
    pub message: String,
    /// The mail.
    pub mail: Written,
}

/// What the next step with a due mail is.
enum Step {
    Send(Box<Outgoing>),
    /// It is not to be sent.
    Drop,
    /// It cannot be sent to anybody.
    Refuse,
}

/// How long after the `attempts`-th attempt the next one follows: 1, 5, 15, 30 minutes, then an hour.
#[must_use]
pub const fn pause(attempts: u32) -> i64 {
    60 * match attempts {
        0 | 1 => 1,
        2 => 5,
        3 => 15,
        4 => 30,
        _ => 60,
    }
}

/// The Message-ID of a mail, without brackets: the same whenever the same contact is told the same of the same alarm.
#[must_use]
pub fn message_id(about: Id, contact: Id, kind: &MailKind, repeat: u32, domain: &str) -> String {
    let text = format!("{about} {contact} {kind} {repeat}");
    let hash = Sha256::digest(text.as_bytes());
    let mut name = [0; 16];
    name.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    let name = Id::from_random(u128::from_be_bytes(name));
    format!("{name}.{kind}@{domain}")
}

impl Alarms {
    /// Queues a piece of news for a contact; `false` if the queue is full.
    pub(super) fn queue(
        &self,
        desk: &Desk<'_>,
        alarm: &RaisedAlarm,
        span: Span,
        contact: Id,
        piece: Piece,
        now: Time,
    ) -> Result<bool, StoreError> {
        let (kind, repeat) = piece.written();
        let until = later(now, PATIENCE);
        self.put(desk, alarm.id, alarm.meter, Some((&alarm.code, span)), contact, (kind, repeat), until, now)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the columns of a mail, which differ between its two sources"
    )]
    fn put(
        &self,
        desk: &Desk<'_>,
        about: Id,
        meter: MeterId,
        episode: Option<(&Code, Span)>,
        contact: Id,
        (kind, repeat): (MailKind, u32),
        until: Time,
        now: Time,
    ) -> Result<bool, StoreError> {
        if desk.counts()?.waiting >= MOST_WAITING {
            return Ok(false);
        }
        let message = message_id(about, contact, &kind, repeat, &self.domain);
        desk.put_mail(&QueuedMail {
            message,
            about,
            meter,
            code: episode.map(|(code, _)| code.clone()),
            kind,
            repeat,
            contact,
            span: episode.map(|(_, span)| span),
            queued: now,
            until,
            due: now,
            attempts: 0,
            server: false,
            state: MailState::Waiting,
            at: now,
        })?;
        Ok(true)
    }

    /// Begins what the documents ask to do once, as far as it is this side's.
    pub(super) fn begin_requests(&self, desk: &mut Desk<'_>, now: Time) -> Result<(), StoreError> {
        for meter in desk.documents()? {
            let page = self.book.page(desk, meter)?;
            for request in &page.requests {
                self.begin(desk, meter, &page, request, now)?;
            }
        }
        Ok(())
    }

    fn begin(
        &self,
        desk: &mut Desk<'_>,
        meter: MeterId,
        page: &Page,
        request: &Request,
        now: Time,
    ) -> Result<(), StoreError> {
        // Ids are forgotten at last: what has been over for so long is not reported anew.
        let forgotten = later(request.expires, super::KEPT) <= now;
        let others = matches!(request.work, RequestedWork::Erase { .. });
        if others || forgotten || desk.knows_request(request.id)? {
            return Ok(());
        }
        let outcome = match request.work {
            _ if request.expires <= now => Some(RequestOutcome::Expired),
            RequestedWork::TestMail { contact } => {
                let known = page.recipient(contact).is_some_and(|recipient| page.is_valid(recipient, now));
                let until = later(now, PATIENCE).min(request.expires);
                let queued = known
                    && self.sender.is_some()
                    && self.put(desk, request.id, meter, None, contact, (MailKind::Test, 0), until, now)?;
                (!queued).then_some(RequestOutcome::Failed)
            }
            RequestedWork::Unknown | RequestedWork::Erase { .. } => Some(RequestOutcome::NotUnderstood),
        };
        desk.put_request(request.id, request.expires)?;
        if let Some(outcome) = outcome {
            desk.report(request_report(request.id, meter, outcome, now));
        }
        Ok(())
    }

    /// The next mail to send, after those that are not to be sent any more are put away.
    pub(super) fn pick(
        &mut self,
        desk: &mut Desk<'_>,
        flow: &dyn Fn(MeterId, &Code) -> Option<u64>,
        now: Time,
    ) -> Result<Option<Outgoing>, StoreError> {
        for _ in 0..AT_ONCE {
            let Some(mail) = desk.first_due(now)? else { return Ok(None) };
            if mail.until <= now {
                self.finish(desk, mail, MailState::GivenUp, None, now)?;
                continue;
            }
            match self.step(desk, &mail, flow, now)? {
                Step::Send(outgoing) => return Ok(Some(*outgoing)),
                Step::Drop => self.finish(desk, mail, MailState::Dropped, None, now)?,
                Step::Refuse => self.finish(desk, mail, MailState::Refused, None, now)?,
            }
        }
        Ok(None)
    }

    fn step(
        &self,
        desk: &Desk<'_>,
        mail: &QueuedMail,
        flow: &dyn Fn(MeterId, &Code) -> Option<u64>,
        now: Time,
    ) -> Result<Step, StoreError> {
        let page = self.book.page(desk, mail.meter)?;
        let Some(code) = &mail.code else {
            let recipient = page.recipient(mail.contact).filter(|recipient| page.is_valid(recipient, now));
            return Ok(recipient.map_or(Step::Drop, |to| self.write(mail, &page, to, None, None, now)));
        };
        let Some(merged) = self.merged(desk, mail, code, now)? else { return Ok(Step::Drop) };
        let recipient = page.told(code, now).find(|recipient| recipient.id == mail.contact);
        let (span, key) = (merged.span(), (mail.kind.clone(), mail.repeat));
        let timely = merged.is_over() == (mail.kind == MailKind::Over);
        match recipient {
            Some(to) if timely && !page.is_told_by_others(mail.contact, code, span, &key) => {
                let litres = if timely && !merged.is_over() { flow(mail.meter, code) } else { None };
                Ok(self.write(mail, &page, to, Some(span), litres, now))
            }
            _ => Ok(Step::Drop),
        }
    }

    fn write(
        &self,
        mail: &QueuedMail,
        page: &Page,
        to: &Recipient,
        span: Option<Span>,
        flow: Option<u64>,
        now: Time,
    ) -> Step {
        let Some(sender) = &self.sender else { return Step::Drop };
        let kind = match mail.kind {
            MailKind::Raised => Kind::Raised,
            MailKind::Repeated => Kind::Repeated,
            MailKind::Over => Kind::Over,
            MailKind::Test => Kind::Test,
            _ => return Step::Drop,
        };
        let letter = Letter {
            kind,
            code: mail.code.as_ref(),
            meter: Some(mail.meter),
            place: page.place.as_ref().map(messages::Personal::reveal),
            point: page.point.as_ref().map(messages::Personal::reveal),
            span,
            flow,
            language: to.language,
            audience: to.kind,
            unsubscribe: to.unsubscribe.as_ref().map(messages::Personal::reveal),
            house: &page.house,
        };
        let Ok(address) = to.email.reveal().parse() else { return Step::Refuse };
        let head = Head {
            from: sender.from.clone(),
            reply_to: sender.reply_to.clone(),
            to: address,
            message: mail.message.clone(),
            date: now,
        };
        write(&letter, head).map_or(Step::Refuse, |written| {
            Step::Send(Box::new(Outgoing { message: mail.message.clone(), mail: written }))
        })
    }

    /// The episode that a mail is about, as it stands now.
    fn merged(
        &self,
        desk: &Desk<'_>,
        mail: &QueuedMail,
        code: &Code,
        now: Time,
    ) -> Result<Option<Merged>, StoreError> {
        let since = later(now, -super::MEMORY);
        let merged = Merged::of(desk.episodes(mail.meter, code, since)?);
        Ok(merged.into_iter().find(|merged| merged.parts.iter().any(|part| part.alarm == Some(mail.about))))
    }

    /// What came of an attempt.
    pub(super) fn settle(
        &mut self,
        desk: &mut Desk<'_>,
        message: &str,
        outcome: &Outcome,
        now: Time,
    ) -> Result<(), StoreError> {
        let Some(mail) = desk.mail(message)?.filter(|mail| mail.state == MailState::Waiting) else {
            return Ok(());
        };
        match outcome {
            Outcome::Sent { reply } => {
                self.finish(desk, mail, MailState::Sent, Some(*reply), now)?;
                desk.server_is_back(now)
            }
            Outcome::Refused(trouble) => self.finish(desk, mail, MailState::Refused, trouble.reply, now),
            Outcome::Later(trouble) => self.postpone(desk, mail, trouble, false, now),
            Outcome::Server(trouble) => {
                let others = desk.all_due(now, u32::try_from(MOST_WAITING).unwrap_or(u32::MAX))?;
                for other in others.into_iter().filter(|other| other.message != message) {
                    self.postpone(desk, other, trouble, true, now)?;
                }
                self.postpone(desk, mail, trouble, true, now)
            }
        }
    }

    fn postpone(
        &mut self,
        desk: &mut Desk<'_>,
        mail: QueuedMail,
        trouble: &Trouble,
        server: bool,
        now: Time,
    ) -> Result<(), StoreError> {
        if mail.until <= now {
            return self.finish(desk, mail, MailState::GivenUp, trouble.reply, now);
        }
        let attempts = mail.attempts.saturating_add(1);
        // A mail that the server may have is sent again soon: it is one that its reader may lack.
        let pause = if trouble.kind == TroubleKind::Uncertain { pause(1) } else { pause(attempts) };
        let due = later(now, pause).min(mail.until);
        desk.put_mail(&QueuedMail { due, attempts, server, ..mail })
    }

    /// A mail is done with, one way or another: that is stored, counted and reported.
    fn finish(
        &mut self,
        desk: &mut Desk<'_>,
        mail: QueuedMail,
        state: MailState,
        reply: Option<u16>,
        now: Time,
    ) -> Result<(), StoreError> {
        let outcome = match state {
            MailState::Sent => MailOutcome::Sent,
            MailState::Refused => MailOutcome::Refused,
            MailState::GivenUp => MailOutcome::GivenUp,
            MailState::Dropped | MailState::Waiting => MailOutcome::Dropped,
        };
        self.counted.count(state);
        let mail = QueuedMail { state, at: now, server: false, ..mail };
        desk.put_mail(&mail)?;
        let (about, meter) = (mail.about, mail.meter);
        if mail.kind == MailKind::Test {
            let request = match state {
                MailState::Sent => RequestOutcome::Done,
                MailState::GivenUp => RequestOutcome::Expired,
                _ => RequestOutcome::Failed,
            };
            desk.report(request_report(about, meter, request, now));
        }
        if let Some(code) = &mail.code {
            self.look.insert((meter, code.clone()), now);
        }
        desk.report(Record::Mail(MailReport {
            message: mail.message,
            meter,
            kind: mail.kind,
            repeat: mail.repeat,
            code: mail.code,
            span: mail.span,
            contact: mail.contact,
            at: now,
            outcome,
            reply,
            other: Other::default(),
        }));
        Ok(())
    }
}

fn request_report(id: Id, meter: MeterId, outcome: RequestOutcome, at: Time) -> Record {
    Record::Request(RequestReport { id, meter, at, outcome, other: Other::default() })
}

/// So many seconds later, within what a time can be.
pub(super) fn later(time: Time, seconds: i64) -> Time {
    let limit = if seconds < 0 { Time::MIN } else { Time::MAX };
    time.unix().checked_add(seconds).and_then(Time::from_unix).unwrap_or(limit)
}
