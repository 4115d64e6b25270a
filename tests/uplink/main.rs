//! The uplink against a real mosquitto and a small portal, and against brokers that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod broker;
mod certificates;
mod collect;
mod delivery;
mod documents;
mod home_assistant;
mod memory;
mod portal;
mod protected;
mod renewal;
mod scene;
mod site;
mod status;
mod town;
mod wedged;

/// Runs a test on one thread, as the delivering half runs.
fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// The same, where mosquitto is here.
fn with_mosquitto(test: impl Future<Output = ()>) {
    if broker::is_here() {
        on_one_thread(test);
    }
}
