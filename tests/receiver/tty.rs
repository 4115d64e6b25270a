use std::time::Duration;

use emulator::tty::Tty;
use vesigate::receiver::{HexTty, RawTty};

use crate::{
    bench::{C1_AND_T1, Kind},
    scenarios::scenarios,
};

const RAW: Kind = Kind {
    driver: || Box::new(RawTty::new(9_600)),
    device: || Box::new(Tty::raw(9_600)),
    speed: 9_600,
    modes: C1_AND_T1,
    asks: false,
    checksum: false,
    rssi: false,
    longest: 255,
    noise: &[0xFE, 0xD5, 0x00, 0x0D, 0x44, 0x2D, 0x2C],
    late: Duration::ZERO,
};

const HEX: Kind = Kind {
    driver: || Box::new(HexTty::new(9_600)),
    device: || Box::new(Tty::hex(9_600)),
    noise: b"\xFE\xD5\0 0D442D2C9",
    ..RAW
};

mod raw {
    use super::*;

    scenarios!(RAW);
}

mod raw_with_crcs {
    use super::*;

    const KIND: Kind = Kind { device: || Box::new(Tty::raw(9_600).with_crcs()), ..RAW };

    scenarios!(KIND);
}

mod hex {
    use super::*;

    scenarios!(HEX);
}

mod hex_with_crcs {
    use super::*;

    const KIND: Kind = Kind { device: || Box::new(Tty::hex(9_600).with_crcs()), ..HEX };

    scenarios!(KIND);
}
