//! The document `status`, as a subscriber at the broker reads it.

use messages::Status;
use messages::batch::{Seq, Stream};
use messages::status::{ClockTrust, DiskState, ReceiverState};
use messages::topic::Leaf;

use crate::collect::{self, Collect};
use crate::documents::list;
use crate::scene::{GATEWAY, Scene, topic};
use crate::site::{METER, meter};
use crate::with_mosquitto;

#[test]
fn the_status_says_what_runs_what_waits_and_what_is_in_force() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut portal = scene.portal().await;
        let mut site = scene.site();
        site.readings(3);
        site.event();
        let _collect = Collect::listen(&site);
        let running = site.start();
        running.arrives(Stream::Readings, 3).await;
        // A change that is worth telling at once.
        portal.say(GATEWAY, Leaf::GatewayConfig, list(5, &format!(r#""{METER}":2"#))).await;
        let status = topic(Leaf::Status);
        let in_force = |status: Status| status.config.version == 5;
        portal.until(|found| found.document(&status).is_some_and(in_force)).await;
        let found: Status = scene.database.lock().unwrap().document(&status).unwrap();
        assert_eq!(found.versions.vesigate, env!("CARGO_PKG_VERSION"));
        assert_eq!(found.at, running.shared.now());
        assert_eq!(found.uptime_s, 12);

        let backlog = &found.backlog[&Stream::Readings];
        assert_eq!((backlog.epoch, backlog.head), (site.collect.epoch(), Seq::new(3)));
        assert_eq!((backlog.batches, backlog.bytes, backlog.oldest, backlog.lost), (0, 0, None, 3));
        assert_eq!(found.backlog[&Stream::Events].head, Seq::new(1));
        assert_eq!(found.backlog[&Stream::Mails].epoch, running.shared.store.borrow().epoch());

        assert_eq!(found.receivers.len(), 2);
        assert_eq!((found.receivers[0].name.as_str(), found.receivers[0].frames), ("cellar", 77));
        assert_eq!(found.receivers[1].state, ReceiverState::Gone);

        // The meter's own document has not come.
        assert_eq!((found.config.behind, found.config.meters.get(&meter())), (1, Some(&0)));
        assert_eq!((&found.collect_key, &found.deliver_key), (&collect::key(), &site.key.public()));
        assert_eq!((found.clock.trust, found.clock.unplaced), (ClockTrust::Trusted, 4));
        assert_eq!((found.disk.state, found.disk.budget), (DiskState::Writable, 209_715_200));
        assert_eq!((found.never_placed, found.parked.len()), (5, 0));
        assert_eq!((found.certificate_request, found.certificate_expires), (None, None));
        running.stop().await;
    });
}

#[test]
fn the_status_shows_a_backlog_that_nobody_acknowledges() {
    with_mosquitto(async {
        let scene = Scene::new();
        let mut site = scene.site();
        site.readings(4);
        let _collect = Collect::listen(&site);
        let running = site.start();
        running.until(|status| status.streams.get(&Stream::Readings).is_some_and(|s| s.sent > 0)).await;
        // It is retained: whoever comes later reads it.
        let mut portal = scene.silent_portal().await;
        let status = topic(Leaf::Status);
        portal.until(|found| found.document::<Status>(&status).is_some()).await;
        let found: Status = scene.database.lock().unwrap().document(&status).unwrap();
        let backlog = &found.backlog[&Stream::Readings];
        // 1000 bytes in 10 blocks, says the receiving half.
        assert_eq!((backlog.batches, backlog.bytes, backlog.acknowledged), (4, 400, Seq::NONE));
        assert_eq!(backlog.oldest, messages::Time::from_unix(crate::site::NOW));
        running.stop().await;
    });
}
