//! A mail between the mail server's "250" and the commit that says so: the one place where it may come twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::clock::START;
use hil_tests::smtp::Received;
use hil_tests::{Air, Gateway, Half, Mood, SOON, Site, SmtpServer};

/// A leak that is to be mailed to one contact, and a mail server that holds still at a chosen moment.
struct Scene {
    site: Site,
    post: SmtpServer,
    deliver: Gateway,
    _collect: Gateway,
    _air: Air,
}

impl Scene {
    async fn new(mood: Mood) -> Self {
        let (site, post) = (Site::fast(100), SmtpServer::start());
        post.mood(mood);
        let mut town = Town::new(1, 4, START * 1000);
        let alarm = "[alarm]\nleak = { after = \"0 s\" }";
        let contact = "[[contact]]\nname = \"on-call\"\nemail = \"aino@example.fi\"";
        site.settle(&town, &[&post.mail_section("timeout = \"5 min\""), alarm, contact]).await;
        let collect = Gateway::start(&site, Half::Collect).await;
        let deliver = Gateway::start(&site, Half::Deliver).await;
        town.add(0, Event::new(Trouble::Leak, START + 60, i64::MAX).told_at_once());
        let air = site.play(town);
        Self { site, post, deliver, _collect: collect, _air: air }
    }

    /// SIGKILL, and everything is well when it is back.
    async fn kill(self) -> Self {
        let Self { site, post, deliver, _collect, _air } = self;
        deliver.kill().await;
        post.mood(Mood::Good);
        post.new_era();
        let deliver = Gateway::start(&site, Half::Deliver).await;
        Self { site, post, deliver, _collect, _air }
    }

    /// Until the mail is stored as sent.
    async fn settles(&self) {
        let sent =
            |status: &serde_json::Value| status["mail"]["queued"] == 0 && status["mail"]["alarms"] == 1;
        self.deliver.reports("deliver", "the mail as sent", sent).await;
    }

    /// All mails that came, also in the twenty minutes after.
    async fn mails(self) -> Vec<Received> {
        self.settles().await;
        self.site.clock().pass(20 * 60).await;
        self.post.received()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_the_servers_answer_and_the_commit_doubles_the_mail_under_its_message_id() {
    let scene = Scene::new(Mood::HoldsAnswer).await;
    scene.post.holds(1).await;
    // It stands still when the server says that it has the mail, and is killed before it can read that.
    scene.deliver.freeze().await;
    scene.post.go_on().await;
    let scene = scene.kill().await;
    scene.post.receives(2, 4 * SOON).await;
    let mails = scene.mails().await;
    let [one, two] = mails.as_slice() else { panic!("{} mails", mails.len()) };
    assert_eq!((one.era, two.era), (0, 1));
    assert!(one.answered && two.answered);
    assert!(!one.mail.message_id().is_empty());
    assert_eq!(one.mail.message_id(), two.mail.message_id());
    assert_eq!((&one.to, one.mail.subject()), (&two.to, two.mail.subject()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_before_the_server_has_the_mail_doubles_nothing() {
    let scene = Scene::new(Mood::HoldsData).await;
    scene.post.holds(1).await;
    let scene = scene.kill().await;
    scene.post.receives(1, 4 * SOON).await;
    let mails = scene.mails().await;
    assert_eq!(mails.iter().map(|mail| mail.era).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_after_the_commit_doubles_nothing() {
    let scene = Scene::new(Mood::Good).await;
    scene.post.receives(1, 4 * SOON).await;
    scene.settles().await;
    let mails = scene.kill().await.mails().await;
    assert_eq!(mails.iter().map(|mail| mail.era).collect::<Vec<_>>(), [0]);
}
