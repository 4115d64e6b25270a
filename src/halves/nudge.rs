//! Datagrams between the halves: hints only. Whoever misses one finds out by itself within a second (deliver) or a
//! minute (collect).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use messages::batch::{Epoch, Seq, Stream};
use messages::reading::Code;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixDatagram;

/// From collect to deliver: something new is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The disk cannot be written: blocks wait in memory, to be asked for over the control socket.
    #[serde(default)]
    pub in_memory: bool,
}

/// From deliver to collect: what the portal has, and what alarms wait for. Repeated each minute until collect has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The numbering this is about; one that is no longer collect's is passed over.
    pub epoch: Epoch,
    /// Per stream of collect's: the highest number that the portal has acknowledged.
    pub acknowledged: BTreeMap<Stream, Seq>,
    /// The portal knows other content under this numbering: the store is a copy, or was restored.
    #[serde(default)]
    pub cloned: bool,
    /// After how many minutes an episode of a code is worth a record: the rules in force.
    #[serde(default)]
    pub thresholds: BTreeMap<Code, BTreeSet<u32>>,
}

/// Where one half hears the other.
#[derive(Debug)]
pub struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    /// Listens at `path`, in place of what was there before. Members of the group may write to it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        super::control::make_room(path)?;
        let socket = UnixDatagram::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// The next hint; what cannot be read is passed over. Safe to cancel.
    pub async fn hear<T: DeserializeOwned>(&self) -> T {
        let mut buffer = vec![0; LARGEST];
        loop {
            let Ok(length) = self.socket.recv(&mut buffer).await else {
                std::future::pending::<()>().await;
                continue;
            };
            if let Ok(hint) = serde_json::from_slice(buffer.get(..length).unwrap_or_default()) {
                return hint;
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Says something to the other half, if it is there and has room to hear it; never waits.
pub fn say(path: &Path, hint: &impl Serialize) {
    let Ok(bytes) = serde_json::to_vec(hint) else { return };
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
    // Nobody there, or eleven hints unread: it will look by itself.
    let _ = socket.set_nonblocking(true).and_then(|()| socket.send_to(&bytes, path));
}

/// A hint with every code's thresholds has a few hundred bytes.
const LARGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hint_arrives_and_rubbish_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deliver/nudge.sock");
        let ear = Ear::open(&path).unwrap();
        say(&path, &"rubbish");
        say(&path, &News { in_memory: true });
        assert_eq!(ear.hear::<News>().await, News { in_memory: true });
    }

    #[tokio::test]
    async fn nobody_listening_is_no_error_and_an_old_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nudge.sock");
        say(&path, &News::default());
        std::mem::forget(Ear::open(&path).unwrap());
        let ear = Ear::open(&path).unwrap();
        say(&path, &News::default());
        assert_eq!(ear.hear::<News>().await, News::default());
    }
}
