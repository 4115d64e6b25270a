//! `vesigate setup`: from a blank machine to a gateway that is connected, by questions and by flags, with wrong turns.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use emulator::dongle::Kind;
use hil_tests::broker::Tls;
use hil_tests::certificates::{Authority, Years};
use hil_tests::enrolment::Office;
use hil_tests::terminal::Terminal;
use hil_tests::{Broker, Gateway, Half, SOON, Site, SmtpServer};
use serde_json::Value;

const TOKEN: &str = "3q2-7wEBAgMEBQYHCAkKCw";
const NAME: &str = "kylavesi/gw-7";

/// A place without a configuration; a broker that wants certificates; a portal that enrols.
struct Town {
    site: Site,
    _broker: Broker,
    office: Office,
    portal_ca: String,
}

impl Town {
    async fn new() -> Self {
        let site = Site::with_dongle(Kind::Amb8465);
        let folder = site.path("");
        let authority = Authority::new(&folder, "authority");
        let broker = Broker::start_tls(Tls {
            authority: authority.certificate().to_owned(),
            identity: authority.server("localhost", Years::NOW),
            revoked: None,
        })
        .await;
        let web = Authority::new(&folder, "web");
        let ca = fs::read_to_string(authority.certificate()).unwrap();
        let address = format!("localhost:{}", broker.port());
        let office =
            Office::open(&web.server("localhost", Years::NOW), authority, (address, ca), (TOKEN, NAME));
        let portal_ca = web.certificate().display().to_string();
        Self { site, _broker: broker, office, portal_ca }
    }

    /// What every run is told: where things lie in this place.
    fn around(&self, rest: &[&str]) -> Vec<String> {
        let site = &self.site;
        let (data, run) = (site.data().display().to_string(), site.path("run").display().to_string());
        let own = ["setup", "--rtc", "--data-dir", &data, "--sockets", &run];
        own.iter().chain(rest).map(|word| (*word).to_owned()).collect()
    }

