//! Which receivers are plugged in, and where: for installers, and for `kind = "auto"`.
//!
//! Asking a port has broken other devices, so it is done with care. What USB numbers and names say comes first; ports of
//! which they say that something else is there, those on the board and those that are not to be touched are left alone, and
//! those of which they say nothing are asked only if somebody wants that. Questions only read, and come in an order in which
//! no receiver takes one for a telegram to transmit (`sign.rs`, `probe.rs`). Nothing is remembered here.

mod ask;
mod auto;
mod kind;
mod probe;
mod sign;
mod system;

use std::path::{Path, PathBuf};

pub use ask::ask;
pub use auto::{Auto, Candidates, Look, Make};
pub use kind::{Guess, Kind, Usb};
pub use probe::{Found, Probe};
pub use system::{Holder, Port, System};

use super::Fault;

/// A device that is never to be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exempt {
    /// The port with this name, or that this name leads to.
    Path(PathBuf),
    /// All with these USB numbers.
    Usb(u16, u16),
}

/// How far to go.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Ask the ports, instead of only looking at their names.
    pub ask: bool,
    /// Also those of which USB numbers and names say nothing.
    pub ask_unknown: bool,
    /// These ports only, whatever they are, if there are any here.
    pub only: Vec<PathBuf>,
    /// Devices that are never to be opened.
    pub exempt: Vec<Exempt>,
    /// How many times longer to wait than real receivers need; 0 is 1.
    pub patience: u32,
}

/// A port, and what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// The port.
    pub port: Port,
    /// What is there.
    pub what: What,
}

/// What is at a port.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A receiver that has answered.
    Found(Found),
    /// One of these, by its USB numbers and names; it was not asked.
    Perhaps(Vec<Kind>),
    /// It was asked and did not answer.
    Silent,
    /// A receiver that only talks, by its USB numbers: it cannot be asked.
    OnlyTalks,
    /// Something else, by its names.
    Foreign,
    /// USB numbers and names say nothing; it was not asked.
    Unknown,
    /// It is on the board and may be anything; it was not asked.
    OnBoard,
    /// Exempt.
    Exempt,
    /// Somebody has it open.
    Busy(Option<Holder>),
    /// This user may not open it; members of the group may.
    NoPermission(Option<String>),
    /// It could not be asked.
    Failed(Fault),
}

/// Looks at all serial ports, or those that are wished for, and asks them if that is wished. Less than five seconds a port, six where telegrams keep coming;
/// each is told of as soon as it is done.
///
/// # Errors
/// If the system cannot tell which ports there are.
pub async fn detect(
    system: &System,
    wishes: &Wishes,
    mut told: impl FnMut(&Detected),
) -> std::io::Result<Vec<Detected>> {
    let ports = system.ports()?;
    let mut detected = Vec::new();
    let unlisted = wishes.only.iter().filter(|path| !ports.iter().any(|port| port.is_at(path)));
    let unlisted: Vec<Port> = unlisted.filter_map(|path| system.named(path)).collect();
    for port in ports.into_iter().chain(unlisted) {
        let named = wishes.only.iter().any(|path| port.is_at(path));
        if !wishes.only.is_empty() && !named {
            continue;
        }
        let what = look(system, &port, wishes, named).await;
        let one = Detected { port, what };
        told(&one);
        detected.push(one);
    }
    Ok(detected)
}

/// What may be at this path: the kinds that USB numbers and names say, else all.
///
/// # Errors
/// Why nothing is to be asked there.
pub fn candidates_at(system: &System, path: &Path, exempt: &[Exempt]) -> Result<Candidates, Fault> {
    let Some(port) = system.named(path) else {
        // Nothing is there, or nothing that can be opened: that is told when it is tried.
        return Ok(Candidates { kinds: Kind::ALL.to_vec(), device: None });
    };
    if exempt.iter().any(|exempt| exempt.covers(&port)) {
        return Err(Fault::Exempt);
    }
    let kinds = match port.usb.as_ref().map(Usb::guess) {
        Some(Guess::Surely(kind)) => vec![kind],
        Some(Guess::Perhaps(kinds)) => kinds,
        Some(Guess::OnlyTalks) => return Err(Fault::OnlyTalks),
        Some(Guess::Foreign) => return Err(Fault::Foreign),
        Some(Guess::Unknown) | None => Kind::ALL.to_vec(),
    };
    Ok(Candidates { kinds, device: port.usb.filter(Usb::has_own_serial) })
}

async fn look(system: &System, port: &Port, wishes: &Wishes, named: bool) -> What {
    if wishes.exempt.iter().any(|exempt| exempt.covers(port)) {
        return What::Exempt;
    }
    let guess = port.usb.as_ref().map(Usb::guess);
    // Whoever names a port takes it upon himself.
    let unknown = named || (wishes.ask_unknown && guess.is_some());
    let (kinds, unasked) = match guess {
        Some(Guess::Surely(kind)) => (vec![kind], What::Perhaps(vec![kind])),
        Some(Guess::Perhaps(kinds)) => (kinds.clone(), What::Perhaps(kinds)),
        Some(Guess::OnlyTalks) if !named => return What::OnlyTalks,
        Some(Guess::OnlyTalks) => (Kind::ALL.to_vec(), What::OnlyTalks),
        Some(Guess::Foreign) if !named => return What::Foreign,
        Some(Guess::Foreign) => (Kind::ALL.to_vec(), What::Foreign),
        Some(Guess::Unknown) if !unknown => return What::Unknown,
        Some(Guess::Unknown) => (Kind::ALL.to_vec(), What::Unknown),
        None if !unknown => return What::OnBoard,
        None => (Kind::ALL.to_vec(), What::OnBoard),
    };
    if let Some(holder) = system.holder(&port.device) {
        return What::Busy(Some(holder));
    }
    if !wishes.ask {
        return unasked;
    }
    match ask::converse(&port.device, Probe::new(&kinds).patient(wishes.patience)).await {
        Ok(Some(found)) => What::Found(found),
        // That is what it was expected to be.
        Ok(None) if unasked == What::OnlyTalks => unasked,
        Ok(None) => What::Silent,
        Err(Fault::Busy { .. }) => What::Busy(system.holder(&port.device)),
        Err(Fault::NoPermission { .. }) => What::NoPermission(system.group(&port.device)),
        Err(fault) => What::Failed(fault),
    }
}

impl Exempt {
    fn covers(&self, port: &Port) -> bool {
        match self {
            Self::Path(path) => port.is_at(path),
            Self::Usb(vendor, product) => port.usb.as_ref().is_some_and(|usb| usb.id == (*vendor, *product)),
        }
    }
}

#[cfg(test)]
mod tests;
