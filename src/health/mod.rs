//! How the gateway is: clock trust, problems, status, metrics, systemd.

pub mod clock;
pub mod heard;
pub mod metrics;
pub mod problem;
pub mod status;
pub mod supervisor;
