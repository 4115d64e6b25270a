//! Everything committed arrives, whatever happens on the way.

use messages::batch::{Seq, Stream};

use crate::broker::{self, Broker};
use crate::on_one_thread;
use crate::portal::{Database, Portal};
use crate::site::Site;

fn site(broker: &Broker) -> Site {
    Site::new(&format!("port = {}\nprogress_timeout = \"10s\"", broker.port))
}

#[test]
fn what_is_stored_arrives_and_is_acknowledged() {
    if !broker::is_here() {
        return;
    }
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::open(folder.path());
        let database = Database::new(1);
        let mut portal = Portal::open(broker.port, "kylavesi", database).await;
        let mut site = site(&broker);
        let epoch = site.collect.epoch();
        site.readings(100);
        site.event();
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(100)).await;
        portal.until(|found| found.cursor(Stream::Events, epoch) == Seq::new(1)).await;
        running.until(|status| status.streams[&Stream::Readings].acknowledged == Seq::new(100)).await;
        site.readings(1);
        running.until(|status| status.streams[&Stream::Readings].acknowledged == Seq::new(101)).await;
        running.stop().await;
    });
}
