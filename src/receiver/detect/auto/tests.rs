use std::sync::{Arc, Mutex};

use emulator::{amber::Amber, cul::Cul, dongle::Dongle as Virtual, im871a, iu891a, rc1180::Rc1180};

use super::*;
use crate::receiver::{
    Amb8465, Im871a, Iu891a, Listen,
    simulation::{HOUR, Kind as Life, MINUTE, SECOND, World, lives},
};

fn make(found: &Found) -> Option<Box<dyn Dongle>> {
    let listen = Listen::C1AndT1;
    match found.kind {
        Kind::Im871a => Some(Box::new(Im871a::new(listen))),
        Kind::Iu891a => Some(Box::new(Iu891a::new(listen))),
        Kind::Amb8465 => Some(Box::new(Amb8465::new(listen, found.baud))),
        Kind::Cul => Some(Box::new(crate::receiver::Cul::new(listen, found.baud))),
        Kind::Rc1180 => Some(Box::new(crate::receiver::Rc1180::new(listen, found.baud))),
        Kind::Amb3665 => None,
    }
}

fn may_be(kinds: &[Kind]) -> Candidates {
    Candidates { kinds: kinds.to_vec(), device: None }
}

fn auto() -> Box<dyn Dongle> {
    Box::new(Auto::new(Box::new(|| Ok(may_be(&Kind::ALL))), Box::new(make)))
}

fn world(device: impl Virtual + 'static) -> World<Box<dyn Virtual>> {
    let mut world = World::new(auto(), Box::new(device) as Box<dyn Virtual>);
    world.pass(5 * SECOND);
    world
}

/// One that is known to be an iM871A lives as an iM871A does.
mod known {
    use super::*;

    const LIFE: Life = Life {
        driver: || Box::new(Auto::new(Box::new(|| Ok(may_be(&[Kind::Im871a]))), Box::new(make))),
        device: || Box::new(im871a::Device::default()),
        asks: true,
        restart: Some(&[0xA5, 0x81, 0x07, 0x00, 0xF4, 0xDD]),
    };

    lives!(LIFE);
}

#[test]
fn whoever_answers_is_driven_at_its_own_speed() {
    let fast = Amber::amb8465().fast();
    for (device, kind) in [
        (Box::new(im871a::Device::default()) as Box<dyn Virtual>, Kind::Im871a),
        (Box::new(iu891a::Device::default()), Kind::Iu891a),
        (Box::new(iu891a::Device::default().with_module_type(0x71)), Kind::Iu891a),
        (Box::new(Amber::amb8465()), Kind::Amb8465),
        (Box::new(fast), Kind::Amb8465),
        (Box::new(Cul::default()), Kind::Cul),
        (Box::new(Rc1180::default()), Kind::Rc1180),
    ] {
        let mut world = world(device);
        assert_eq!(Kind::of(&world.ready[0]), Some(kind), "what its driver says is its kind's word");
        world.telegram();
        world.pass(3 * SECOND);
        assert_eq!((world.heard.len(), world.driver.counters().frames), (1, 1), "{kind:?}");
        assert!(!world.device.has_transmitted());
    }
}

#[test]
fn another_receiver_plugged_into_the_same_port_is_driven_as_what_it_is() {
    let mut world = world(im871a::Device::default());
    world.telegram();
    for (device, model) in [
        (Box::new(Amber::amb8465().transparent()) as Box<dyn Virtual>, "AMB"),
        (Box::new(iu891a::Device::default()), "iU8"),
        (Box::new(im871a::Device::default()), "iM8"),
    ] {
        world.device = device;
        world.open();
        world.pass(5 * SECOND);
        assert!(world.ready.last().unwrap().model.starts_with(model), "{:?}", world.ready);
        assert!(!world.device.has_transmitted());
        world.telegram();
        world.pass(3 * SECOND);
    }
    assert_eq!((world.heard.len(), world.driver.counters().frames), (4, 4), "counted over all of them");
    assert_eq!(world.reopened, []);
}

#[test]
fn nobody_is_told_once_and_asked_ever_more_seldom() {
    let mut world = world(im871a::Device::default());
    world.answers = false;
    world.hears = false;
    world.open();
    world.pass(HOUR);
    assert_eq!(world.faults(), [Fault::NobodyAnswers]);
    let said = world.written.len();
    world.pass(HOUR);
    assert!((20..80).contains(&(world.written.len() - said)), "{}", world.written.len() - said);
    world.answers = true;
    world.hears = true;
    world.pass(16 * MINUTE);
    assert_eq!(world.ready.len(), 2, "and is found when it answers");
}

#[test]
fn a_receiver_that_does_not_fit_the_configuration_is_named() {
    let mut world = world(Amber::amb3665());
    assert_eq!(world.faults(), [Fault::WrongKind { is: "AMB3665" }]);
    world.pass(HOUR);
    assert_eq!(world.reopened.len(), 1);
}

#[test]
fn one_that_falls_silent_is_first_treated_as_its_kind_and_then_asked_who_it_is() {
    let mut world = world(im871a::Device::default());
    world.telegrams(SECOND, 2 * MINUTE);
    world.answers = false;
    world.hears = false;
    world.pass(2 * MINUTE);
    assert_eq!(world.faults(), [Fault::StoppedAnswering]);
    // Somebody has exchanged it without the port going away.
    world.device = Box::new(iu891a::Device::default());
    world.answers = true;
    world.hears = true;
    world.pass(10 * MINUTE);
    assert_eq!(world.ready.last().unwrap().model, "iU891A-XL");
}

