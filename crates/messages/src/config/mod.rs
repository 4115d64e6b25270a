//! What the portal tells a gateway: `config` and `config/<meter>`, retained, versioned, written by the portal, read by
//! the gateway.
//!
//! An absent document never means "nothing": what is deleted is replaced by a tombstone, and `config` lists every meter
//! with the version in force.

mod contact;
mod gateway;
mod meter;
mod rule;

pub use contact::{Contact, ContactKind, Language};
pub use gateway::{GatewayConfig, UtilitySettings};
pub use meter::{Delivery, MAX_CONTACTS, Mailed, MeterConfig, NotAMeterConfig, OpenError, Part};
pub use meter::{Request, RequestedWork};
pub use rule::{Repeat, Rule, Rules, Snooze};
