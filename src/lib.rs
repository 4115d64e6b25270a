//! vesigate: a headless wM-Bus gateway, and the installer's tool for it.
//!
//! Frames come in from a receiver, are deciphered with a key per meter and become readings; people read the same
//! frames with [`decode`].

pub mod cli;

pub mod config;
pub mod decode;
pub mod keyring;
