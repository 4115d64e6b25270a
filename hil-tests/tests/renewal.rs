//! A client certificate that ends soon is renewed through the portal, by the real program at a broker that lets nobody in
//! without one, killed at each step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hil_tests::certificates::{Authority, Years};
use hil_tests::portal::Records;
use hil_tests::{Broker, FastClock, Gateway, Half, Portal, Site, broker};
use messages::config::GatewayConfig;

/// 20 December 2099: twelve days before the certificates of [`Years::NOW`] end.
const LATE: i64 = 4_101_408_000;
const NAME: &str = "kylavesi/gw-7";

fn request(records: &Records) -> Option<String> {
    records.status.as_ref()?.certificate_request.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_is_renewed_and_used_after_a_restart() {
    let mut site = Site::new();
    site.clock = Some(FastClock::new(LATE, 1));
    let authority = Authority::new(&site.path(""), "authority");
    let broker = Broker::start_tls(broker::Tls {
        authority: authority.certificate().to_owned(),
        identity: authority.server("localhost", Years::NOW),
        revoked: None,
    })
    .await;
    let portal = Portal::connect_as(&broker, Some(&authority.client("kylavesi/portal", Years::NOW)));
    portal.listens().await;
    let ours = authority.client(NAME, Years::NOW);
    let tls = format!(
        "tls = {{ ca = \"{}\", certificate = \"{}\", key = \"{}\" }}\n",
        authority.certificate().display(),
        ours.certificate.display(),
        ours.key.display()
    );
    site.configure(&[&broker.uplink(&tls)]);
    let gateway = Gateway::start(&site, Half::Both).await;
    let asked = portal.has("a request for a certificate", request).await;
    gateway.kill().await;

    // The portal answers while nobody is there.
    let certificate = authority.answer(&asked, NAME, Years(2021, 2130));
    let config: GatewayConfig = serde_json::from_value(serde_json::json!({
        "version": 1, "meters": {}, "certificate": certificate,
        "utility": {"name": "Kylän Vesi", "time_zone": "Europe/Helsinki", "language": "fi"},
    }))
    .unwrap();
    portal.configure(&config);
    let renewed = |records: &Records| {
        let status = records.status.as_ref()?;
        let expires = status.certificate_expires?.to_string();
        (expires == "2130-01-01T00:00:00Z" && status.certificate_request.is_none()).then_some(())
    };
    let gateway = Gateway::start(&site, Half::Both).await;
    portal.has("a status under the new certificate", renewed).await;
    let pair = site.data().join("deliver/broker.pem");
    assert_eq!(fs::metadata(&pair).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.kill().await;

    portal.forget_status();
    let gateway = Gateway::start(&site, Half::Both).await;
    portal.has("a status after the restart", renewed).await;
    assert!(portal.records().breaches.is_empty(), "{:?}", portal.records());
    assert!(gateway.stop().await.success());
}
