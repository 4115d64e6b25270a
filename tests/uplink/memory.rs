//! Blocks that the receiving half cannot store, since its disk is full or read-only.

use messages::batch::{Epoch, Record, Seq, Stream};
use messages::reading::{Checked, HourRow};
use messages::topic::Leaf;
use messages::{Hour, Time};

use crate::collect::Collect;
use crate::documents::list;
use crate::scene::{GATEWAY, Scene};
use crate::site::{NOW, meter};
use crate::with_mosquitto;

fn row(hour: i64) -> Record {
    let boundary = Hour::exact(Time::from_unix(NOW - NOW % 3600 + hour * 3600).unwrap()).unwrap();
    Record::Hour(Box::new(HourRow::new(meter(), boundary, Checked::Checksum)))
}

#[test]
fn what_cannot_be_stored_goes_out_under_a_throw_away_numbering_and_once() {
    with_mosquitto(async {
        let mut scene = Scene::new();
        let mut portal = scene.portal().await;
        let site = scene.site();
        let durable = site.collect.epoch();
        let mut collect = Collect::listen(&site);
        let epoch = Epoch::throw_away(7);
        let bodies =
            [1, 2].map(|hour| collect.keep(Stream::Readings, epoch, u64::try_from(hour).unwrap(), row(hour)));
        let running = site.start();
        running.shared.in_memory.set(true);
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(2)).await;
        let stored = scene.database.lock().unwrap().bodies(Stream::Readings);
        assert_eq!(stored, bodies.map(|body| body.bytes));

        // What comes after the acknowledgements tells that they have come.
        portal.say(GATEWAY, Leaf::GatewayConfig, list(1, "")).await;
        running.until(|status| status.config.version == 1).await;
        // They wait on, another one joins them, the line is a new one: only that one is sent.
        scene.broker.kill();
        running.until(|status| !status.connected).await;
        collect.keep(Stream::Readings, epoch, 3, row(3));
        scene.broker.again();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(3)).await;
        collect.is_asked().await;
        assert_eq!(scene.received(), 3, "nothing that was acknowledged is sent again");

        // Once stored, they are asked for no more. Under the durable numbering nothing was sent or acknowledged.
        collect.stores_it();
        collect.is_asked().await;
        running.until(|_| !running.shared.in_memory.get()).await;
        assert_eq!(scene.database.lock().unwrap().cursor(Stream::Readings, durable), Seq::NONE);
        let status = running.until(|status| status.connected).await;
        assert_eq!(status.streams[&Stream::Readings].acknowledged, Seq::NONE);
        running.stop().await;
    });
}

#[test]
fn what_was_sent_from_memory_comes_again_under_the_durable_numbering_once_stored() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        let durable = site.collect.epoch();
        let collect = Collect::listen(&site);
        let epoch = Epoch::throw_away(7);
        let body = collect.keep(Stream::Readings, epoch, 1, row(1));
        let running = site.start();
        running.shared.in_memory.set(true);
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(1)).await;
        collect.stores_it();
        site.store_body(Stream::Readings, body);
        portal.until(|found| found.cursor(Stream::Readings, durable) == Seq::new(1)).await;
        running.arrives(Stream::Readings, 1).await;
        let bodies = scene.database.lock().unwrap().bodies(Stream::Readings);
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[0], bodies[1], "the portal joins them into one row");
        running.stop().await;
    });
}