    async fn setup(&self, rest: &[&str]) -> Output {
        let words = self.around(rest);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = self.site.vesigate(&words).await;
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.site.path(name), text).unwrap();
        self.site.path(name).display().to_string()
    }

    fn config(&self) -> String {
        fs::read_to_string(self.site.config()).unwrap()
    }

    fn dongle(&self) -> String {
        self.site.path("usb-dongle").display().to_string()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installer_answers_questions_and_has_a_gateway_that_is_connected() {
    let mut town = Town::new().await;
    let cul = town.site.plug_in("usb-cul", Kind::Cul);
    let mail = SmtpServer::start();
    let words = town.around(&["--no-receiver", "--portal-ca", &town.portal_ca]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut terminal = Terminal::run(&town.site, &words);
    terminal.shows("This writes");
    terminal.shows("Language of alarm mails: fi, sv, en [fi]: ");
    terminal.types("fr\n\n");
    terminal.shows("clock     battery-backed");
    terminal.shows("Have you got a token to enrol this gateway at a portal? [Y/n] ");
    terminal.types("\n");
    terminal.shows("The portal's address: ");
    terminal.types("ftp://nowhere\n");
    terminal.shows("write https:// and its name");
    terminal.shows("The portal's address: ");
    terminal.types(&format!("{}/\n", town.office.address()));
    terminal.shows("Token (not shown): ");
    terminal.types("not-the-token\n");
    terminal.shows("does not take the token");
    terminal.shows("Try again? [Y/n] ");
    terminal.types("\n");
    terminal.shows("The portal's address: ");
    terminal.types(&format!("{}\n", town.office.address()));
    terminal.shows("Token (not shown): ");
    terminal.types(&format!("{TOKEN}\n"));
    terminal.shows("enrolled as kylavesi/gw-7");
    terminal.shows("lets this gateway in");
    terminal.shows("Shall leaks be mailed from here, also while the uplink is down? [Y/n] ");
    terminal.types("y\n");
    terminal.shows("The mail server (host or host:port): ");
    terminal.types("127.0.0.1:9\n");
    terminal.shows("starttls, tls, none [none]: ");
    terminal.types("\n");
    terminal.shows("User at the mail server (Enter: none): ");
    terminal.types("\n");
    terminal.shows("Sender, such as Waterworks <alarm@example.org>: ");
    terminal.types("Kylän Vesi <alarm@kyla.example>\n");
    terminal.shows("told of every alarm (Enter: none): ");
    terminal.types("on-call@kyla.example\n");
    // Nobody listens there.
    terminal.shows("mail      127.0.0.1:9: the mail server cannot be reached");
    terminal.shows("or go on as it is (g)? [t] ");
    terminal.types("c\n");
    terminal.shows("also while the uplink is down? [Y/n] ");
    terminal.types("\n");
    terminal.shows("The mail server (host or host:port) [127.0.0.1:9]: ");
    // What was right before is the default now.
    terminal.types(&format!("127.0.0.1:{}\n\n\n\n", mail.port()));
    terminal.shows("no mail was sent");
    terminal.shows("Send a test mail to everybody who is told of alarms? [y/N] ");
    terminal.types("y\n");
    terminal.shows("a test mail to on-call (reply 250)");
    assert_eq!(mail.receives(1, SOON).await[0].to, ["on-call@kyla.example"]);
    assert!(!town.site.config().exists(), "nothing is written before it was shown");
    terminal.shows("host = \"localhost\"");
    terminal.shows("Write this? [Y/n] ");
    terminal.types("\n");
    terminal.shows("Written: ");
    terminal.shows("vesigate keys import FILE");
    assert_eq!(terminal.end().await, Some(0));

    // The receivers are added later, and everything else stays; then the gateway runs by what was written.
    let cul_path = town.site.path("usb-cul").display().to_string();
    let (amber, nano) = (format!("{}=amb8465", town.dongle()), format!("{cul_path}=cul"));
    let output = town.setup(&["--yes", "--receiver", &amber, "--receiver", &nano]).await;
    assert!(said(&output).contains("is there: what it says is kept"), "{}", said(&output));
    let gateway = Gateway::start(&town.site, Half::Both).await;
    gateway.reports("deliver", "a connection", |status| status["uplink"]["connected"] == true).await;
    let both = |status: &Value| {
        let receivers = status["receivers"].as_array();
        receivers.is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["state"] == "receiving"))
    };
    gateway.reports("collect", "two receivers", both).await;
    assert!(gateway.stop().await.success());
    drop((cul, mail));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_out_by_flags_enrols_tries_and_tells_in_json() {
    let town = Town::new().await;
    let token = town.file("token", &format!("{TOKEN}\n"));
    let receiver = format!("{}=amb8465", town.dongle());
    let flags = [
        "--yes",
        "--json",
        "--receiver",
        &receiver,
        "--portal",
        town.office.address(),
        "--portal-ca",
        &town.portal_ca,
        "--token-file",
        &token,
        "--no-mail",
        "--language",
        "sv",
    ];
    let output = town.setup(&flags).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (done["written"].as_bool(), done["utility"].as_str(), done["name"].as_str()),
        (Some(true), Some("kylavesi"), Some("gw-7"))
    );
    let broker =
        done["findings"].as_array().unwrap().iter().find(|finding| finding["area"] == "broker").unwrap();
    assert_eq!(broker["verdict"], "good", "{broker}");
    // The private key is for one reader; what lay there meanwhile is gone; no secret is in the configuration.
    let key = town.site.path("kylavesi-gw-7.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!town.site.path("enrolment.key").exists());
    assert!(!town.config().contains(TOKEN) && !town.config().contains("PRIVATE"));
    // The portal got the keys that the halves use.
    let gateway = Gateway::start(&town.site, Half::Both).await;
    let status = gateway.status_of("collect").await.unwrap();
    let asked = town.office.desk(|desk| desk.requests.clone());
    assert_eq!(asked.len(), 1);
    assert_eq!(serde_json::to_value(&asked[0].collect_key).unwrap(), status["collect_key"]);
    // While it runs nobody else connects by its name.
    let again = town.setup(&["--yes", "--receiver", &receiver]).await;
    assert!(
        said(&again).contains("nothing changes") && said(&again).contains("not tried"),
        "{}",
        said(&again)
    );
    gateway.reports("deliver", "one connection", |status| status["uplink"]["connections"] == 1).await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_comes_again_for_the_same_key_and_a_used_token_is_refused() {
    let town = Town::new().await;
    let token = town.file("token", TOKEN);
    let flags = |portal_ca: &str| {
        let words = ["--yes", "--no-receiver", "--no-mail", "--portal", town.office.address(), "--portal-ca"];
        let own = [portal_ca.to_owned(), "--token-file".to_owned(), token.clone()];
        words.iter().map(|word| (*word).to_owned()).chain(own).collect::<Vec<String>>()
    };
    let run = async |portal_ca: &str| {
        let words = flags(portal_ca);
        town.setup(&words.iter().map(String::as_str).collect::<Vec<&str>>()).await
    };
    // An authority that did not sign the portal's certificate.
    let strange = town.site.path("authority.pem").display().to_string();
    let output = run(&strange).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("no safe line to the portal"), "{}", said(&output));
    assert!(!town.site.config().exists());
    town.office.desk(|desk| desk.loses_answers = 1);
    let output = run(&town.portal_ca).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!town.site.config().exists());
    let output = run(&town.portal_ca).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // Whoever comes with that token now has another key.
    let output = run(&town.portal_ca).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("ask for a new one in the back office"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_is_written_told_and_shows_in_the_exit_code() {
    let town = Town::new().await;
    let password = town.file("password", "hunter2\n");
    let nowhere = format!("{}=im871a", town.site.path("usb-none").display());
    let flags = [
        "--yes",
        "--receiver",
        &nowhere,
        "--broker",
        "127.0.0.1:9",
        "--utility",
        "kylavesi",
        "--name",
        "gw-7",
        "--user",
        "u",
        "--password-file",
        &password,
        "--mail-server",
        "127.0.0.1:9",
        "--mail-security",
        "none",
        "--mail-from",
        "a@kyla.example",
        "--contact",
        "b@kyla.example",
    ];
    let output = town.setup(&flags).await;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for word in ["nothing is plugged in there yet", "!!  broker", "!!  mail", "3 point(s) do not work yet"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("hunter2") && !town.config().contains("hunter2"));
    let kept = town.site.path("broker.password");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "hunter2");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    // A file that somebody wrote by hand is never replaced unseen, and one with mistakes not at all.
    let output = town.setup(&["--no-receiver", "--no-uplink", "--no-mail"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("say --yes"), "{}", said(&output));
    let before = town.config();
    let output = town.setup(&["--no-receiver", "--no-uplink", "--no-mail", "--dry-run"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("-enabled = true\n+enabled = false"), "{}", said(&output));
    assert_eq!(town.config(), before);
    // What is configured stays, plugged in or not, and so does everybody else who is told.
    let more = before + "[[contact]]\nname = \"boss\"\nemail = \"c@kyla.example\"\n";
    fs::write(town.site.config(), more).unwrap();
    let mail = ["--mail-server", "127.0.0.1:9", "--mail-security", "none", "--mail-from", "a@kyla.example"];
    let output = town.setup(&[&["--yes", "--contact", "d@kyla.example"][..], &mail].concat()).await;
    let (text, config) = (said(&output), town.config());
    assert!(text.contains("is configured and not plugged in: it stays"), "{text}");
    for kept in ["usb-none", "kind = \"im871a\"", "c@kyla.example", "d@kyla.example", "host = \"127.0.0.1\""]
    {
        assert!(config.contains(kept), "{kept}: {config}");
    }
    assert!(!config.contains("b@kyla.example"), "{config}");
    fs::write(town.site.config(), "[gateway\n").unwrap();
    let output = town.setup(&["--yes", "--no-receiver", "--no-uplink", "--no-mail"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("mend it, or move it away"), "{}", said(&output));
    assert_eq!(town.config(), "[gateway\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_is_not_lost_with_what_comes_after_it() {
    let town = Town::new().await;
    let token = town.file("token", TOKEN);
    let portal =
        ["--yes", "--no-receiver", "--portal", town.office.address(), "--portal-ca", &town.portal_ca];
    let bad = ["--mail-server", "127.0.0.1:9", "--mail-security", "none", "--mail-from", "nobody"];
    let output = town.setup(&[&portal[..], &["--token-file", &token], &bad].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("mail.from"), "{}", said(&output));
    assert!(!town.site.config().exists() && !town.site.path("kylavesi-gw-7.key").exists());
    // The token is used up; what it brought is not lost.
    let output = town.setup(&[&portal[..], &["--no-mail"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("that is taken up"), "{}", said(&output));
    assert_eq!(town.office.desk(|desk| desk.requests.len()), 1);
    for gone in ["enrolment.key", "enrolment.json"] {
        assert!(!town.site.path(gone).exists(), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_do_not_fit_end_with_a_reason_also_at_a_terminal() {
    let town = Town::new().await;
    let flags = [
        "--no-receiver",
        "--no-mail",
        "--broker",
        "b.example.org",
        "--utility",
        "kylavesi",
        "--name",
        "gw-7",
    ];
    let words = town.around(&flags);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut terminal = Terminal::run(&town.site, &words);
    terminal.shows("Language of alarm mails: fi, sv, en [fi]: ");
    terminal.types("\n");
    terminal.shows("uplink.tls");
    assert_eq!(terminal.end().await, Some(2));
    // Nobody types a password into a script.
    let nothing = town.file("nothing", "\n");
    let login = ["--yes", "--insecure-plaintext", "--user", "u", "--password-file", &nothing];
    let output = town.setup(&[&flags[..], &login].concat()).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("it is empty"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateway_by_this_name_is_told_before_the_two_fight() {
    let broker = Broker::start().await;
    let first = Site::new();
    first.configure(&[&broker.uplink("")]);
    let gateway = Gateway::start(&first, Half::Deliver).await;
    gateway.reports("deliver", "a connection", |status| status["uplink"]["connected"] == true).await;
    let second = Site::new();
    let (data, run) = (second.data().display().to_string(), second.path("run").display().to_string());
    let address = format!("127.0.0.1:{}", broker.port());
    let output = second
        .vesigate(&[
            "setup",
            "--yes",
            "--no-receiver",
            "--no-mail",
            "--rtc",
            "--data-dir",
            &data,
            "--sockets",
            &run,
            "--broker",
            &address,
            "--utility",
            "kylavesi",
            "--name",
            "gw-7",
        ])
        .await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("find the second gateway with this utility and name"),
        "{}",
        said(&output)
    );
    // The first one goes on.
    gateway.reports("deliver", "a connection", |status| status["uplink"]["connected"] == true).await;
    assert!(gateway.stop().await.success());
}
