//! The files that a configuration names: whether they are there, and fit.

use std::path::Path;

use super::secret::{Credentials, SecretError, SecretSource};
use super::uplink::Transport;
use super::{Config, MeterList, Problem};

/// A half of the gateway. Each can read only its own files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Radio, keys, readings.
    Collect,
    /// MQTT and mail.
    Deliver,
}

impl Config {
    /// Opens every file that `half` will need and says what is wrong with it. Receivers are left out: a dongle that is
    /// not plugged in is no mistake in a file.
    #[must_use]
    pub fn check_files(&self, half: Half, credentials: &Credentials) -> Vec<Problem> {
        match half {
            Half::Collect => self.check_collect(credentials),
            Half::Deliver => self.check_deliver(credentials),
        }
    }

    /// The secrets that the delivering half needs, by the keys that name them.
    #[must_use]
    pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
        let uplink = self.uplink.as_ref().and_then(|uplink| Some(&uplink.login.as_ref()?.password));
        let mail = self.mail.as_ref().and_then(|mail| Some(&mail.login.as_ref()?.password));
        let transport = self.uplink.as_ref().map(|uplink| &uplink.transport);
        let client = match transport {
            Some(Transport::Tls(tls)) => tls.client.as_ref(),
            _ => None,
        };
        [
            ("uplink.password_file", uplink),
            ("mail.password_file", mail),
            ("uplink.tls.key", client.map(|client| &client.key)),
        ]
        .into_iter()
        .filter_map(|(key, source)| Some((key, source?)))
        .collect()
    }

    fn check_list(&self) -> Vec<Problem> {
        let loaded = self.meter_list.as_ref().map(|path| MeterList::load(path, &self.contacts));
        loaded.and_then(Result::err).unwrap_or_default()
    }

    fn check_collect(&self, credentials: &Credentials) -> Vec<Problem> {
        let mut problems = self.check_list();
        // Without a keyring the seal key may still have to be made, which is not for a check to do.
        if self.keys.file.exists()
            && let Err(error) = self.keys.seal_for(credentials)
            && !credentials.leave_seal_to_service(error.why)
        {
            problems.push(self.problem(
                "keys.seal_file",
                error.why.to_string(),
                "bring back the seal key that made the keyring",
            ));
        }
        problems
    }

    fn check_deliver(&self, credentials: &Credentials) -> Vec<Problem> {
        // Its contacts are mailed.
        let mut problems = self.check_list();
        if !self.gateway.zone.is_known() {
            problems.push(self.problem(
                "gateway.zone",
                "is not known to this machine",
                "write a name such as \"Europe/Helsinki\"",
            ));
        }
        for (key, source) in self.secrets() {
            if let Err(error) = source.read(credentials)
                && !credentials.leaves_to_service(error)
            {
                problems.push(self.problem(key, error.to_string(), mend(error)));
            }
        }
        let Some(Transport::Tls(tls)) = self.uplink.as_ref().map(|uplink| &uplink.transport) else {
            return problems;
        };
        let certificate = tls.client.as_ref().map(|client| client.certificate.as_path());
        let files = [
            ("uplink.tls.ca", Some(tls.ca.as_path())),
            ("uplink.tls.certificate", certificate),
            ("uplink.tls.crl", tls.crl.as_deref()),
        ];
        for (key, path) in files {
            if let Some(error) = path.and_then(unreadable) {
                problems.push(self.problem(
                    key,
                    format!("cannot be read: {error}"),
                    "name a PEM file that can be read",
                ));
            }
        }
        problems
    }
}

fn unreadable(path: &Path) -> Option<std::io::ErrorKind> {
    std::fs::File::open(path).err().map(|error| error.kind())
}

fn mend(error: SecretError) -> &'static str {
    match error {
        SecretError::Readable { .. } => {
            "run chmod 600 on it, and change the secret if others have been there"
        }
        SecretError::NoCredentials | SecretError::Encrypted | SecretError::NotStored => {
            "write the whole path of a file, or let the service load the credential"
        }
        SecretError::TooLong | SecretError::Empty | SecretError::NotAFile => {
            "put the secret alone into a file"
        }
        SecretError::Io(_) => "name a file that the service may read",
    }
}
