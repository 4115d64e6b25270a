//! The promises of the configuration file.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SHIPPED: &str = include_str!("../../config/vesigate.toml");

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(Path::new("vesigate.toml"), text)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err()
}

/// The shipped file with every line that holds a key made active; those of examples too if wanted.
fn uncommented(examples: bool) -> String {
    let uncomment = |line: &'static str| {
        let key = line.strip_prefix('#').filter(|key| key.starts_with(|first: char| !first.is_whitespace()));
        key.filter(|key| examples || !key.ends_with("# example")).unwrap_or(line)
    };
    SHIPPED.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_the_shipped_file_and_all_its_defaults_mean_the_same() {
    for text in ["", SHIPPED, &uncommented(false)] {
        assert_eq!(parse(text), Ok(Config::default()));
    }
}

#[test]
fn the_shipped_file_shows_every_key() {
    let (absent, _, _) = Document::parse(Path::new("vesigate.toml"), &uncommented(true)).read(|root| {
        Config::read(root);
        root.document.keys_not_shown()
    });
    assert_eq!(absent, Vec::<String>::new());
}

#[test]
fn sections_that_are_off_show_their_true_defaults_in_the_shipped_file() {
    let shown = parse(&uncommented(true).replace("enabled = false", "enabled = true")).unwrap();
    let needed = r#"
        [gateway]
        utility = "waterworks"
        name = "pumphouse-2"
        [uplink]
        enabled = true
        host = "broker.example.org"
        tls.ca = "/etc/vesigate/ca.pem"
        tls.certificate = "/etc/vesigate/gateway.pem"
        tls.key = "vesigate.broker-key"
        tls.crl = "/etc/vesigate/crl.pem"
        user = "waterworks/pumphouse-2"
        password_file = "vesigate.broker"
        [mail]
        enabled = true
        server = "smtp.example.org"
        user = "alarm@example.org"
        password_file = "vesigate.mail"
        from = "Waterworks <alarm@example.org>"
        reply_to = "service@example.org"
        [home_assistant]
        enabled = true
        [[receiver]]
        path = "/dev/serial/by-id/usb-IMST_GmbH_iM871A-if00-port0"
        silent_after = "30 min"
        "#;
    let needed = parse(needed).unwrap();
    assert!(shown.uplink.is_some() && shown.mail.is_some() && shown.home_assistant.is_some());
    assert_eq!(shown.uplink, needed.uplink);
    assert_eq!(shown.mail, needed.mail);
    assert_eq!(shown.home_assistant, needed.home_assistant);
    assert_eq!(shown.receivers, needed.receivers);
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
    let text = r#"
[gateway]
clok = "rtc"
language = "de"
[collect]
block_rows = 0
block_every = "60"
store_budget = 200
prefix = "x"
[uplink]
enabled = true
port = 70000
[[receiver]]
kind = "im871a"
[nonsense]
"#;
    assert_eq!(
        problems(text),
        [
            "vesigate.toml:3: gateway.clok: is not known here; did you mean clock?",
            "vesigate.toml:4: gateway.language: is none of the words it may be; write \"fi\" or \"sv\" or \"en\"",
            "vesigate.toml:6: collect.block_rows: is out of range; write a number from 1 to 50000",
            "vesigate.toml:7: collect.block_every: is not a time with its unit; write a time from \"1 s\" to \"10 min\"",
            "vesigate.toml:8: collect.store_budget: is not a text in quotes; write a size from \"20 MB\" to \"20 GB\"",
            "vesigate.toml:9: collect.prefix: is not known here; it belongs into [home_assistant]",
            "vesigate.toml:10: uplink.host: is missing; write host = \"broker.example.org\"",
            "vesigate.toml:11: uplink.enabled: needs utility in [gateway]; write utility = \"...\" there",
            "vesigate.toml:11: uplink.enabled: needs name in [gateway]; write name = \"...\" there",
            "vesigate.toml:12: uplink.port: is out of range; write a number from 1 to 65535",
            "vesigate.toml:13: receiver[1].path: is missing; write path = \"/dev/serial/by-id/...\"",
            "vesigate.toml:15: nonsense: is not known here; remove it, or look its name up in the example file",
        ]
    );
}

