//! vesigate: a headless wM-Bus gateway, and the installer's tool for it.
//!
//! Frames come in from a [`receiver`], are deciphered with a key of the [`keyring`] and become readings that the
//! [`collector`] believes or not; people read the same frames with [`decode`]. The [`config`] file says what to do.

pub mod alarm;
pub mod check;
pub mod cli;
pub mod collector;
pub mod config;
pub mod decode;
pub mod feed;
pub mod halves;
pub mod health;
pub mod keyring;
pub mod receiver;
pub mod scan;
pub mod setup;
pub mod store;
pub mod uplink;
pub mod world;
