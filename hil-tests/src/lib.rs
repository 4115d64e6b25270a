//! Hardware-in-the-loop tests: the real binaries against emulated receivers, a real broker and a real mail server.
//!
//! A [`Site`] is a place with a dongle, meters within its reach and a configuration; a [`Gateway`] is the program running
//! there, whole or by halves; a [`Broker`], a [`Portal`] and a [`PostOffice`] are what it talks to. Each of them can be
//! killed, wedged and brought back. The scenarios are the files in `tests/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a harness for tests: what fails here must fail the test that uses it"
)]

pub mod broker;
pub mod certificates;
pub mod chance;
pub mod clock;
pub mod enrolment;
pub mod gateway;
pub mod mail;
pub mod memory;
pub mod portal;

pub mod post_office;
pub mod recording;
pub mod site;
pub mod smtp;
pub mod store;
pub mod terminal;

use std::time::Duration;

pub use broker::Broker;
pub use clock::FastClock;
pub use gateway::{Gateway, Half};
pub use mail::Mail;
pub use portal::Portal;
pub use post_office::PostOffice;
pub use site::{Air, Site};
pub use smtp::{Mood, SmtpServer};
pub use terminal::Terminal;
use tokio::time::{Instant, sleep};

/// How often something that cannot be awaited is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long anything may take that should happen at once, on a machine that has other things to do.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `look` finds something: for what happens in files and other processes, which cannot be awaited.
///
/// # Panics
/// When it has not happened `within`.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {within:?} for {what}");
        sleep(LOOK).await;
    }
}

/// Says why a test does nothing here. A test that is left out must be seen to be.
pub fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// A port that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
