//! Our certificate is renewed through the portal, at a broker that lets nobody in without one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use messages::Status;
use messages::event::ProblemKind;
use messages::topic::Leaf;
use vesigate::world::World;

use crate::certificates::{Authority, Valid};
use crate::collect::Collect;
use crate::portal::{Database, Portal};
use crate::scene::{GATEWAY, topic};
use crate::site::{Running, Site};
use crate::town::Town;
use crate::with_mosquitto;

/// 15 days before the end of 2044, with which the gateway's certificate ends. The broker lives by the machine's clock.
const LATE: i64 = 2_365_545_600;
const OLD: &str = "2045-01-01T00:00:00Z";
const NEW: &str = "2049-01-01T00:00:00Z";

/// A gateway whose certificate is about to end, and a portal.
struct Ageing {
    town: Town,
    site: Site,
    portal: Portal,
    database: Arc<Mutex<Database>>,
    _collect: Collect,
}

impl Ageing {
    async fn new() -> Self {
        let (town, database) = (Town::new(), Database::new(1));
        let portal = town.portal(database.clone()).await;
        let mut site = town.site();
        site.world = World::manual(LATE);
        let collect = Collect::listen(&site);
        Self { town, site, portal, database, _collect: collect }
    }

    fn status(&self) -> Option<Status> {
        self.database.lock().unwrap().document(&topic(Leaf::Status))
    }

    /// The newest status in which that is so.
    async fn reports(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        let status = topic(Leaf::Status);
        let there =
            |found: &Database| found.document::<Status>(&status).is_some_and(|status| wanted(&status));
        self.portal.until(there).await;
        self.status().unwrap()
    }

    async fn request(&mut self) -> String {
        self.reports(|status| status.certificate_request.is_some()).await.certificate_request.unwrap()
    }

    /// The portal's word of this version brings this certificate.
    async fn bring(&self, version: u64, certificate: &str) {
        let config = serde_json::json!({
            "version": version, "meters": {}, "certificate": certificate,
            "utility": {"name": "Kylän Vesi", "time_zone": "Europe/Helsinki", "language": "fi"},
        });
        self.portal.say(GATEWAY, Leaf::GatewayConfig, config.to_string()).await;
    }

    fn file(&self, name: &str) -> PathBuf {
        self.site.path().join("data/deliver").join(name)
    }
}

async fn until_expires(running: &Running, end: &str) {
    let shown = |expires: Option<messages::Time>| expires.is_some_and(|expires| expires.to_string() == end);
    running.until(|status| status.connected && shown(status.certificate_expires)).await;
}

fn problem(running: &Running, place: &str) -> Option<String> {
    let problems = running.shared.problems.borrow().list();
    let found = problems.into_iter().find(|problem| {
        problem.problem == ProblemKind::ConfigRefused && problem.place.as_deref() == Some(place)
    });
    found.map(|problem| problem.text)
}

