//! The gateway, as a process of its own: this program again, under a word that nobody types.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// The first argument that makes this program the gateway.
pub(crate) const WORD: &str = "gateway";
/// A process that has not ended by then is killed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the gateway's world is.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    /// Its own folder.
    pub(crate) folder: &'a Path,
    /// The dongle's device file.
    pub(crate) dongle: &'a Path,
    /// The meter list.
    pub(crate) meters: &'a Path,
    /// The broker's port on this machine.
    pub(crate) broker: u16,
    /// The mail server's.
    pub(crate) mail: u16,
    /// After how many minutes a leak is mailed.
    pub(crate) leak_after_minutes: u32,
}

/// The gateway's configuration and log.
#[derive(Debug)]
pub(crate) struct Gateway {
    config: PathBuf,
    log: PathBuf,
}

impl Gateway {
    /// Writes its configuration.
    pub(crate) fn new(site: &Site<'_>) -> io::Result<Self> {
        let folder = site.folder;
        // As its service unit would have made them.
        for part in ["data/keys", "data/collect", "data/deliver", "run/collect", "run/deliver"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let config = folder.join("vesigate.toml");
        std::fs::write(&config, text(site))?;
        Ok(Self { config, log: folder.join("gateway.log") })
    }

    /// The file it logs to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Gives it the meters' keys, as an installer does.
    pub(crate) async fn add_keys(&self, keys: &Path) -> io::Result<()> {
        let arguments: [OsString; 4] = ["keys".into(), "add".into(), "--file".into(), keys.into()];
        let output = self.command(&arguments)?.output().await?;
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
    }

    /// Runs it on a clock that other processes share.
    pub(crate) fn run(&self, clock: &str) -> io::Result<Child> {
        let log = File::create(&self.log)?;
        self.command(&["run".into(), "--clock".into(), clock.into()])?
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn command(&self, arguments: &[OsString]) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(WORD)
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            // Ctrl-C is for the demonstration, which then stops everything in its order.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Asks a process to end, and makes it end if it does not.
pub(crate) async fn terminate(child: &mut Child) -> Option<ExitStatus> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    match timeout(PATIENCE, child.wait()).await {
        Ok(status) => status.ok(),
        Err(_) => {
            let _ = child.kill().await;
            None
        }
    }
}

fn text(site: &Site<'_>) -> String {
    let Site { folder, dongle, meters, broker, mail, leak_after_minutes } = site;
    let quoted = |path: &Path| toml_string(&path.to_string_lossy());
    format!(
        "# Made by the demonstration.\n\
         [gateway]\nutility = \"demo\"\nname = \"gw-1\"\ndata_dir = {data}\n\n\
         [[receiver]]\npath = {dongle}\nkind = \"im871a\"\n\n\
         [meters]\nfile = {meters}\n\n\
         [uplink]\nenabled = true\nhost = \"127.0.0.1\"\nport = {broker}\n\n\
         [mail]\nenabled = true\nserver = \"127.0.0.1\"\nport = {mail}\nsecurity = \"none\"\n\
         from = \"Esimerkkilän Vesi <alarm@vesi.example>\"\n\n\
         [alarm]\nleak = {{ after = \"{leak_after_minutes} min\" }}\n\n\
         [status]\nsockets = {sockets}\n",
        data = quoted(&folder.join("data")),
        dongle = quoted(dongle),
        meters = quoted(meters),
        sockets = quoted(&folder.join("run")),
    )
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_the_gateway_takes() {
        let folder = Path::new("/tmp/a \"demo\"");
        let site = Site {
            folder,
            dongle: &folder.join("dongle"),
            meters: &folder.join("meters.csv"),
            broker: 1_883,
            mail: 2_525,
            leak_after_minutes: 20,
        };
        let config = vesigate::config::Config::parse(Path::new("demo.toml"), &text(&site)).unwrap();
        assert_eq!(config.receivers[0].path, folder.join("dongle"));
        assert_eq!(config.uplink.unwrap().port, 1_883);
        assert_eq!(config.mail.unwrap().port, 2_525);
    }
}
