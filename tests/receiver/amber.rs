use std::time::Duration;

use emulator::{amber::Amber, dongle::Mode};
use vesigate::receiver::{Amb3665, Amb8465, Channel, Fault, Listen};

use crate::{
    bench::{C1_AND_T1, Kind, Site},
    scenarios::scenarios,
};

const FRAMED: Kind = Kind {
    driver: || Box::new(Amb8465::new(Listen::C1AndT1, 9_600)),
    device: || Box::new(Amber::amb8465()),
    speed: 9_600,
    modes: C1_AND_T1,
    asks: true,
    checksum: true,
    rssi: true,
    // The signal strength counts, too.
    longest: 254,
    noise: &[0xFE, 0xD5, 0x00, 0xFF, 0xFF, 0x03, 0x02],
    late: Duration::from_millis(1_200),
};

mod framed {
    use super::*;

    scenarios!(FRAMED);
}

mod as_delivered {
    use super::*;

    const KIND: Kind =
        Kind { device: || Box::new(Amber::amb8465().as_delivered()), checksum: false, rssi: false, ..FRAMED };

    scenarios!(KIND);
}

mod transparent_with_signal_strength {
    use super::*;

    const KIND: Kind =
        Kind { device: || Box::new(Amber::amb8465().transparent()), checksum: false, longest: 253, ..FRAMED };

    scenarios!(KIND);
}

mod at_169_mhz {
    use super::*;

    const KIND: Kind = Kind {
        driver: || Box::new(Amb3665::new(Channel::A, 9_600)),
        device: || Box::new(Amber::amb3665()),
        modes: &[Mode::N1(0)],
        ..FRAMED
    };

    scenarios!(KIND);
}

#[tokio::test]
async fn a_module_at_another_speed_is_found_there() {
    const FAST: Kind = Kind {
        driver: || Box::new(Amb8465::new(Listen::C1AndT1, 115_200)),
        device: || Box::new(Amber::amb8465().fast()),
        speed: 115_200,
        ..FRAMED
    };
    let site = Site::new(&FAST);
    let mut receiver = site.ready_receiver().await;
    site.hear([1]).await;
    assert_eq!(receiver.telegrams(1).await, [1]);

    let site = Site::with(&FRAMED, Box::new(Amber::amb8465().fast()));
    assert_eq!(site.receiver().faulty().await, Fault::NoAnswer);
}

#[tokio::test]
async fn the_other_part_is_named() {
    let site = Site::with(&FRAMED, Box::new(Amber::amb3665()));
    let fault = site.receiver().faulty().await;
    assert_eq!(fault.to_string(), "the receiver is an AMB3665: configure that kind");
}
