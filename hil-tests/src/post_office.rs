//! A real mail server: postfix, with queues of its own, delivering into a folder that tests read.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::certificates::{Authority, Years};
use crate::{Mail, SOON, free_port, until};

/// Who owns the delivered mails: nobody in particular.
const OWNER: u32 = 65_534;

/// postfix, which wants TLS and takes mails for `example.fi`. Dropping it stops it.
#[derive(Debug)]
pub struct PostOffice {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl PostOffice {
    /// Starts it, with a certificate of this authority. `None` where that is not possible, with a line that says why.
    pub async fn start(authority: &Authority) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            crate::skip("postfix can only be started by root");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("vesi-post-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port();
        set_up(folder.path(), port, authority);
        let mut command = Command::new("postfix");
        command.arg("-c").arg(folder.path().join("config")).arg("start-fg");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(folder.path().join("errors")).unwrap());
        let child = command.spawn().expect("postfix is there: ./test installs it");
        let mut office = Self { folder, port, child };
        until("the post office", SOON, async || {
            if office.child.try_wait().unwrap().is_some() {
                panic!("postfix ends:\n{}", office.log());
            }
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Some(office)
    }

    /// The gateway's `[mail]` section for it.
    #[must_use]
    pub fn mail_section(&self) -> String {
        format!(
            "[mail]\nenabled = true\nserver = \"localhost\"\nport = {}\nsecurity = \"starttls\"\n\
             from = \"Kylän Vesi <halytys@kylavesi.example>\"\nreply_to = \"asiakaspalvelu@kylavesi.example\"",
            self.port
        )
    }

    /// The delivered mails.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        let Ok(folder) = fs::read_dir(self.folder.path().join("mail/inbox/new")) else { return Vec::new() };
        // A mail may be moved between listing and reading.
        let read = |entry: fs::DirEntry| fs::read(entry.path()).ok().map(|raw| Mail::read(&raw));
        folder.map(Result::unwrap).filter_map(read).collect()
    }

    /// Waits until so many mails have been delivered.
    pub async fn delivers(&self, mails: usize) -> Vec<Mail> {
        let found = tokio::time::timeout(
            2 * SOON,
            until("mails", 4 * SOON, async || Some(self.mails()).filter(|found| found.len() >= mails)),
        );
        found
            .await
            .unwrap_or_else(|_| panic!("{} mails instead of {mails}:\n{}", self.mails().len(), self.log()))
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("log") + &read("errors")
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        // Killing start-fg would leave its master running.
        let _ = std::process::Command::new("postfix")
            .arg("-c")
            .arg(self.folder.path().join("config"))
            .arg("stop")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn set_up(folder: &Path, port: u16, authority: &Authority) {
    let at = |name: &str| folder.join(name);
    let make = |name: &str| -> PathBuf {
        fs::create_dir(at(name)).unwrap();
        at(name)
    };
    make("config");
    make("queue");
    let (data, mail) = (make("data"), make("mail"));
    chown(&mail, Some(OWNER), Some(OWNER)).unwrap();
    chown(&data, Some(postfix_user()), None).unwrap();
    let identity = authority.server("localhost", Years::NOW);
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\nmail_owner = postfix\n\
         maillog_file = {log}\nmaillog_file_prefixes = {folder}\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nmyhostname = mail.example.fi\nmydestination =\nmynetworks = 127.0.0.0/8\n\
         alias_maps =\nalias_database =\nsmtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {certificate}\n\
         smtpd_tls_key_file = {key}\nvirtual_mailbox_domains = example.fi\nvirtual_mailbox_base = {mail}\n\
         virtual_mailbox_maps = static:inbox/\nvirtual_uid_maps = static:{OWNER}\n\
         virtual_gid_maps = static:{OWNER}\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtp_host_lookup = native\nsmtputf8_enable = yes\n",
        queue = at("queue").display(),
        data = data.display(),
        log = at("log").display(),
        folder = folder.display(),
        certificate = identity.certificate.display(),
        key = identity.key.display(),
        mail = mail.display(),
    );
    fs::write(at("config/main.cf"), main).unwrap();
    let internal = [
        ("pickup", "n", "60"),
        ("cleanup", "n", "-"),
        ("qmgr", "n", "300"),
        ("rewrite", "-", "-"),
        ("bounce", "-", "-"),
        ("defer", "-", "-"),
        ("trace", "-", "-"),
        ("verify", "-", "-"),
        ("proxymap", "-", "-"),
        ("smtp", "-", "-"),
        ("error", "-", "-"),
        ("discard", "-", "-"),
        ("virtual", "-", "-"),
        ("anvil", "-", "-"),
        ("tlsmgr", "-", "-"),
    ];
    let mut master = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    master.push_str("postlog unix-dgram n - n - 1 postlogd\n");
    for (name, private, wake_up) in internal {
        let program = match name {
            "rewrite" => "trivial-rewrite",
            "defer" | "trace" => "bounce",
            other => other,
        };
        let most = match name {
            "pickup" | "qmgr" | "tlsmgr" | "verify" | "anvil" => "1",
            "cleanup" | "bounce" | "defer" | "trace" => "0",
            _ => "-",
        };
        let unprivileged = if name == "virtual" { "n" } else { "-" };
        let _ = writeln!(master, "{name} unix {private} {unprivileged} n {wake_up} {most} {program}");
    }
    fs::write(at("config/master.cf"), master).unwrap();
}

/// The number of postfix's own user, whom its package makes.
fn postfix_user() -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postfix:")).expect("postfix has its user");
    line.split(':').nth(2).unwrap().parse().unwrap()
}
