//! Who is told about a meter, by which rules, in which words: from the portal's documents where there are any, else from
//! the local file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use messages::config::{ContactKind, Delivery, GatewayConfig, Language, Mailed, Part, Request, Snooze};
use messages::mail::MailKind;
use messages::reading::Code;
use messages::seal::SecretKey;
use messages::{Id, MeterId, Personal, Span, Time};
use sha2::{Digest as _, Sha256};
use tracing::debug;
use wmbus::Meter;

use super::rule::{Fate, ONE_WITHIN, Rule, Told};
use crate::config::{self, Config, MeterList};
use crate::store::{Desk, MailState, QueuedMail, StoreError};

/// Contacts of customers lapse so many seconds after the portal was last heard.
const LAPSE: i64 = 30 * 86_400;

/// Rules by code.
pub type Rules = BTreeMap<Code, Rule>;

/// Everything that the local file and the portal say about alarms.
#[derive(Debug)]
pub struct Book {
    local: Local,
    secret: SecretKey,
    portal: Option<Portal>,
    thresholds: BTreeMap<Code, BTreeSet<u32>>,
}

/// What the local file says.
#[derive(Clone, Debug)]
struct Local {
    rules: Rules,
    contacts: Vec<config::Contact>,
    meters: Arc<MeterList>,
    house: House,
}

/// What the portal says for all meters.
#[derive(Clone, Debug)]
struct Portal {
    rules: Rules,
    house: House,
}

/// What all mails of a utility share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct House {
    /// The utility's name, as customers know it.
    pub name: Option<String>,
    /// The time zone of its mails.
    pub zone: String,
    /// The telephone number for leaks at any hour.
    pub phone: Option<String>,
    /// Where customers sign in.
    pub url: Option<String>,
}

/// What holds for one meter.
#[derive(Clone, Debug)]
pub struct Page {
    /// When an episode of a code is an alarm.
    pub rules: Rules,
    /// Who may be told.
    pub recipients: Vec<Recipient>,
    /// What mails call the place.
    pub place: Option<Personal>,
    /// The utility's number of the place.
    pub point: Option<Personal>,
    /// What all mails share.
    pub house: House,
    /// Things to do once.
    pub requests: Vec<Request>,
    snoozes: Vec<Snooze>,
    mailed: Vec<Mailed>,
    claims: Vec<Mailed>,
    /// Whether it is this gateway that mails.
    mails: bool,
    portal_seen: Option<Time>,
}

/// Somebody who may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The portal's id; of a contact of the local file a hash of its name.
    pub id: Id,
    /// The address, with a name or without.
    pub email: Personal,
    /// The language of its mails.
    pub language: Language,
    /// Whose contact it is.
    pub kind: ContactKind,
    /// The link that ends these mails.
    pub unsubscribe: Option<Personal>,
    codes: BTreeSet<Code>,
    confirmed: bool,
    valid_until: Option<Time>,
}

impl Book {
    /// From the local file and its meter list; `secret` opens the portal's documents.
    #[must_use]
    pub fn new(config: &Config, meters: Arc<MeterList>, secret: SecretKey) -> Self {
        Self { local: Local::of(config, meters), secret, portal: None, thresholds: BTreeMap::new() }
    }

    /// The local file was read again. [`Book::read`] has to follow.
    pub fn set_local(&mut self, config: &Config, meters: Arc<MeterList>) {
        self.local = Local::of(config, meters);
    }