#[test]
fn what_is_no_toml_is_told_in_our_own_words_and_the_rest_is_still_checked() {
    let text = "[mail]\nenabled = true\nserver = smtp.example.org\nport = 0\nport = 1\n[gateway]\nzone = 3\n";
    assert_eq!(
        problems(text),
        [
            "vesigate.toml:3: cannot be read; write key = \"text\", key = 12, key = true, [section] or # comment",
            "vesigate.toml:4: mail.port: is out of range; write a number from 1 to 65535",
            "vesigate.toml:5: stands here a second time; keep one of the two",
            "vesigate.toml:7: gateway.zone: is not a text in quotes; write an IANA name such as \"Europe/Helsinki\"",
        ]
    );
}

#[test]
fn plaintext_leaves_the_machine_only_on_the_operators_word() {
    let uplink = |rest: &str| {
        parse(&format!("[gateway]\nutility = \"u\"\nname = \"n\"\n[uplink]\nenabled = true\n{rest}"))
            .map(|config| config.uplink.map(|uplink| (uplink.transport, uplink.port)))
    };
    assert_eq!(uplink("host = \"127.0.0.1\""), Ok(Some((Transport::Plain, 1883))));
    assert_eq!(uplink("host = \"::1\"\nport = 8883"), Ok(Some((Transport::Plain, 8883))));
    assert_eq!(uplink("host = \"10.0.0.1\"\ninsecure_plaintext = true"), Ok(Some((Transport::Plain, 1883))));
    let refused = uplink("host = \"10.0.0.1\"").unwrap_err();
    assert_eq!(refused.len(), 1);
    assert!(refused.concat().starts_with("vesigate.toml:4: uplink.tls: is missing;"), "{refused:?}");
    let both = uplink("host = \"b\"\ninsecure_plaintext = true\ntls = { ca = \"/ca\" }").unwrap_err();
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn half_a_login_or_half_a_certificate_is_refused() {
    let text =
        "[uplink]\nuser = \"x\"\ntls = { ca = \"/ca\", key = \"/key\" }\n[mail]\npassword_file = \"/p\"\n";
    assert_eq!(
        problems(text),
        [
            "vesigate.toml:1: uplink.password_file: is missing; write user and password_file, or neither",
            "vesigate.toml:3: uplink.tls.certificate: is missing; write certificate and key, or neither",
            "vesigate.toml:4: mail.user: is missing; write user and password_file, or neither",
        ]
    );
}

#[test]
fn mail_in_the_clear_stays_on_the_machine() {
    let mail = |server: &str| {
        parse(&format!(
            "[mail]\nenabled = true\nsecurity = \"none\"\nfrom = \"a@b.fi\"\nserver = \"{server}\""
        ))
    };
    assert_eq!(mail("localhost").unwrap().mail.unwrap().port, 25);
    assert!(mail("smtp.example.org").unwrap_err().concat().contains("mail.security"));
}

#[test]
fn rules_contacts_and_their_meters_are_read() {
    let text = r#"
        [alarm]
        leak = { after = "2 h", repeat_every = "12 h", repeat_up_to = 3 }
        low_battery.after = "never"
        [[contact]]
        name = "on-call"
        email = "On Call <on-call@example.org>"
        codes = ["leak"]
        meters = ["76348799", "KAM.00000001"]
        [[contact]]
        name = "boss"
        email = "boss@example.org"
        meters = "listed"
        "#;
    let config = parse(text).unwrap();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let leak = Rule { after: hours(2), repeat_every: hours(12), repeat_up_to: 3 };
    assert_eq!(config.alarm.rule(wmbus::meter::InfoCode::Leak), Some(leak));
    assert_eq!(config.alarm.rule(wmbus::meter::InfoCode::LowBattery), None);
    assert_eq!(config.alarm.rule(wmbus::meter::InfoCode::Burst).unwrap().after, Duration::ZERO);
    let [on_call, boss] = config.contacts.as_slice() else { panic!("{:?}", config.contacts) };
    let contains = |contact: &Contact, meter: &str| contact.meters.contains(meter.parse().unwrap());
    assert!(contains(on_call, "KAW.76348799.1B.16") && contains(on_call, "KAM.00000001.1B.16"));
    assert!(!contains(on_call, "KAW.00000001.1B.16") && !contains(boss, "KAW.76348799.1B.16"));
    assert_eq!((on_call.codes.len(), boss.codes.len()), (1, CODES.len()));
}

#[test]
fn lists_say_which_entry_is_wrong() {
    let text =
        "[[contact]]\nname = \"a\"\nemail = \"nobody\"\ncodes = [\"leak\", \"lek\"]\nmeters = [\n\"1\"]\n";
    let found = problems(text);
    let starts = [
        "vesigate.toml:3: contact[1].email:",
        "vesigate.toml:4: contact[1].codes[2]:",
        "vesigate.toml:6: contact[1].meters[1]:",
    ];
    assert_eq!(found.len(), starts.len());
    for (problem, start) in found.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn names_and_paths_are_given_once() {
    let receiver = "[[receiver]]\npath = \"/dev/a\"\n";
    let baud = format!("{receiver}baud = 9600\n");
    assert_eq!(
        problems(&baud),
        ["vesigate.toml:3: receiver[1].baud: is not this receiver's speed; remove it"]
    );
    for (listed, problems_told) in [("/dev/a", 1), ("/dev/b", 0)] {
        let detect = format!("{receiver}\n[detect]\ndo_not_touch = [\"{listed}\"]\n");
        let told = parse(&detect).err().unwrap_or_default();
        assert_eq!(told.len(), problems_told, "{told:?}");
        assert!(told.iter().all(|problem| problem.contains("do_not_touch")), "{told:?}");
    }
    let contact = "[[contact]]\nname = \"a\"\nemail = \"a@b.fi\"\n";
    assert_eq!(problems(&receiver.repeat(2)).len(), 1);
    assert_eq!(problems(&contact.repeat(2)).len(), 1);
    assert_eq!(problems(&"[[receiver]]\npath = \"/dev/a\"\n".repeat(9)).len(), 2);
}

#[test]
fn a_feed_is_a_command_a_host_or_standard_input() {
    let text = r#"
        [[feed]]
        name = "roof"
        command = " rtl_sdr - | rtl_wmbus "
        [[feed]]
        name = "pump-3"
        connect = "[::1]:4321"
        format = "hex"
        silent_after = "10 min"
        [[feed]]
        name = "by-hand"
        format = "raw"
        "#;
    let [roof, pump, hand] = &parse(text).unwrap().feeds[..] else { panic!() };
    assert_eq!(roof.source, FeedSource::Command("rtl_sdr - | rtl_wmbus".to_owned()));
    assert_eq!((roof.format, roof.silent_after), (FeedFormat::RtlWmbus, None));
    assert_eq!(pump.source, FeedSource::Connect { host: "::1".to_owned(), port: 4321 });
    assert_eq!((pump.format, pump.silent_after), (FeedFormat::Hex, Some(Duration::from_secs(600))));
    assert_eq!((&hand.source, hand.format), (&FeedSource::Input, FeedFormat::Raw));
}

#[test]
fn everything_wrong_with_a_feed_is_told_at_once() {
    let text = "[[feed]]\nname = \"Roof\"\ncommand = \"a\"\nconnect = \"b:1\"\nformat = \"csv\"\n\
                [[feed]]\nname = \"a\"\nconnect = \"b\"\n[[feed]]\nsilent_after = \"1 s\"\n";
    assert_eq!(
        problems(text),
        [
            "vesigate.toml:2: feed[1].name: is not a name; write 1 to 32 of a-z, 0-9 and -",
            "vesigate.toml:4: feed[1].connect: stands beside command; keep one of the two",
            "vesigate.toml:5: feed[1].format: is none of the words it may be; write \"rtl-wmbus\" or \"hex\" or \"raw\"",
            "vesigate.toml:6: feed[2].format: is missing; write \"rtl-wmbus\", \"hex\" or \"raw\"",
            "vesigate.toml:8: feed[2].connect: is no host with a port; write \"host:port\", such as \"192.0.2.7:4321\"",
            "vesigate.toml:9: feed[3].name: is missing; write name = \"roof\", say",
            "vesigate.toml:9: feed[3].command: is missing; write command or connect; for telegrams from standard input, format alone",
            "vesigate.toml:9: feed[3].format: is missing; write \"rtl-wmbus\", \"hex\" or \"raw\"",
            "vesigate.toml:10: feed[3].silent_after: is out of range; write a time from \"1 min\" to \"7 days\"",
        ]
    );
    let feed = "[[feed]]\nname = \"a\"\ncommand = \"b\"\n";
    assert_eq!(problems(&feed.repeat(2)).len(), 1);
    assert_eq!(problems(&feed.repeat(9)).len(), 2);
}

#[test]
fn a_receiver_that_only_talks_needs_its_speed_and_has_no_modes() {
    for kind in ["raw", "hex"] {
        let section = format!("[[receiver]]\npath = \"/dev/a\"\nkind = \"{kind}\"\n");
        assert_eq!(
            problems(&section),
            [
                "vesigate.toml:1: receiver[1].baud: is missing; write its speed as its manual gives it, such as baud = 19200"
            ]
        );
        assert_eq!(
            problems(&format!("{section}baud = 19200\nmodes = \"t\"\n")),
            ["vesigate.toml:5: receiver[1].modes: cannot be set with this kind of receiver; remove it"]
        );
        assert_eq!(parse(&format!("{section}baud = 2400\n")).unwrap().receivers[0].baud, 2_400);
    }
}

#[test]
fn metrics_stay_on_the_machine() {
    let metrics =
        |text: &str| parse(&format!("[status]\nmetrics = \"{text}\"")).map(|config| config.status.metrics);
    assert_eq!(metrics("off"), Ok(Metrics::Off));
    assert_eq!(metrics("[::1]:9464"), Ok(Metrics::Loopback("[::1]:9464".parse().unwrap())));
    assert!(metrics("0.0.0.0:9464").unwrap_err().concat().contains("is open to other machines"));
}

#[test]
fn debug_shows_neither_secrets_nor_addresses() {
    let shown =
        format!("{:?}", parse(&uncommented(true).replace("enabled = false", "enabled = true")).unwrap());
    for hidden in ["alarm@", "service@", "on-call@", "on-call", "vesigate.mail", "vesigate.broker-key"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

#[test]
fn a_secret_in_any_wrong_place_is_never_repeated() {
    const SECRET: &str = "28F64A24988064A079AA2C807D6102AE";
    for line in uncommented(true).lines().filter(|line| line.contains(" = ")) {
        let (key, _) = line.split_once(" = ").unwrap();
        for bad in [
            format!("{key} = \"{SECRET}\""),
            format!("{key} = {SECRET}"),
            format!("{key} = [\"{SECRET}\"]"),
            format!("{key} = {{ {SECRET} = \"{SECRET}\" }}"),
            format!("{key} {SECRET}"),
            format!("{key} = \"{SECRET}"),
            format!("{SECRET} = \"{SECRET}\""),
        ] {
            let text = uncommented(true).replace(line, &bad);
            let shown = match Config::parse(Path::new("x"), &text) {
                Ok(config) => format!("{config:?}"),
                Err(problems) => {
                    format!("{problems:?} {}", problems.iter().map(Problem::to_string).collect::<String>())
                }
            };
            let open = ["prefix", "host", "server", "utility", "name"].contains(&key);
            assert!(open || !shown.to_uppercase().contains(SECRET), "{bad}");
        }
    }
}

#[test]
fn problems_that_show_later_know_their_line() {
    let config = parse("[[receiver]]\n\n  path = \"/dev/a\"\n").unwrap();
    let problem = config.problem("receiver[1].path", "is held by another program", "stop that one");
    assert_eq!(
        problem.to_string(),
        "vesigate.toml:3: receiver[1].path: is held by another program; stop that one"
    );
    assert_eq!(problem.column, 3);
}

#[test]
fn a_file_that_is_absent_too_long_or_no_text_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vesigate.toml");
    let told = |wrong: &str| {
        let problems = Config::load(&path).unwrap_err();
        assert!(problems.len() == 1 && problems[0].wrong.starts_with(wrong), "{problems:?}");
    };
    told("cannot be read");
    std::fs::write(&path, vec![b'#'; MOST_BYTES + 1]).unwrap();
    told("is too long");
    std::fs::write(&path, b"\xFF").unwrap();
    told("is not UTF-8");
    std::fs::write(&path, format!("\u{feff}{}", SHIPPED.replace('\n', "\r\n"))).unwrap();
    assert_eq!(Config::load(&path), Ok(Config::default()));
}

#[test]
fn each_half_checks_the_files_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("meters.csv");
    std::fs::write(&list, "id\nx\n").unwrap();
    let text = uncommented(true)
        .replace("enabled = false", "enabled = true")
        .replace("/etc/vesigate/meters.csv", list.to_str().unwrap());
    let config = parse(&text).unwrap();
    let credentials = Credentials::new(Some(directory.path().to_owned()));
    let keys = |half| -> Vec<String> {
        config.check_files(half, &credentials).into_iter().map(|problem| problem.key).collect()
    };
    assert_eq!(keys(Half::Collect), ["id"]);
    assert_eq!(
        keys(Half::Deliver),
        [
            "id",
            "uplink.password_file",
            "mail.password_file",
            "uplink.tls.key",
            "uplink.tls.ca",
            "uplink.tls.certificate",
            "uplink.tls.crl"
        ]
    );
    // To a command that somebody types the service manager passes nothing on.
    let by_hand = Credentials::by_hand(None, directory.path().to_owned());
    let problems = config.check_files(Half::Deliver, &by_hand);
    assert_eq!(problems.len(), 4, "secrets are left to the service: {problems:?}");
}

#[test]
fn a_new_seal_key_is_made_only_where_no_keyring_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[gateway]\ndata_dir = \"{}\"", directory.path().display());
    let keys = parse(&text).unwrap().keys;
    std::fs::create_dir(directory.path().join("keys")).unwrap();
    let seal = keys.seal(&Credentials::default()).unwrap();
    crate::keyring::Keyring::new().save(&keys.file, &seal).unwrap();
    assert!(keys.seal(&Credentials::default()).is_ok());
    std::fs::remove_file(&keys.seal_file).unwrap();
    assert!(keys.seal(&Credentials::default()).is_err());
    std::fs::write(directory.path().join("vesigate.seal"), [7; 32]).unwrap();
    let credentials = Credentials::new(Some(directory.path().to_owned()));
    assert!(keys.seal(&credentials).is_err(), "readable by everybody");
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_problems(text in ".{0,200}") {
        if let Err(found) = Config::parse(Path::new("x"), &text) {
            prop_assert!((1..=100).contains(&found.len()));
        }
    }

    #[test]
    fn any_change_of_the_example_is_a_configuration_or_problems(
        at in 0..20_000usize, remove in 0..40usize, insert in "[\\[\\]{}=\"'#a-z0-9.,\n ]{0,12}"
    ) {
        let mut text = uncommented(true);
        let at = at % text.len();
        let end = (at + remove).min(text.len());
        text.replace_range(at..end, &insert);
        if let Err(found) = Config::parse(Path::new("x"), &text) {
            prop_assert!((1..=100).contains(&found.len()));
        }
    }
}
