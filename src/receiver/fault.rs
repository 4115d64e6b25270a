//! Why a receiver does not receive, and what to do about it.

use std::{io, path::PathBuf};

/// Why a receiver does not receive. Each text says what the person in charge can do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The device node does not exist.
    #[error(
        "{path} does not exist: plug the receiver in, or correct the path (`ls -l /dev/serial/by-id` shows what there is)"
    )]
    NotFound {
        /// The configured path.
        path: PathBuf,
    },
    /// The device node may not be opened by this user.
    #[error(
        "no permission to open {path}: add the service's user to the group that owns it (dialout on Debian and Raspberry Pi OS)"
    )]
    NoPermission {
        /// The configured path.
        path: PathBuf,
    },
    /// Another program holds the port.
    #[error(
        "{path} is in use by another program: stop it (`fuser -v {path}` names it), and let ModemManager ignore the receiver"
    )]
    Busy {
        /// The configured path.
        path: PathBuf,
    },
    /// The path leads to something that is no serial port.
    #[error("{path} is not a serial port: correct the path (`ls -l /dev/serial/by-id` shows what there is)")]
    NotASerialPort {
        /// The configured path.
        path: PathBuf,
    },
    /// Opening or using the port failed in some other way.
    #[error(
        "input or output on {path} failed ({kind}): unplug the receiver and plug it in again; if it happens often, change cable or USB port"
    )]
    Io {
        /// The configured path.
        path: PathBuf,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// The open port was hung up: the receiver was unplugged, or its USB bridge fell off the bus.
    #[error("the receiver is gone: plug it in again; if nobody unplugged it, check cable and power supply")]
    Gone,
    /// The port did not take a command in time.
    #[error("the port does not accept commands: unplug the receiver for ten seconds and plug it in again")]
    WriteStuck,
    /// No answer while the conversation was begun.
    #[error(
        "the receiver does not answer: check that the path and the configured kind of receiver belong together"
    )]
    NoAnswer,
    /// None of the receivers that may be there has answered.
    #[error(
        "no receiver that can be recognised answers: plug it out and in again, or configure its kind (and baud, where it was changed)"
    )]
    NobodyAnswers,
    /// It is not to be opened, and somebody named it as a port where a receiver is to be found out.
    #[error(
        "the port is one of those that [detect] do_not_touch lists: remove it there, or name the receiver's kind"
    )]
    Exempt,
    /// By its names it is no receiver, and asking would disturb it.
    #[error(
        "the device at this port is no receiver by its name, and is not asked: correct the path, or name the receiver's kind"
    )]
    Foreign,
    /// By its USB numbers it is a receiver that only talks, and nothing can be asked.
    #[error(
        "the receiver at this port seems to be one that only talks and cannot be asked: name its kind (raw or hex) and its baud"
    )]
    OnlyTalks,
    /// No answer in several attempts, the port opened anew for each.
    #[error(
        "the receiver does not answer although its port was opened anew several times: reset its USB port, or unplug it for ten seconds"
    )]
    Stuck,
    /// A receiver that worked stopped answering.
    #[error(
        "the receiver stopped answering and is being started again: nothing to do unless it happens often"
    )]
    StoppedAnswering,
    /// It answers, or cannot be asked, but hears nothing where it used to hear meters.
    #[error(
        "the receiver has heard no meter for {}: check its antenna, then unplug it for ten seconds",
        if *minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) }
    )]
    Deaf {
        /// Full minutes of silence.
        minutes: u64,
    },
    /// It is another module than configured.
    #[error(
        "module type {module_type:#04x} is not supported by this driver: configure the right kind of receiver, or use an iM871A"
    )]
    WrongModule {
        /// The module type it reported.
        module_type: u8,
    },
    /// It speaks as configured, but is another kind.
    #[error("the receiver is an {is}: configure that kind")]
    WrongKind {
        /// What it is.
        is: &'static str,
    },
    /// Its permanent settings let it sleep between telegrams.
    #[error(
        "the receiver is set to sleep, and hears nothing meanwhile: turn auto sleep off in its memory with the maker's own tool"
    )]
    Sleeps,
    /// The firmware cannot do what is configured.
    #[error(
        "firmware {}.{} cannot listen for C1 and T1 at once (1.4 is the first that can): update the receiver, or configure one link mode",
        firmware.0, firmware.1
    )]
    FirmwareTooOld {
        /// Major and minor number.
        firmware: (u8, u8),
    },
    /// A permanent setting keeps it from handing over what meters send.
    #[error(
        "the receiver's permanent settings are not those of a receiver: {setting}; correct that with the maker's own tool"
    )]
    Unfit {
        /// Which one, and how it has to be.
        setting: &'static str,
    },
    /// Its firmware was built without what is configured.
    #[error(
        "the receiver's firmware cannot listen for what is configured: configure modes that it knows, or give it a firmware with wM-Bus (C mode for C1)"
    )]
    NoSuchMode,
    /// It confirmed the settings and then did not have them.
    #[error("the receiver did not take its settings: unplug it for ten seconds; if it stays so, replace it")]
    SettingsRefused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_in_minutes_then_in_hours() {
        let text = |minutes| Fault::Deaf { minutes }.to_string();
        assert!(text(119).contains("for 119 min:") && text(125).contains("for 2 h:"), "{}", text(125));
    }
}
