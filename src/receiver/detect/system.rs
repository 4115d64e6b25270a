//! What the operating system tells of its serial ports: names, USB numbers, who holds one, who may open it.
//!
//! All of it is read below given folders, so that tests can show a system of their own.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::Usb;

/// Major device numbers of the ends of pseudo-terminals that programs open.
const PSEUDO_TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// Where the operating system tells of itself.
#[derive(Clone, Debug)]
pub struct System {
    dev: PathBuf,
    sys: PathBuf,
    proc: PathBuf,
    groups: PathBuf,
}

/// A serial port there is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Port {
    /// The device node, such as `/dev/ttyUSB0`.
    pub device: PathBuf,
    /// Its name by maker, product and serial number.
    pub by_id: Option<PathBuf>,
    /// Its name by the socket it is plugged into.
    pub by_path: Option<PathBuf>,
    /// The USB device it belongs to; none if it is on the board.
    pub usb: Option<Usb>,
    /// The name that stays the same: by id where the serial number tells the device from others, else by path.
    pub path: PathBuf,
}

/// A process that has a port open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl System {
    /// The one this runs on.
    pub fn here() -> Self {
        Self::below(Path::new("/"))
    }

    /// One whose folders lie below another root.
    pub fn below(root: &Path) -> Self {
        Self {
            dev: root.join("dev"),
            sys: root.join("sys"),
            proc: root.join("proc"),
            groups: root.join("etc/group"),
        }
    }

    /// Its serial ports with hardware behind them, USB ones first, each by name.
    ///
    /// # Errors
    /// If it cannot be asked at all.
    pub fn ports(&self) -> io::Result<Vec<Port>> {
        let names = match fs::read_dir(self.sys.join("class/tty")) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect::<Vec<_>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (by_id, by_path) = (self.links("serial/by-id"), self.links("serial/by-path"));
        let mut ports: Vec<Port> =
            names.iter().filter_map(|name| self.port(name, &by_id, &by_path)).collect();
        ports.sort_by(|one, other| {
            let key = |port: &Port| (port.usb.is_none(), port.device.as_os_str().len(), port.device.clone());
            key(one).cmp(&key(other))
        });
        let twins = |port: &Port| ports.iter().filter(|other| same_name(port, other)).count();
        let clash: Vec<bool> = ports.iter().map(|port| twins(port) > 1).collect();
        for (port, clash) in ports.iter_mut().zip(clash) {
            port.path = port.stable_name(clash);
        }
        Ok(ports)
    }

    /// The port a path leads to, if it is one of those with hardware.
    pub fn port_at(&self, path: &Path) -> Option<Port> {
        let device = fs::canonicalize(path).ok()?;
        self.ports()
            .ok()?
            .into_iter()
            .find(|port| fs::canonicalize(&port.device).is_ok_and(|own| own == device))
    }

    /// The port a path leads to; also one without hardware, such as a pseudo-terminal, which [`ports`](Self::ports) leaves out.
    pub fn named(&self, path: &Path) -> Option<Port> {
        self.port_at(path).or_else(|| {
            let device = fs::canonicalize(path).ok()?;
            let metadata = fs::metadata(&device).ok().filter(|found| found.file_type().is_char_device())?;
            let terminal = PSEUDO_TERMINALS.contains(&rustix::fs::major(metadata.rdev()))
                || self.sys.join("class/tty").join(device.file_name()?).exists();
            let path = path.to_owned();
            terminal.then_some(Port { device, by_id: None, by_path: None, usb: None, path })
        })
    }

    /// Which processes have this port open, as far as this user may know.
    pub fn holder(&self, device: &Path) -> Option<Holder> {
        let device = fs::canonicalize(device).ok()?;
        let holds = |process: &Path| {
            let open = fs::read_dir(process.join("fd")).ok()?;
            let mut open = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
            open.any(|file| file == device).then_some(())
        };
        let own = std::process::id();
        for process in fs::read_dir(&self.proc).ok()?.filter_map(Result::ok) {
            let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = pid.filter(|pid| *pid != own) else { continue };
            if holds(&process.path()).is_some() {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(Holder { pid, name: printable(&name) });
            }
        }
        None
    }

    /// The group whose members may open this port.
    pub fn group(&self, device: &Path) -> Option<String> {
        let number = fs::metadata(device).ok()?.gid();
        let groups = fs::read_to_string(&self.groups).unwrap_or_default();
        let name = |line: &str| {
            let mut fields = line.split(':');
            let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
            (id.parse() == Ok(number)).then(|| name.to_owned())
        };
        Some(groups.lines().find_map(name).unwrap_or_else(|| number.to_string()))
    }

    fn port(
        &self,
        name: &OsStr,
        by_id: &BTreeMap<PathBuf, PathBuf>,
        by_path: &BTreeMap<PathBuf, PathBuf>,
    ) -> Option<Port> {
        let device = self.dev.join(name);
        let entry = self.sys.join("class/tty").join(name);
        // Consoles and pseudo-terminals have no device behind them, and serial ports that only could be there have type 0.
        let hardware = fs::canonicalize(entry.join("device")).ok()?;
        let absent = fs::read_to_string(entry.join("type")).is_ok_and(|kind| kind.trim() == "0");
        let target = fs::canonicalize(&device).ok().filter(|_| !absent)?;
        let by = |links: &BTreeMap<PathBuf, PathBuf>| links.get(&target).cloned();
        let (by_id, by_path) = (by(by_id), by(by_path));
        Some(Port { path: device.clone(), device, by_id, by_path, usb: self.usb(&hardware) })
    }

    /// The USB device that this piece of hardware belongs to.
    fn usb(&self, hardware: &Path) -> Option<Usb> {
        let root = fs::canonicalize(&self.sys).ok()?;
        let of_the_system = |folder: &&Path| folder.starts_with(&root);
        let device =
            hardware.ancestors().take_while(of_the_system).find(|folder| folder.join("idVendor").exists())?;
        let text = |name: &str| {
            let text = fs::read_to_string(device.join(name)).ok()?;
            let text = printable(&text);
            (!text.is_empty()).then_some(text)
        };
        let number = |name: &str| u16::from_str_radix(&text(name)?, 16).ok();
        Some(Usb {
            id: (number("idVendor")?, number("idProduct")?),
            manufacturer: text("manufacturer"),
            product: text("product"),
            serial: text("serial"),
        })
    }

    /// The links of a folder below `dev`, by what they lead to.
    fn links(&self, folder: &str) -> BTreeMap<PathBuf, PathBuf> {
        let entries = fs::read_dir(self.dev.join(folder)).into_iter().flatten().filter_map(Result::ok);
        let mut links: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        // Of several names for one port the first counts, whatever order the folder gives them in.
        links.sort_by(|one, other| other.cmp(one));
        links.into_iter().filter_map(|link| Some((fs::canonicalize(&link).ok()?, link))).collect()
    }
}