#[test]
fn a_certificate_is_renewed_through_the_portal_and_survives_restarts_at_each_step() {
    with_mosquitto(async {
        let mut ageing = Ageing::new().await;
        let running = ageing.site.start();
        until_expires(&running, OLD).await;
        let request = ageing.request().await;
        let expiring = |running: &Running| {
            running.shared.problems.borrow().is_running(&ProblemKind::CertificateExpiring, None)
        };
        running.until(|_| expiring(&running)).await;
        running.kill().await;

        // The same request after a restart.
        ageing.database.lock().unwrap().documents.clear();
        let running = ageing.site.start();
        assert_eq!(ageing.request().await, request);
        running.kill().await;

        // The answer comes while the gateway is away: it lies at the broker.
        let answer = ageing.town.authority.answer(&request, GATEWAY, Valid::Renewed, 7);
        ageing.bring(1, &answer).await;
        let running = ageing.site.start();
        until_expires(&running, NEW).await;
        let status = running.until(|status| status.connected && status.connections >= 2).await;
        assert_eq!(status.error, None);
        assert!(!ageing.file("broker.request.pem").exists() && ageing.file("broker.pem").exists());
        // A status between the answer and the new line says neither: no request any more, and the certificate before.
        let renewed = |status: &Status| status.certificate_expires.is_some_and(|end| end.to_string() == NEW);
        let done = ageing.reports(renewed).await;
        assert_eq!(done.certificate_request, None);
        assert!(!expiring(&running) && problem(&running, "certificate").is_none());
        running.kill().await;

        // The portal's old answer still lies there, and so does the configured pair: neither matters any more.
        let mut site = ageing.site;
        site.world = World::manual(LATE + 20 * 86_400);
        std::fs::remove_file(ageing.town.path().join("gateway.key")).unwrap();
        let running = site.start();
        // The broker's own certificate is over by then, so it is not reached; ours is chosen nevertheless.
        let status = running.until(|status| status.error.is_some()).await;
        assert_eq!(status.certificate_expires.unwrap().to_string(), NEW);
        assert!(status.error.unwrap().contains("broker's certificate expired"));
        running.stop().await;
    });
}

#[test]
fn an_answer_that_does_not_fit_is_told_once_and_the_next_one_mends_it() {
    with_mosquitto(async {
        let mut ageing = Ageing::new().await;
        let running = ageing.site.start();
        let request = ageing.request().await;
        let strange = Authority::new("another").answer(&request, GATEWAY, Valid::Renewed, 7);
        ageing.bring(1, &strange).await;
        running.until(|_| problem(&running, "certificate").is_some()).await;
        let said = problem(&running, "certificate").unwrap();
        assert!(said.contains("not signed by an authority of uplink.tls.ca"), "{said}");
        let begun = |running: &Running| {
            running.shared.problems.borrow().begun().get(&ProblemKind::ConfigRefused).copied()
        };
        // The same again changes nothing.
        ageing.bring(2, &strange).await;
        running.until(|status| status.config.version == 2).await;
        assert_eq!(begun(&running), Some(1));
        let status = running.until(|status| status.connected).await;
        assert_eq!(
            (status.connections, status.certificate_expires.unwrap().to_string()),
            (1, OLD.to_owned())
        );
        assert_eq!(ageing.status().unwrap().certificate_request, Some(request.clone()));

        let answer = ageing.town.authority.answer(&request, GATEWAY, Valid::Renewed, 8);
        ageing.bring(3, &answer).await;
        until_expires(&running, NEW).await;
        assert_eq!(problem(&running, "certificate"), None);
        running.stop().await;
    });
}

#[test]
fn a_renewed_certificate_that_the_broker_does_not_take_gives_way_to_the_old_one() {
    with_mosquitto(async {
        let mut ageing = Ageing::new().await;
        // We would take either authority's word, the broker takes one's.
        let another = Authority::new("another");
        let both = ageing.town.path().join("both.pem");
        another.write(&both);
        let ours = std::fs::read_to_string(ageing.town.path().join("ca.pem")).unwrap();
        std::fs::write(&both, ours + &std::fs::read_to_string(&both).unwrap()).unwrap();
        ageing.site.config = ageing.site.config.replace("/ca.pem", "/both.pem");
        let running = ageing.site.start();
        let request = ageing.request().await;
        ageing.bring(1, &another.answer(&request, GATEWAY, Valid::Renewed, 7)).await;
        running.until(|_| problem(&running, "renewed certificate").is_some()).await;
        let said = problem(&running, "renewed certificate").unwrap();
        assert!(said.contains("does not know the authority that signed our certificate"), "{said}");
        until_expires(&running, OLD).await;
        // None is asked for: it would be the same again.
        let status = ageing.reports(|status| status.certificate_request.is_none()).await;
        assert_eq!(status.certificate_expires.unwrap().to_string(), OLD);
        running.stop().await;
    });
}
