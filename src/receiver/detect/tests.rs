use std::fs;

use emulator::{dongle::Kind as Twin, plugged::Plugged};

use super::{system::tests::Fake, *};
use crate::receiver::port;

/// Dongles on pseudo-terminals in a system of folders.
struct Bench {
    fake: Fake,
    dongles: Vec<Plugged>,
}

impl Bench {
    fn new() -> Self {
        Self { fake: Fake::new(), dongles: Vec::new() }
    }

    fn plug_in(&mut self, name: &str, id: &str, names: [&str; 3], twin: Twin) {
        let node = self.fake.at("dev").join(name);
        self.dongles.push(Plugged::plug_in(&node, twin.dongle()).unwrap());
        self.fake.plug_in(name, &format!("1-{}", self.dongles.len()), id, names);
    }

    async fn detect(&self, wishes: Wishes) -> Vec<What> {
        // Virtual receivers share this machine with whatever else it does.
        let wishes = Wishes { patience: 3, ..wishes };
        let detected = detect(&self.fake.system(), &wishes, |_| {}).await.unwrap();
        detected.into_iter().map(|detected| detected.what).collect()
    }

    fn twin(name: &str) -> Twin {
        *Twin::all().iter().find(|twin| twin.name() == name).unwrap()
    }
}

fn asking() -> Wishes {
    Wishes { ask: true, ..Wishes::default() }
}

fn kind(what: &What) -> Option<Kind> {
    if let What::Found(found) = what { Some(found.kind) } else { None }
}

const FTDI: &str = "0403:6001";

#[tokio::test]
async fn receivers_of_all_kinds_are_found_on_bridges_that_say_little() {
    let mut bench = Bench::new();
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Iu891a && Twin::all().iter().any(|twin| twin.name() == kind.word()))
        .collect();
    for (at, kind) in kinds.iter().enumerate() {
        let serial = format!("A{at}");
        bench.plug_in(&format!("ttyUSB{at}"), FTDI, ["FTDI", "FT232R", &serial], Bench::twin(kind.word()));
    }
    bench.plug_in("ttyUSB9", "04b4:0003", ["IMST", "iU891A", ""], Bench::twin("iu891a"));
    let found: Vec<_> = bench.detect(asking()).await.iter().map(kind).collect();
    let expected: Vec<_> = kinds.into_iter().chain([Kind::Iu891a]).map(Some).collect();
    assert_eq!(found, expected);
    for dongle in &bench.dongles {
        port::open(dongle.link(), 9_600).expect("they are free again afterwards");
    }
}

#[tokio::test]
async fn without_a_wish_to_ask_no_port_is_opened() {
    let mut bench = Bench::new();
    bench.plug_in("ttyUSB0", FTDI, ["FTDI", "FT232R", "A1"], Twin::Im871a);
    bench.plug_in("ttyUSB1", "10c4:87ed", ["IMST", "Smart Meter", "B1"], Twin::Im871a);
    let looked = bench.detect(Wishes::default()).await;
    assert!(matches!(&looked[..], [What::Perhaps(several), What::Perhaps(one)]
        if several.len() == 5 && one[..] == [Kind::Im871a]));
    assert!(bench.dongles.iter().all(|dongle| dongle.state().borrow().speed == 0));
}

#[tokio::test]
async fn ports_that_say_nothing_or_something_else_are_asked_only_if_somebody_wants_that() {
    let mut bench = Bench::new();
    bench.plug_in("ttyUSB0", "1234:5678", ["Acme", "Stick", "A1"], Twin::Im871a);
    bench.plug_in("ttyUSB1", "10c4:ea60", ["ITEAD", "Sonoff Zigbee 3.0", "B1"], Twin::Im871a);
    let node = bench.fake.at("dev/ttyAMA0");
    bench.dongles.push(Plugged::plug_in(&node, Twin::Im871a.dongle()).unwrap());
    bench.fake.on_board("ttyAMA0", "33");

    assert_eq!(bench.detect(asking()).await, [What::Unknown, What::Foreign, What::OnBoard]);
    let wishes = Wishes { ask_unknown: true, ..asking() };
    let found = bench.detect(wishes).await;
    assert_eq!((kind(&found[0]), &found[1..]), (Some(Kind::Im871a), &[What::Foreign, What::OnBoard][..]));
    let named = Wishes { only: vec![node.clone()], ..asking() };
    let found = bench.detect(named).await;
    assert_eq!(
        (found.len(), kind(&found[0])),
        (1, Some(Kind::Im871a)),
        "who names a port takes it upon himself"
    );
}

#[tokio::test]
async fn what_is_exempt_is_never_opened_not_even_if_named() {
    let mut bench = Bench::new();
    bench.plug_in("ttyUSB0", "10c4:ea60", ["Silicon Labs", "CP2102", "A1"], Twin::Im871a);
    bench.plug_in("ttyUSB1", FTDI, ["FTDI", "FT232R", "B1"], Twin::Im871a);
    let by_id = detect(&bench.fake.system(), &Wishes::default(), |_| {}).await.unwrap()[0].port.path.clone();
    let wishes = Wishes {
        exempt: vec![Exempt::Path(by_id), Exempt::Usb(0x0403, 0x6001)],
        only: vec![bench.fake.at("dev/ttyUSB0"), bench.fake.at("dev/ttyUSB1")],
        ..asking()
    };
    assert_eq!(bench.detect(wishes).await, [What::Exempt, What::Exempt]);
    assert!(bench.dongles.iter().all(|dongle| dongle.state().borrow().speed == 0));
}