    /// Reads what the portal says for all meters, and gathers the thresholds of all rules.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn read(&mut self, desk: &Desk<'_>) -> Result<(), StoreError> {
        self.portal = desk.gateway_config()?.map(|config| Portal::of(&config));
        let mut thresholds: BTreeMap<Code, BTreeSet<u32>> = BTreeMap::new();
        let mut gather = |rules: &Rules| {
            for (code, rule) in rules {
                thresholds.entry(code.clone()).or_default().insert(rule.threshold());
            }
        };
        gather(&self.local.rules);
        if let Some(portal) = &self.portal {
            gather(&portal.rules);
        }
        for meter in desk.documents()? {
            if let Some(delivery) = self.delivery(desk, meter)? {
                gather(&rules_of(&delivery.rules));
            }
        }
        self.thresholds = thresholds;
        Ok(())
    }

    /// After how many minutes an episode of a code may be an alarm, by any rule in force.
    #[must_use]
    pub const fn thresholds(&self) -> &BTreeMap<Code, BTreeSet<u32>> {
        &self.thresholds
    }

    /// What holds for a meter.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn page(&self, desk: &Desk<'_>, meter: MeterId) -> Result<Page, StoreError> {
        let portal_seen = desk.portal_seen()?;
        let Some(document) = desk.document(meter)? else { return Ok(self.local.page(meter)) };
        let page = match &document.part {
            // The portal says that there is nobody to be told, or leaves it to another gateway.
            Part::Tombstone | Part::Live { deliver: None, .. } => self.empty(),
            Part::Live { .. } => match document.open(meter, &self.secret) {
                Ok(Some(delivery)) => self.portal_page(meter, delivery),
                Ok(None) => self.empty(),
                Err(reason) => {
                    // Whoever the portal meant is out of reach; the utility's own people are not.
                    debug!(%meter, "a document of the portal cannot be opened: {reason}");
                    self.local.page(meter)
                }
            },
        };
        Ok(Page { portal_seen, ..page })
    }

    /// The document of a meter, if there is one that can be opened.
    fn delivery(&self, desk: &Desk<'_>, meter: MeterId) -> Result<Option<Delivery>, StoreError> {
        let document = desk.document(meter)?;
        Ok(document.and_then(|document| document.open(meter, &self.secret).ok().flatten()))
    }

    fn empty(&self) -> Page {
        let (rules, house) = self
            .portal
            .as_ref()
            .map_or_else(|| (Rules::new(), self.local.house.clone()), |p| (p.rules.clone(), p.house.clone()));
        Page::nobody(rules, house)
    }

    fn portal_page(&self, meter: MeterId, delivery: Delivery) -> Page {
        let Page { mut rules, house, .. } = self.empty();
        rules.extend(rules_of(&delivery.rules));
        let (_, listed_point) = self.local.names(meter);
        Page {
            recipients: delivery.contacts.into_iter().map(Recipient::of_portal).collect(),
            place: delivery.label.filter(|label| !label.reveal().trim().is_empty()),
            point: listed_point,
            requests: delivery.requests,
            snoozes: delivery.snoozes,
            mailed: delivery.mailed,
            claims: delivery.claims,
            mails: delivery.alarm_gateway,
            ..Page::nobody(rules, house)
        }
    }
}

impl Local {
    fn of(config: &Config, meters: Arc<MeterList>) -> Self {
        let rules = config::CODES.iter().filter_map(|(word, info)| {
            let code = word.parse().ok()?;
            Some((code, config.alarm.rule(*info)?.into()))
        });
        let house =
            House { name: None, zone: config.gateway.zone.as_str().to_owned(), phone: None, url: None };
        Self { rules: rules.collect(), contacts: config.contacts.clone(), meters, house }
    }

    fn page(&self, meter: MeterId) -> Page {
        let (place, point) = self.names(meter);
        let recipients = match meter.as_str().parse::<Meter>() {
            Ok(meter) => self.contacts.iter().filter(move |contact| self.is_told(contact, meter)),
            Err(_) => return Page::nobody(self.rules.clone(), self.house.clone()),
        };
        Page {
            recipients: recipients.map(Recipient::of_file).collect(),
            place,
            point,
            mails: true,
            ..Page::nobody(self.rules.clone(), self.house.clone())
        }
    }

    fn is_told(&self, contact: &config::Contact, meter: Meter) -> bool {
        contact.meters.contains(meter)
            || self.meters.get(meter).is_some_and(|row| row.contacts.contains(&contact.name))
    }

    /// Name and metering point of the meter's row in the list.
    fn names(&self, meter: MeterId) -> (Option<Personal>, Option<Personal>) {
        let row = meter.as_str().parse().ok().and_then(|meter| self.meters.get(meter));
        let text = |text: Option<&str>| text.map(Personal::from);
        row.map_or((None, None), |row| (text(row.name.as_deref()), text(row.metering_point.as_deref())))
    }
}

impl Portal {
    fn of(config: &GatewayConfig) -> Self {
        let utility = &config.utility;
        let house = House {
            name: Some(utility.name.clone()).filter(|name| !name.trim().is_empty()),
            zone: utility.time_zone.clone(),
            phone: utility.emergency_phone.clone(),
            url: utility.portal_url.clone(),
        };
        Self { rules: rules_of(&config.rules), house }
    }
}

impl Page {
    fn nobody(rules: Rules, house: House) -> Self {
        Self {
            rules,
            recipients: Vec::new(),
            place: None,
            point: None,
            house,
            requests: Vec::new(),
            snoozes: Vec::new(),
            mailed: Vec::new(),
            claims: Vec::new(),
            mails: false,
            portal_seen: None,
        }
    }

