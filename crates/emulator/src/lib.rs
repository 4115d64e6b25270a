//! Virtual meters and virtual receivers.

pub mod fault;
pub mod im871a;
pub mod pty;
pub mod replay;