#[tokio::test]
async fn a_port_that_nobody_answers_at_is_silent_and_one_in_use_is_not_disturbed() {
    let mut bench = Bench::new();
    bench.plug_in("ttyUSB0", "10c4:ea60", ["Silicon Labs", "CP2102", "A1"], Twin::Im871a);
    bench.plug_in("ttyUSB1", "10c4:ea60", ["Silicon Labs", "CP2102", "B1"], Twin::Im871a);
    bench.dongles[0].mute(true).await;
    let held = port::open(&bench.fake.at("dev/ttyUSB1"), 57_600).unwrap();
    assert_eq!(bench.detect(asking()).await, [What::Silent, What::Busy(None)]);

    // Where it can be told, it is.
    let process = bench.fake.at("proc/512");
    fs::create_dir_all(process.join("fd")).unwrap();
    // A process calls itself what it likes.
    fs::write(process.join("comm"), "vesi\x1bgate\n").unwrap();
    std::os::unix::fs::symlink(&held.1, process.join("fd/7")).unwrap();
    let holder = Holder { pid: 512, name: "vesigate".to_owned() };
    assert_eq!(bench.detect(Wishes::default()).await[1], What::Busy(Some(holder)));
}

#[tokio::test]
async fn what_is_no_serial_port_after_all_fails_with_a_reason() {
    let bench = Bench::new();
    bench.fake.plug_in("ttyUSB0", "1-9", "10c4:ea60", ["Silicon Labs", "CP2102", "A1"]);
    let found = bench.detect(asking()).await;
    assert!(matches!(&found[..], [What::Failed(Fault::NotASerialPort { .. })]), "{found:?}");
}

#[tokio::test]
async fn what_only_talks_is_asked_if_it_is_named() {
    let mut bench = Bench::new();
    bench.plug_in("ttyUSB0", "067b:2303", ["Prolific", "WMB13U", "A1"], Twin::Im871a);
    assert_eq!(bench.detect(asking()).await, [What::OnlyTalks]);
    let named = Wishes { only: vec![bench.fake.at("dev/ttyUSB0")], ..asking() };
    let found = bench.detect(named.clone()).await;
    assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), [Some(Kind::Im871a)]);
    // A pseudo-terminal that was closed is replaced; only then is it there to be asked again.
    bench.dongles[0].state().wait_for(|state| !state.listening).await.unwrap();
    bench.dongles[0].mute(true).await;
    assert_eq!(bench.detect(named).await, [What::OnlyTalks]);
}

#[tokio::test]
async fn a_pseudo_terminal_behind_a_link_is_asked_if_it_is_named() {
    let mut bench = Bench::new();
    let link = bench.fake.at("dongle");
    bench.dongles.push(Plugged::plug_in(&link, Twin::Iu891a.dongle()).unwrap());
    assert_eq!(bench.detect(asking()).await, []);
    let named = Wishes { only: vec![link.clone()], ..asking() };
    let found = bench.detect(named.clone()).await;
    assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), [Some(Kind::Iu891a)]);
    bench.dongles[0].state().wait_for(|state| !state.listening).await.unwrap();
    let exempt = Wishes { exempt: vec![Exempt::Path(link)], ..named };
    assert_eq!(bench.detect(exempt).await, [What::Exempt]);
    let nothing = Wishes { only: vec!["/dev/null".into(), bench.fake.at("none")], ..asking() };
    assert_eq!(bench.detect(nothing).await, []);
}

#[test]
fn a_receiver_to_be_found_out_is_not_sought_where_nothing_is_to_be_asked() {
    let fake = Fake::new();
    for (at, (id, product)) in
        [("0403:6001", "FT232R"), ("10c4:ea60", "Sonoff Zigbee 3.0"), ("067b:2303", "WMB13U")]
            .into_iter()
            .enumerate()
    {
        let name = format!("ttyUSB{at}");
        fake.plug_in(&name, &format!("1-{at}"), id, ["Maker", product, "A1"]);
    }
    let at =
        |port: &str, exempt: &[Exempt]| candidates_at(&fake.system(), &fake.at("dev").join(port), exempt);
    assert_eq!(at("ttyUSB0", &[]).unwrap().kinds.len(), 5);
    assert_eq!(at("ttyUSB1", &[]), Err(Fault::Foreign));
    assert_eq!(at("ttyUSB2", &[]), Err(Fault::OnlyTalks));
    let link = fake.at("link");
    std::os::unix::fs::symlink(fake.at("dev/ttyUSB0"), &link).unwrap();
    for exempt in [Exempt::Path(link), Exempt::Usb(0x0403, 0x6001)] {
        assert_eq!(at("ttyUSB0", &[exempt]), Err(Fault::Exempt));
    }
    assert_eq!(at("ttyUSB9", &[]).unwrap().kinds.len(), Kind::ALL.len(), "nothing is there yet");
}

#[tokio::test]
async fn a_conversation_that_is_broken_off_leaves_no_rc1180_in_configuration() {
    let mut bench = Bench::new();
    let node = bench.fake.at("dev/ttyUSB0");
    bench.dongles.push(Plugged::plug_in(&node, Twin::Rc1180.dongle()).unwrap());
    let mut state = bench.dongles[0].state();
    bench.dongles[0].mute(true).await;
    let probe = Probe::new(&[Kind::Rc1180]).patient(1000);
    tokio::select! {
        found = ask::converse(&node, probe) => panic!("{found:?} although it is mute"),
        asked = state.wait_for(|state| state.inputs > 0 && state.modes.is_empty()) => drop(asked.unwrap()),
    }
    state.wait_for(|state| !state.modes.is_empty()).await.unwrap();
}
