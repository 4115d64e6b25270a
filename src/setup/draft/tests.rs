use super::*;

fn table(keys: &[(&str, &str)]) -> Table {
    keys.iter().map(|(key, value)| (*key, *value)).collect()
}

fn two_receivers() -> Vec<Table> {
    vec![table(&[("path", "/dev/a"), ("kind", "cul")]), table(&[("path", "/dev/b"), ("kind", "im871a")])]
}

#[test]
fn a_new_file_is_the_example_with_its_comments_and_the_keys_in_their_places() {
    let mut draft = Draft::begin(None).unwrap();
    draft.set("gateway", "utility", "waterworks");
    draft.set("gateway", "name", "pumphouse-2");
    draft.set("uplink", "enabled", true);
    draft.set("uplink", "host", "broker.example.org");
    draft.set("uplink", "port", 8884_i64);
    draft.set("uplink", "insecure_plaintext", true);
    draft.set_all(Many::Receiver, two_receivers());
    draft.set_all(Many::Contact, vec![table(&[("name", "on-call"), ("email", "a@b.fi")])]);
    let config = draft.config(Path::new("x")).unwrap();
    assert_eq!(config.uplink.as_ref().unwrap().port, 8884);
    assert_eq!((config.receivers.len(), config.contacts.len()), (2, 1));
    let text = draft.text();
    // Nothing of the example is gone but the lines that became keys, and no key is there twice.
    let missing = EXAMPLE.lines().filter(|line| !text.lines().any(|other| other == *line));
    let missing: Vec<&str> = missing.map(|line| line.split(['=', '#']).nth(1).unwrap_or(line)).collect();
    assert_eq!(missing, ["utility ", "name ", "host ", "port ", "insecure_plaintext "]);
    assert!(
        text.find("utility =") < text.find("[[receiver]]\npath")
            && text.find("/dev/b") < text.find("[detect]")
    );
    assert!(text.find("on-call@") < text.find("a@b.fi") && text.find("a@b.fi") < text.find("[status]"));
    assert_eq!(
        draft.difference().unwrap(),
        "[gateway]\nutility = \"waterworks\"\nname = \"pumphouse-2\"\n\n[[receiver]]\npath = \"/dev/a\"\nkind = \"cul\"\n\n\
         [[receiver]]\npath = \"/dev/b\"\nkind = \"im871a\"\n\n[uplink]\nenabled = true\nhost = \"broker.example.org\"\n\
         port = 8884\ninsecure_plaintext = true\n\n[[contact]]\nname = \"on-call\"\nemail = \"a@b.fi\"\n"
    );
}

#[test]
fn every_key_that_is_set_stands_in_the_example() {
    for (section, key) in [
        ("gateway", "utility"),
        ("gateway", "name"),
        ("gateway", "language"),
        ("gateway", "clock"),
        ("meters", "file"),
        ("uplink", "enabled"),
        ("uplink", "host"),
        ("uplink", "port"),
        ("uplink", "tls"),
        ("uplink", "user"),
        ("uplink", "password_file"),
        ("uplink", "acknowledge"),
        ("mail", "enabled"),
        ("mail", "server"),
        ("mail", "port"),
        ("mail", "security"),
        ("mail", "user"),
        ("mail", "password_file"),
        ("mail", "from"),
    ] {
        let mut draft = Draft::begin(None).unwrap();
        assert!(draft.uncomment(section, key, &Value::from("x")), "{section}.{key}");
    }
}

const BY_HAND: &str = "\
# our pump house
[gateway]
utility = 'waterworks' # as in the portal
name = \"old\"

[[receiver]]
path = \"/dev/a\"     # on the roof
kind = \"cul\"
silent_after = \"30 min\"

[[receiver]]
path = \"/dev/gone\"
kind = \"im871a\"

[uplink]
enabled = false
";

const ABOVE: &str = "# what listens\n[[receiver]]\npath = \"/dev/a\"";

#[test]
fn of_a_file_that_is_there_only_what_is_set_changes() {
    let mut draft = Draft::begin(Some(BY_HAND.to_owned())).unwrap();
    assert_eq!(draft.difference(), None);
    draft.set("gateway", "utility", "waterworks");
    draft.set("gateway", "name", "new");
    draft.set("uplink", "port", 1883_i64);
    draft.set("mail", "enabled", false);
    assert_eq!(draft.text_of("gateway", "utility").as_deref(), Some("waterworks"));
    assert_eq!(draft.text_of("uplink", "port").as_deref(), Some("1883"));
    assert_eq!(draft.text_of("uplink", "host"), None);
    draft.set_all(Many::Receiver, two_receivers());
    let text = draft.text();
    assert_eq!(
        text,
        "\
# our pump house
[gateway]
utility = 'waterworks' # as in the portal
name = \"new\"

[[receiver]]
path = \"/dev/a\"     # on the roof
kind = \"cul\"
silent_after = \"30 min\"

[[receiver]]
path = \"/dev/b\"
kind = \"im871a\"

[uplink]
enabled = false
port = 1883

[mail]
enabled = false
"
    );
    let shown = draft.difference().unwrap();
    assert!(shown.contains("-name = \"old\"\n+name = \"new\"\n"), "{shown}");
    assert!(!shown.contains("silent_after = \"30 min\"\n+"), "{shown}");
    let mut draft = Draft::begin(Some(BY_HAND.replace("[[receiver]]\npath = \"/dev/a\"", ABOVE))).unwrap();
    draft.set_all(Many::Receiver, vec![table(&[("path", "/dev/c"), ("kind", "hex")])]);
    assert!(draft.text().contains("# what listens\n[[receiver]]\npath = \"/dev/c\""), "{}", draft.text());
    draft.unset("gateway", "name");
    assert!(!draft.text().contains("name = \"new\""));
    draft.set_all(Many::Receiver, Vec::new());
    assert!(!draft.text().contains("[[receiver]]"));
}

#[test]
fn one_more_leaves_the_others_and_another_kind_begins_anew() {
    let mut draft = Draft::begin(Some(BY_HAND.to_owned())).unwrap();
    draft.add(Many::Contact, table(&[("name", "on-call"), ("email", "a@b.fi")]));
    draft.add(Many::Contact, table(&[("name", "boss"), ("email", "c@b.fi")]));
    draft.add(Many::Contact, table(&[("name", "on-call"), ("email", "d@b.fi")]));
    let text = draft.text();
    assert!(text.contains("c@b.fi") && text.contains("d@b.fi") && !text.contains("a@b.fi"), "{text}");
    // Kept by its path alone, with all that was said of it; not so as another kind.
    draft.set_all(Many::Receiver, vec![table(&[("path", "/dev/a")])]);
    assert!(draft.text().contains("kind = \"cul\"\nsilent_after"), "{}", draft.text());
    draft.set_all(Many::Receiver, vec![table(&[("path", "/dev/a"), ("kind", "raw"), ("baud", "x")])]);
    assert!(!draft.text().contains("silent_after"), "{}", draft.text());
}

#[test]
fn what_is_no_toml_is_refused() {
    assert_eq!(Draft::begin(Some("[gateway".to_owned())).unwrap_err(), DraftError);
}
