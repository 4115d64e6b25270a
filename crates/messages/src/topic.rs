//! Topics: `vesi/1/<utility>/<gateway>/...`, and the names in them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::MeterId;
use crate::batch::Stream;
use crate::text::json_text;

/// The name that belongs to the portal's own identity and that no gateway may have.
pub const PORTAL: &str = "portal";

/// A name of a utility or gateway: 1 to 32 of `A-Z a-z 0-9 _ -`, so that it is safe in topics, ACL patterns,
/// certificates and file names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(NotAName)
        }
    }
}

json_text!(Name, "^[A-Za-z0-9_-]{1,32}$", "A name of a utility or gateway, safe in topics.");

/// A text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name has 1 to 32 characters of A-Z, a-z, 0-9, _ and -; a gateway's is not `portal`")]
pub struct NotAName;

/// Which gateway of which utility. Written `utility/gateway`, as in the common name of its certificate and its broker
/// user name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gateway {
    utility: Name,
    name: Name,
}

impl Gateway {
    /// A gateway; `portal`, in whatever case, is no gateway's name.
    ///
    /// # Errors
    /// The reserved name.
    pub fn new(utility: Name, name: Name) -> Result<Self, NotAName> {
        if name.as_str().eq_ignore_ascii_case(PORTAL) { Err(NotAName) } else { Ok(Self { utility, name }) }
    }

    /// Its utility.
    #[must_use]
    pub const fn utility(&self) -> &Name {
        &self.utility
    }

    /// Its own name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// One of its topics.
    #[must_use]
    pub fn topic(&self, leaf: Leaf) -> Topic {
        Topic { gateway: self.clone(), leaf }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.utility, self.name)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Gateway {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (utility, name) = text.split_once('/').ok_or(NotAName)?;
        Self::new(utility.parse()?, name.parse()?)
    }
}

/// A topic of the contract, built and parsed.
///
/// ```
/// use messages::topic::{Gateway, Leaf, Topic};
/// let gateway: Gateway = "kylavesi/gw-7".parse()?;
/// let topic = gateway.topic(Leaf::Config("KAM.76348799.1B.16".parse()?));
/// assert_eq!(topic.to_string(), "vesi/1/kylavesi/gw-7/config/KAM.76348799.1B.16");
/// assert_eq!(topic.to_string().parse::<Topic>()?, topic);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// Whose.
    pub gateway: Gateway,
    /// What.
    pub leaf: Leaf,
}

/// What a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    /// `uplink`: batches of all streams. Written by the gateway, not retained.
    Uplink,
    /// `state`: whether it is there. Written by the gateway and its last will, retained.
    State,
    /// `status`: how it is. Written by the gateway, retained.
    Status,
    /// `ack/<stream>`: what is stored. Written by the portal, retained.
    Ack(Stream),
    /// `config`: the gateway's settings and list of meters. Written by the portal, retained.
    GatewayConfig,
    /// `config/<meter>`: what a meter's alarms need. Written by the portal, retained.
    Config(MeterId),
    /// `meter/<meter>`: plain values for home automation, off by default. Written by the gateway, retained.
    Meter(MeterId),
}

impl Topic {
    /// What one gateway subscribes to: its acknowledgements and configuration.
    #[must_use]
    pub fn downlink_filters(gateway: &Gateway) -> [String; 3] {
        ["ack/+", "config", "config/+"].map(|leaf| format!("vesi/1/{gateway}/{leaf}"))
    }

    /// What the portal of a utility subscribes to.
    #[must_use]
    pub fn uplink_filters(utility: &Name) -> [String; 3] {
        ["uplink", "state", "status"].map(|leaf| format!("vesi/1/{utility}/+/{leaf}"))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vesi/1/{}/", self.gateway)?;
        match &self.leaf {
            Leaf::Uplink => f.write_str("uplink"),
            Leaf::State => f.write_str("state"),
            Leaf::Status => f.write_str("status"),
            Leaf::Ack(stream) => write!(f, "ack/{stream}"),
            Leaf::GatewayConfig => f.write_str("config"),
            Leaf::Config(meter) => write!(f, "config/{meter}"),
            Leaf::Meter(meter) => write!(f, "meter/{meter}"),
        }
    }
}

impl FromStr for Topic {
    type Err = NotATopic;

    fn from_str(text: &str) -> Result<Self, NotATopic> {
        let rest = text.strip_prefix("vesi/1/").ok_or(NotATopic)?;
        let mut parts = rest.splitn(3, '/');
        let mut part = || parts.next().ok_or(NotATopic);
        let utility = part()?.parse().map_err(|_| NotATopic)?;
        let name = part()?.parse().map_err(|_| NotATopic)?;
        let gateway = Gateway::new(utility, name).map_err(|_| NotATopic)?;
        let last = part()?;
        let leaf = match last.split_once('/').map_or((last, None), |(head, tail)| (head, Some(tail))) {
            ("uplink", None) => Leaf::Uplink,
            ("state", None) => Leaf::State,
            ("status", None) => Leaf::Status,
            ("config", None) => Leaf::GatewayConfig,
            ("ack", Some(stream)) => Leaf::Ack(stream.parse().map_err(|_| NotATopic)?),
            ("config", Some(meter)) => Leaf::Config(meter.parse().map_err(|_| NotATopic)?),
            ("meter", Some(meter)) => Leaf::Meter(meter.parse().map_err(|_| NotATopic)?),
            _ => return Err(NotATopic),
        };
        Ok(Self { gateway, leaf })
    }
}

/// A text is not a topic of this contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a topic of the contract vesi/1")]
pub struct NotATopic;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_read_back() {
        let meter = "KAM.76348799.1B.16".parse().unwrap();
        let gateway: Gateway = "kylavesi/gw-7".parse().unwrap();
        let leaves = [
            Leaf::Uplink,
            Leaf::State,
            Leaf::Status,
            Leaf::GatewayConfig,
            Leaf::Config(meter),
            Leaf::Meter(meter),
        ];
        for leaf in leaves.into_iter().chain(Stream::ALL.map(Leaf::Ack)) {
            let topic = gateway.topic(leaf);
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
    }

    #[test]
    fn names_cannot_reach_into_other_topics() {
        for bad in ["", "a b", "a+", "#", "a/b", "ä", "a\0", "$share", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Name>(), Err(NotAName), "{bad}");
        }
        assert_eq!("kylavesi/Portal".parse::<Gateway>(), Err(NotAName));
    }

    #[test]
    fn other_topics_are_refused() {
        for bad in [
            "vesi/2/a/b/uplink",
            "vesi/1/a/b",
            "vesi/1/a/b/",
            "vesi/1/a/portal/uplink",
            "vesi/1/a/b/uplink/",
            "vesi/1/a/b/ack",
            "vesi/1/a/b/ack/other",
            "vesi/1/a/b/config/KAM",
            "vesi/1/+/b/uplink",
        ] {
            assert_eq!(bad.parse::<Topic>(), Err(NotATopic), "{bad}");
        }
    }
}
