use super::*;

fn house() -> House {
    House {
        name: Some("Kylän Vesi".to_owned()),
        zone: "Europe/Helsinki".to_owned(),
        phone: Some("+358 00 000 000".to_owned()),
        url: Some("https://vesi.example.fi/".to_owned()),
    }
}

fn letter<'a>(kind: Kind, language: Language, house: &'a House) -> Letter<'a> {
    let (from, to) = ("2026-11-23T14:00:11Z".parse().unwrap(), "2026-11-24T09:05:00Z".parse().ok());
    let test = kind == Kind::Test;
    Letter {
        kind,
        code: (!test).then_some(&Code::Leak),
        meter: Some("KAM.76348799.1B.16".parse().unwrap()),
        place: Some("Kuusikuja 5"),
        point: None,
        span: (!test).then_some(Span { from, to: if kind == Kind::Over { to } else { None } }),
        flow: matches!(kind, Kind::Raised | Kind::Repeated).then_some(12),
        language,
        audience: ContactKind::Customer,
        unsubscribe: Some("https://vesi.example.fi/u/0c01"),
        house,
    }
}

fn head() -> Head {
    Head {
        from: "Kylän Vesi <halytys@example.fi>".parse().unwrap(),
        reply_to: Some("asiakaspalvelu@example.fi".parse().unwrap()),
        to: "aino@example.fi".parse().unwrap(),
        message: "6b3f.raised@gw-7.kylavesi".to_owned(),
        date: "2026-11-24T00:00:14Z".parse().unwrap(),
    }
}

fn text_of(letter: &Letter<'_>) -> String {
    let content = Words::of(letter.language).content(letter, &zone(&letter.house.zone));
    format!("Subject: {}\n\n{}", content.subject, form::text(&content))
}

fn sent(letter: &Letter<'_>) -> String {
    String::from_utf8(write(letter, head()).unwrap().bytes).unwrap()
}

#[test]
fn every_kind_reads_well_in_every_language() {
    let house = house();
    for (language, tag) in [(Language::Fi, "fi"), (Language::Sv, "sv"), (Language::En, "en")] {
        for (kind, name) in [
            (Kind::Raised, "raised"),
            (Kind::Repeated, "repeated"),
            (Kind::Over, "over"),
            (Kind::Test, "test"),
        ] {
            insta::assert_snapshot!(format!("{tag}_{name}"), text_of(&letter(kind, language, &house)));
        }
    }
}

#[test]
fn every_code_has_words_in_every_language() {
    let house = house();
    let codes = [
        Code::Burst,
        Code::Dry,
        Code::Reverse,
        Code::Tamper,
        Code::LowBattery,
        Code::AmbientTemperatureLow,
        Code::AmbientTemperatureHigh,
        Code::FlowAboveQ4,
        Code::NoConsumption,
        Code::bit(17),
    ];
    for (language, tag) in [(Language::Fi, "fi"), (Language::Sv, "sv"), (Language::En, "en")] {
        let texts: Vec<String> = codes
            .iter()
            .map(|code| {
                let letter =
                    Letter { code: Some(code), flow: None, ..letter(Kind::Raised, language, &house) };
                let content = Words::of(language).content(&letter, &zone("Europe/Helsinki"));
                let advice = content.advice.map(|(_, advice)| advice.join("\n  ")).unwrap_or_default();
                let over = (Words::of(language).code)(code).over;
                format!("{}\n  {}\n  {advice}\n  {over}", content.heading, content.paragraphs.join("\n  "))
            })
            .collect();
        insta::assert_snapshot!(format!("{tag}_codes"), texts.join("\n\n"));
    }
}

#[test]
fn html_is_complete_and_readable() {
    let house = house();
    let letter = letter(Kind::Raised, Language::Fi, &house);
    let content = Words::of(letter.language).content(&letter, &zone(&house.zone));
    insta::assert_snapshot!(form::html(&content));
}

#[test]
fn the_head_says_who_what_and_that_a_machine_wrote_it() {
    let house = house();
    let mail = sent(&letter(Kind::Raised, Language::Fi, &house));
    assert_eq!(mail, sent(&letter(Kind::Raised, Language::Fi, &house)), "the same mail is the same bytes");
    assert!(mail.is_ascii(), "any server can carry it");
    insta::assert_snapshot!(mail.split("\r\n\r\n").next().unwrap().replace("\r\n", "\n"));
}

