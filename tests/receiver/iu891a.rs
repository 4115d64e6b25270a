use std::time::Duration;

use emulator::{fault::Fault as Wrong, iu891a::Device};
use vesigate::receiver::{Fault, Iu891a, Listen};

use crate::{
    bench::{C1_AND_T1, Kind, Site},
    scenarios::scenarios,
};

const KIND: Kind = Kind {
    driver: || Box::new(Iu891a::new(Listen::C1AndT1)),
    device: || Box::new(Device::default()),
    modes: C1_AND_T1,
    speed: 115_200,
    asks: true,
    checksum: true,
    rssi: true,
    longest: 255,
    noise: &[0xFE, 0xD5, 0x00, 0xC0, 0xC0, 0x09, 0x20, 0xDB],
    late: Duration::from_millis(1300),
};

scenarios!(KIND);

#[tokio::test]
async fn five_requests_set_it_up_and_a_lost_or_damaged_answer_costs_one_more() {
    let site = Site::new(&KIND);
    site.dongle.fault(Wrong::NoReply).await;
    site.dongle.fault(Wrong::BadChecksum).await;
    let _receiver = site.ready_receiver().await;
    assert_eq!(site.dongle.state().borrow().inputs, 7);
}

#[tokio::test]
async fn a_dongle_left_reporting_is_set_up_and_loses_nothing() {
    let site = Site::with(&KIND, Box::new(Device::default().left_reporting()));
    let mut receiver = site.receiver();
    let mut state = site.dongle.state();
    state.wait_for(|state| state.listening).await.unwrap();
    site.hear(0..50).await;
    assert_eq!(receiver.telegrams(50).await, Vec::from_iter(0..50));
    receiver.ready().await;
}

#[tokio::test]
async fn a_mode_that_its_firmware_does_not_know_is_a_fault_that_says_what_to_do() {
    let site = Site::with(&KIND, Box::new(Device::default().with_link_modes_up_to(2)));
    let mut receiver = site.receiver();
    let fault = receiver.faulty().await;
    assert_eq!(fault, Fault::NoSuchMode);
    assert!(fault.to_string().contains("configure modes"), "{fault}");
}
