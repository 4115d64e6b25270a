use std::time::Duration;

use emulator::cul::Cul as Stick;
use vesigate::receiver::{Cul, Fault, Listen};

use crate::{
    bench::{C1_AND_T1, Kind, Site},
    scenarios::scenarios,
};

const KIND: Kind = Kind {
    driver: || Box::new(Cul::new(Listen::C1AndT1, 38_400)),
    device: || Box::new(Stick::default()),
    speed: 38_400,
    modes: C1_AND_T1,
    asks: true,
    // The collector checks the CRCs, which are left in.
    checksum: false,
    rssi: true,
    longest: 255,
    noise: b"\xFE\xD5\0b2A44F1",
    late: Duration::from_millis(800),
};

scenarios!(KIND);

#[tokio::test]
async fn a_firmware_without_c_mode_is_a_fault_that_says_what_to_do() {
    let site = Site::with(&KIND, Box::new(Stick::without_c_mode()));
    let mut receiver = site.receiver();
    let fault = receiver.faulty().await;
    assert_eq!(fault, Fault::NoSuchMode);
    assert!(fault.to_string().contains("configure modes that it knows"), "{fault}");
}