    /// Those who are told of a code now.
    pub fn told<'a>(&'a self, code: &'a Code, now: Time) -> impl Iterator<Item = &'a Recipient> {
        let silent = !self.mails || self.is_snoozed(code, now);
        self.recipients.iter().filter(move |recipient| {
            !silent && recipient.codes.contains(code) && self.is_valid(recipient, now)
        })
    }

    /// Whether a contact may get mails at all.
    #[must_use]
    pub fn is_valid(&self, recipient: &Recipient, now: Time) -> bool {
        let expired = recipient.valid_until.is_some_and(|until| until <= now);
        let lapsed = recipient.kind == ContactKind::Customer
            && self.portal_seen.is_some_and(|seen| now.unix().saturating_sub(seen.unix()) > LAPSE);
        recipient.confirmed && !expired && !lapsed
    }

    /// A contact.
    #[must_use]
    pub fn recipient(&self, id: Id) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.id == id)
    }

    /// When this page says something else by itself: a snooze or a contact ends.
    #[must_use]
    pub fn changes(&self, now: Time) -> Option<Time> {
        let snoozes = self.snoozes.iter().map(|snooze| snooze.until);
        snoozes.filter(|until| *until > now).min()
    }

    /// What a contact was told of an alarm: `mails` are those of this gateway about it, `span` is its episode's.
    #[must_use]
    pub fn fates(&self, contact: Id, code: &Code, span: Span, raised: Time, mails: &[QueuedMail]) -> Told {
        let mut told = Told::new();
        let meant = |mailed: &&Mailed| {
            mailed.contact == contact && mailed.code == *code && mailed.span.meets(span, ONE_WITHIN)
        };
        let key = |mailed: &Mailed| (mailed.kind.clone(), mailed.repeat);
        told.extend(self.claims.iter().filter(meant).map(|mailed| (key(mailed), Fate::Claimed)));
        told.extend(self.mailed.iter().filter(meant).map(|mailed| (key(mailed), Fate::Sent(raised))));
        for mail in mails.iter().filter(|mail| mail.contact == contact) {
            let fate = match mail.state {
                MailState::Waiting => Fate::Waiting,
                MailState::Sent => Fate::Sent(mail.at),
                MailState::Refused | MailState::GivenUp => Fate::Failed,
                MailState::Dropped => continue,
            };
            // What others say to have sent was sent, whatever became of ours.
            let slot = told.entry((mail.kind.clone(), mail.repeat)).or_insert(fate);
            if matches!((&*slot, fate), (Fate::Claimed, Fate::Sent(_))) {
                *slot = fate;
            }
        }
        told
    }

    /// Whether somebody else has told a contact this already, or has taken it over.
    #[must_use]
    pub fn is_told_by_others(&self, contact: Id, code: &Code, span: Span, key: &(MailKind, u32)) -> bool {
        let theirs = self.fates(contact, code, span, Time::MIN, &[]);
        theirs.contains_key(key)
    }

    fn is_snoozed(&self, code: &Code, now: Time) -> bool {
        self.snoozes.iter().any(|snooze| snooze.code == *code && snooze.until > now)
    }
}

impl Recipient {
    fn of_portal(contact: messages::config::Contact) -> Self {
        Self {
            id: contact.id,
            email: Personal::from(contact.email.reveal()),
            language: contact.language,
            kind: contact.kind,
            unsubscribe: contact.unsubscribe,
            codes: contact.codes,
            confirmed: contact.confirmed,
            valid_until: contact.valid_until,
        }
    }

    fn of_file(contact: &config::Contact) -> Self {
        Self {
            id: id_of(&contact.name),
            email: Personal::from(contact.email.mailbox().to_string()),
            language: contact.language.into(),
            kind: ContactKind::Utility,
            unsubscribe: None,
            codes: contact.codes.iter().filter_map(|code| code.word().parse().ok()).collect(),
            confirmed: true,
            valid_until: None,
        }
    }
}

/// The id that a contact of the local file has in mails and records.
#[must_use]
pub fn id_of(name: &config::Name) -> Id {
    let hash = Sha256::new().chain_update(b"contact of the file ").chain_update(name.as_str());
    let mut id = [0; 16];
    id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    Id::from_random(u128::from_be_bytes(id))
}

fn rules_of(rules: &messages::config::Rules) -> Rules {
    rules.iter().map(|(code, rule)| (code.clone(), Rule::from(*rule))).collect()
}
