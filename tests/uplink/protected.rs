//! The shipped broker configuration: certificates, each problem told apart, and who may do what.

use messages::batch::{Seq, Stream};

use crate::certificates::{Authority, Valid};
use crate::portal::Database;
use crate::site::Site;
use crate::town::Town;
use crate::with_mosquitto;

/// What the uplink says about why it is not connected.
async fn error(site: &Site) -> String {
    let running = site.start();
    let status = running.until(|status| status.error.is_some()).await;
    running.kill().await;
    status.error.unwrap()
}

#[test]
fn with_the_shipped_configuration_everything_arrives() {
    with_mosquitto(async {
        let town = Town::new();
        let mut portal = town.portal(Database::new(1)).await;
        let mut site = town.site();
        site.readings(10);
        let epoch = site.collect.epoch();
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(10)).await;
        let status = running.arrives(Stream::Readings, 10).await;
        assert_eq!(status.certificate_expires.unwrap().to_string(), "2045-01-01T00:00:00Z");
        running.stop().await;
    });
}

#[test]
fn each_problem_with_the_brokers_certificate_is_told_apart() {
    with_mosquitto(async {
        let town = Town::with(Valid::Past, "127.0.0.1", false);
        let said = error(&town.site()).await;
        assert!(said.contains("expired at 2022-01-01T00:00:00Z, and it is 2026-11-25"), "{said}");

        let town = Town::with(Valid::Future, "127.0.0.1", false);
        let said = error(&town.site()).await;
        assert!(said.contains("valid from 2044-01-01T00:00:00Z only, and it is 2026-11-25"), "{said}");

        let town = Town::with(Valid::Now, "broker.example", false);
        let said = error(&town.site()).await;
        assert!(said.contains("not for 127.0.0.1 but for") && said.contains("broker.example"), "{said}");

        let town = Town::new();
        Authority::new("another").write(&town.path().join("ca.pem"));
        let said = error(&town.site()).await;
        assert!(said.contains("unknown authority"), "{said}");

        let town = Town::new();
        town.authority.revoke(&[1], &town.path().join("our-crl.pem"));
        let site = town
            .site_with("certificate = \"@/gateway.pem\", key = \"@/gateway.key\", crl = \"@/our-crl.pem\"");
        let said = error(&site).await;
        assert!(said.contains("broker's certificate is revoked"), "{said}");
    });
}

#[test]
fn each_problem_with_our_certificate_is_told_apart() {
    with_mosquitto(async {
        let town = Town::with(Valid::Now, "127.0.0.1", true);
        let at = town.path().join("gateway");
        let password = town.path().join("password");
        std::fs::write(&password, "secret").unwrap();
        std::os::unix::fs::chown(&password, None, None).unwrap();
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let tls = format!("tls = {{ ca = \"{}/ca.pem\" }}", town.path().display());
        let login = format!("user = \"gw\"\npassword_file = \"{}\"", password.display());
        let without = Site::new(&format!("port = {}\n{tls}\n{login}", town.broker.port));
        let said = error(&without).await;
        assert!(said.contains("requires a client certificate"), "{said}");

        town.authority.client("kylavesi/gw-7", Valid::Past, 3, &at);
        let said = error(&town.site()).await;
        assert!(said.contains("our certificate has expired"), "{said}");

        town.authority.client("kylavesi/gw-7", Valid::Future, 3, &at);
        let said = error(&town.site()).await;
        assert!(said.contains("does not accept our certificate"), "{said}");

        town.authority.client("kylavesi/gw-7", Valid::Now, 99, &at);
        let said = error(&town.site()).await;
        assert!(said.contains("our certificate is revoked"), "{said}");

        Authority::new("another").client("kylavesi/gw-7", Valid::Now, 3, &at);
        let said = error(&town.site()).await;
        assert!(said.contains("does not know the authority that signed our certificate"), "{said}");

        town.authority.client("kylavesi/gw-7", Valid::Now, 3, &town.path().join("spare"));
        std::fs::copy(town.path().join("spare.key"), town.path().join("gateway.key")).unwrap();
        let said = error(&town.site()).await;
        assert!(said.contains("does not belong to the certificate"), "{said}");

        std::fs::write(town.path().join("gateway.pem"), "nothing").unwrap();
        let said = error(&town.site()).await;
        assert!(said.contains("uplink.tls.certificate") && said.contains("PEM"), "{said}");
    });
}

#[test]
fn a_renewed_certificate_is_taken_without_a_restart() {
    with_mosquitto(async {
        let town = Town::new();
        let at = town.path().join("gateway");
        town.authority.client("kylavesi/gw-7", Valid::Past, 3, &at);
        let site = town.site();
        let running = site.start();
        running.until(|status| status.error.is_some()).await;
        town.authority.client("kylavesi/gw-7", Valid::Now, 4, &at);
        running.until(|status| status.connected).await;
        running.stop().await;
    });
}

#[test]
fn a_gateway_that_writes_anothers_topics_is_told_so() {
    with_mosquitto(async {
        let town = Town::new();
        // The certificate says another gateway than the configuration.
        town.authority.client("kylavesi/gw-8", Valid::Now, 3, &town.path().join("gateway"));
        let mut site = town.site();
        site.readings(2);
        let running = site.start();
        let refused =
            |error: &Option<String>| error.as_ref().is_some_and(|error| error.contains("reason 135"));
        // Also when the broker hangs up after it has said so.
        running.until(|status| refused(&status.error) && status.connections >= 3).await;
        let status = running.until(|status| refused(&status.error)).await;
        let said = status.error.unwrap();
        assert!(said.contains("utility and name"), "{said}");
        assert_eq!(status.streams[&Stream::Readings].acknowledged, Seq::NONE);
        assert!(status.parked.is_empty());
        running.stop().await;
    });
}

#[test]
fn no_gateway_hears_another_or_takes_the_portals_session() {
    with_mosquitto(async {
        let town = Town::new();
        town.authority.client("kylavesi/gw-8", Valid::Now, 5, &town.path().join("spy"));
        let mut portal = town.portal(Database::new(1)).await;
        // A spy with a good certificate of its own, under the portal's client id.
        let (spy, mut events) =
            rumqttc::AsyncClient::builder(town.options("spy", "kylavesi/portal")).capacity(10).build();
        spy.try_subscribe("vesi/1/#", rumqttc::QoS::AtLeastOnce).unwrap();
        let heard = tokio::spawn(async move {
            loop {
                if let Ok(rumqttc::Event::Incoming(rumqttc::Incoming::Publish(publish))) = events.poll().await
                {
                    return publish.topic;
                }
            }
        });
        let mut site = town.site();
        site.readings(5);
        let epoch = site.collect.epoch();
        let running = site.start();
        portal.until(|found| found.cursor(Stream::Readings, epoch) == Seq::new(5)).await;
        running.arrives(Stream::Readings, 5).await;
        assert!(!heard.is_finished(), "the spy heard something");
        heard.abort();
        running.stop().await;
    });
}
