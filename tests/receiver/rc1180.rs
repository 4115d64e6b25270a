use std::time::Duration;

use emulator::rc1180::Rc1180 as Module;
use vesigate::receiver::{Fault, Listen, Rc1180};

use crate::{
    bench::{C1_AND_T1, Kind, Site},
    scenarios::scenarios,
};

const KIND: Kind = Kind {
    driver: || Box::new(Rc1180::new(Listen::C1AndT1, 19_200)),
    device: || Box::new(Module::default()),
    speed: 19_200,
    modes: C1_AND_T1,
    asks: true,
    checksum: false,
    rssi: true,
    longest: 254,
    noise: &[0xFE, 0xD5, 0x00, 0x0E, 0x44, 0x2D, 0x2C],
    late: Duration::from_millis(900),
};

scenarios!(KIND);

mod with_crc {
    use super::*;

    const KIND: Kind = Kind {
        device: || Box::new(Module::factory().with_crc()),
        checksum: true,
        rssi: false,
        longest: 253,
        ..super::KIND
    };

    scenarios!(KIND);
}

#[tokio::test]
async fn a_module_that_filters_is_a_fault_that_names_the_setting() {
    let site = Site::with(&KIND, Box::new(Module::default().with(0x3D, 0)));
    let mut receiver = site.receiver();
    let fault = receiver.faulty().await;
    assert!(matches!(fault, Fault::Unfit { .. }));
    assert!(fault.to_string().contains("INSTALL_MODE (0x3D) must be 2"), "{fault}");
}

#[tokio::test]
async fn a_module_in_configuration_is_put_back_into_service_when_the_port_is_closed() {
    let site = Site::new(&KIND);
    let mut state = site.dongle.state();
    // Its prompt is lost, and so it stays in configuration.
    site.dongle.mute(true).await;
    let receiver = site.receiver();
    state.wait_for(|state| state.inputs > 0 && state.modes.is_empty()).await.unwrap();
    receiver.stop.cancel();
    receiver.task.await.unwrap();
    state.wait_for(|state| !state.modes.is_empty()).await.unwrap();
}
