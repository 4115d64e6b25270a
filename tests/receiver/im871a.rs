use std::time::Duration;

use emulator::{fault::Fault as Wrong, im871a::Device};
use vesigate::receiver::{Fault, Im871a, Listen};

use crate::{
    bench::{C1_AND_T1, Kind, Site},
    scenarios::scenarios,
};

const KIND: Kind = Kind {
    driver: || Box::new(Im871a::new(Listen::C1AndT1)),
    device: || Box::new(Device::default()),
    speed: 57_600,
    modes: C1_AND_T1,
    asks: true,
    checksum: true,
    rssi: true,
    longest: 255,
    noise: &[0xFE, 0xD5, 0x00, 0xA5, 0xA5, 0xC2, 0x03],
    late: Duration::from_millis(700),
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
async fn old_firmware_is_a_fault_that_says_what_to_do() {
    let site = Site::with(&KIND, Box::new(Device::default().with_firmware(0x13)));
    let mut receiver = site.receiver();
    let fault = receiver.faulty().await;
    assert_eq!(fault, Fault::FirmwareTooOld { firmware: (1, 3) });
    assert!(fault.to_string().contains("configure one link mode"), "{fault}");
}
