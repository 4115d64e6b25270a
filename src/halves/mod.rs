//! The gateway's two halves: collect (radio, keys, readings; needs no network) and deliver (MQTT, mail; needs neither a
//! dongle nor a key). They meet only in the store; what they say to each other here are hints and questions.

pub mod control;
pub mod nudge;