#[test]
fn what_usb_numbers_say_is_looked_at_at_each_opening() {
    let now = Arc::new(Mutex::new(may_be(&[Kind::Im871a])));
    let look = now.clone();
    let auto = Auto::new(Box::new(move || Ok(look.lock().unwrap().clone())), Box::new(make));
    let mut world = World::new(Box::new(auto), Box::new(im871a::Device::default()) as Box<dyn Virtual>);
    world.pass(SECOND);
    let said = world.written.len();
    world.open();
    world.pass(SECOND);
    assert_eq!(world.written.len() - said, 5, "nobody else can be there: it is set up at once");
    *now.lock().unwrap() = may_be(&[Kind::Iu891a]);
    world.device = Box::new(iu891a::Device::default());
    world.open();
    world.pass(SECOND);
    assert_eq!(world.ready.last().unwrap().model, "iU891A-XL");
}

#[test]
fn a_device_with_a_serial_number_of_its_own_is_asked_once_and_again_when_it_does_not_answer() {
    let usb = |serial: &str| Usb { id: (0x0403, 0x6001), serial: Some(serial.to_owned()), ..Usb::default() };
    let one = |serial: &str| Candidates { kinds: Kind::ALL.to_vec(), device: Some(usb(serial)) };
    let now = Arc::new(Mutex::new(one("A1")));
    let look = now.clone();
    let auto = Auto::new(Box::new(move || Ok(look.lock().unwrap().clone())), Box::new(make));
    let mut world = World::new(Box::new(auto), Box::new(Cul::default()) as Box<dyn Virtual>);
    world.pass(5 * SECOND);
    assert_eq!(world.ready.len(), 1);
    world.device.reboot();
    world.open();
    assert_eq!(world.ready.len(), 2, "at once");

    // Another one, and then another firmware in the same.
    *now.lock().unwrap() = one("B2");
    world.device = Box::new(Amber::amb8465().transparent());
    world.open();
    world.pass(5 * SECOND);
    assert_eq!((world.ready.len(), world.device.has_transmitted()), (3, false));
    world.device = Box::new(im871a::Device::default());
    world.open();
    world.pass(5 * MINUTE);
    assert_eq!(world.ready.last().unwrap().model, "iM871A");
}

#[test]
fn after_a_failed_opening_or_at_another_node_nobody_is_taken_for_who_was_there() {
    let mut world = world(im871a::Device::default());
    world.telegrams(SECOND, HOUR);
    world.hears = false;
    while world.reopened.is_empty() {
        world.pass(SECOND / 2);
    }
    assert_eq!(world.faults(), [Fault::Deaf { minutes: 60 }]);
    // While the port is closed, somebody puts another receiver there.
    world.device = Box::new(Amber::amb8465().transparent());
    world.driver.maybe_another();
    world.pass(5 * SECOND);
    assert!(!world.device.has_transmitted());
    assert!(world.ready.last().unwrap().model.starts_with("AMB"));
}

#[test]
fn that_nobody_answers_is_told_again_after_a_failed_opening() {
    let mut world = World::new(auto(), Box::new(im871a::Device::default()) as Box<dyn Virtual>);
    world.answers = false;
    while world.reopened.is_empty() {
        world.pass(SECOND / 2);
    }
    // Somebody else has it for a moment, and the status says so.
    world.driver.maybe_another();
    world.pass(20 * SECOND);
    assert_eq!(world.faults(), [Fault::NobodyAnswers, Fault::NobodyAnswers]);
}

#[test]
fn a_port_where_nobody_ever_answered_is_left_alone_until_another_device_is_there() {
    let mut world = World::new(auto(), Box::new(im871a::Device::default()) as Box<dyn Virtual>);
    world.answers = false;
    world.pass(HOUR);
    let said = world.written.len();
    world.answers = true;
    world.pass(24 * HOUR);
    assert_eq!((world.written.len(), world.ready.len()), (said, 0));
    world.driver.maybe_another();
    world.open();
    world.pass(5 * SECOND);
    assert_eq!(world.ready.len(), 1);
}

#[test]
fn what_is_not_to_be_asked_is_neither_asked_nor_opened() {
    for fault in [Fault::Exempt, Fault::Foreign, Fault::OnlyTalks] {
        let why = fault.clone();
        let mut auto = Auto::new(Box::new(move || Err(why.clone())), Box::new(make));
        assert_eq!(auto.may_open(), Err(fault.clone()));
        let mut world = World::new(Box::new(auto), Box::new(im871a::Device::default()) as Box<dyn Virtual>);
        world.pass(HOUR);
        assert_eq!((world.written.len(), &world.faults()[0]), (0, &fault));
    }
}

#[test]
fn whoever_is_asked_or_driven_is_not_left_in_the_middle_when_the_port_is_closed() {
    let auto = Auto::new(Box::new(|| Ok(may_be(&[Kind::Rc1180]))), Box::new(make));
    let mut world = World::new(Box::new(auto), Box::new(Rc1180::default()) as Box<dyn Virtual>);
    world.answers = false;
    world.pass(SECOND / 5);
    assert_eq!(world.driver.farewell().as_deref(), Some(&b"X"[..]));
    world.answers = true;
    world.pass(5 * SECOND);
    assert_eq!((world.ready.len(), world.driver.farewell()), (1, None));
    world.answers = false;
    world.pass(MINUTE + SECOND);
    assert_eq!(world.driver.farewell().as_deref(), Some(&[0, b'X'][..]));
    while world.reopened.is_empty() {
        world.pass(SECOND / 2);
    }
    assert_eq!(world.driver.farewell().as_deref(), Some(&[0, b'X'][..]), "also of one that is given up");
    assert_eq!(world.driver.farewell(), None);
}