impl Port {
    /// Whether a path is one of its names, or leads to it.
    pub fn is_at(&self, path: &Path) -> bool {
        let leads_here = || {
            fs::canonicalize(path).is_ok_and(|to| fs::canonicalize(&self.device).is_ok_and(|own| own == to))
        };
        let names = [Some(&self.device), self.by_id.as_ref(), self.by_path.as_ref()];
        names.into_iter().flatten().any(|name| name == path) || leads_here()
    }

    fn stable_name(&self, clash: bool) -> PathBuf {
        let own = !clash && self.usb.as_ref().is_some_and(Usb::has_own_serial);
        let by_id = self.by_id.as_ref();
        let best = by_id.filter(|_| own).or(self.by_path.as_ref()).or_else(|| by_id.filter(|_| !clash));
        best.unwrap_or(&self.device).clone()
    }
}

/// Whatever a device or a process calls itself, a terminal shows it.
fn printable(text: &str) -> String {
    text.trim().chars().filter(|letter| !letter.is_control()).take(80).collect()
}

/// Whether two USB devices would get the same name by id.
fn same_name(one: &Port, other: &Port) -> bool {
    let name = |port: &Port| {
        let usb = port.usb.as_ref()?;
        Some((usb.id, usb.serial.clone()))
    };
    name(one).is_some() && name(one) == name(other)
}

#[cfg(test)]
pub(in crate::receiver) mod tests;