#[test]
fn the_utilitys_own_people_are_told_to_call_the_customer() {
    let house = house();
    let letter = Letter { audience: ContactKind::Utility, ..letter(Kind::Raised, Language::En, &house) };
    let text = text_of(&letter);
    assert!(text.contains("Contact the customer") && !text.contains("toilets"), "{text}");
}

#[test]
fn a_mail_without_anything_known_still_says_what_and_which_meter() {
    let house = House { name: None, zone: "Nowhere/Nothing".to_owned(), phone: None, url: None };
    let letter =
        Letter { place: None, flow: None, unsubscribe: None, ..letter(Kind::Raised, Language::En, &house) };
    let text = text_of(&letter);
    assert!(text.starts_with("Subject: Leak alarm – water meter 76348799\n"), "{text}");
    assert!(text.contains("Since: 23 November 2026 at 14:00\n"), "{text}");
    assert!(!sent(&letter).contains("List-Unsubscribe"));
}

#[test]
fn local_time_follows_summer_time() {
    let house = house();
    let from = "2026-07-01T21:30:00Z".parse().unwrap();
    let letter = Letter { span: Some(Span { from, to: None }), ..letter(Kind::Raised, Language::Sv, &house) };
    assert!(text_of(&letter).contains("Började: 2.7.2026 kl. 0.30\n"));
}

#[test]
fn a_hostile_label_reaches_neither_the_head_nor_the_html() {
    let house = House {
        name: Some("Vesi\r\nBcc: thief@example.org".to_owned()),
        phone: Some("<b>1</b>".to_owned()),
        url: Some("https://x/\" onclick=\"alert(1)".to_owned()),
        ..house()
    };
    let place = "Kuja 5\r\nBcc: thief@example.org\r\n\r\n<script>alert('x')</script>\u{202e}\u{0} & \"co\"";
    let letter = Letter {
        place: Some(place),
        point: Some("<img src=x onerror=alert(1)>"),
        unsubscribe: Some("https://x/>\r\nBcc: thief@example.org"),
        ..letter(Kind::Raised, Language::Fi, &house)
    };
    let mail = sent(&letter);
    let head = mail.split("\r\n\r\n").next().unwrap();
    let names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert!(!names.contains(&"Bcc") && !head.contains("List-Unsubscribe"), "{head}");
    let content = Words::of(Language::Fi).content(&letter, &zone(&house.zone));
    assert!(!content.subject.contains(char::is_control));
    let html = form::html(&content);
    assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("onclick"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), "{html}");
    assert!(!html.contains('\u{202e}') && !html.contains('\u{0}'));
}

#[test]
fn only_plain_https_links_are_printed() {
    assert_eq!(
        link("https://vesi.example.fi/u/0c01?a=b&c=%20"),
        Some("https://vesi.example.fi/u/0c01?a=b&c=%20")
    );
    for bad in
        ["http://x/", "javascript:alert(1)", "https://x/ y", "https://x/\"", "https://x/>", "https://ä/", ""]
    {
        assert_eq!(link(bad), None, "{bad}");
    }
    assert_eq!(link(&format!("https://x/{}", "a".repeat(500))), None);
}

#[test]
fn a_long_label_is_cut_and_large_numbers_are_grouped() {
    assert_eq!(clean(&"ä".repeat(1000)).chars().count(), LONGEST);
    assert_eq!(words::grouped(1_234_567), "1\u{a0}234\u{a0}567");
    assert_eq!(words::grouped(999), "999");
}

proptest::proptest! {
    #[test]
    fn any_label_gives_a_mail_with_the_same_head(place in ".{0,200}", url in ".{0,80}") {
        let house = house();
        let letter = Letter { place: Some(&place), unsubscribe: Some(&url), ..letter(Kind::Raised, Language::Sv, &house) };
        let mail = sent(&letter);
        proptest::prop_assert!(mail.is_ascii());
        let head = mail.split("\r\n\r\n").next().unwrap();
        for line in head.split("\r\n") {
            proptest::prop_assert!(line.len() < 998 && !line.contains(['\r', '\n']), "{}", line);
        }
        proptest::prop_assert_eq!(head.matches("\r\nSubject:").count() , 1);
        proptest::prop_assert!(!head.contains("\r\nBcc"));
    }
}
