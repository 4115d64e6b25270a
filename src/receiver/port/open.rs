//! Opening a serial port so that nobody else has it, and what can go wrong with it.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use tokio_serial::{
    ClearBuffer, DataBits, ErrorKind, FlowControl, Parity, SerialPort, SerialStream, StopBits,
};

use crate::receiver::Fault;

/// Opens the port behind `path`, locked against everybody else (`flock` and `TIOCEXCL`), raw, 8N1, its input drained. Gives
/// the device node's own name, too.
pub(in crate::receiver) fn open(path: &Path, baud: u32) -> Result<(SerialStream, PathBuf), Fault> {
    let device = fs::canonicalize(path).map_err(|error| broken(path, &error))?;
    let kind = fs::metadata(&device).map_err(|error| broken(path, &error))?.file_type();
    let name = device.to_str().filter(|_| kind.is_char_device());
    let name = name.ok_or_else(|| Fault::NotASerialPort { path: path.into() })?;
    let builder = tokio_serial::new(name, baud)
        .data_bits(DataBits::Eight)
        .parity(Parity::None)
        .stop_bits(StopBits::One)
        .flow_control(FlowControl::None)
        .exclusive(true);
    let port = SerialStream::open(&builder).map_err(|error| refused(path, &error))?;
    // Whatever arrived before the speed was right is noise.
    port.clear(ClearBuffer::Input).map_err(|error| refused(path, &error))?;
    Ok((port, device))
}

/// Gives the line of an open port another speed. What came at the old one is dropped.
pub(in crate::receiver) fn set_speed(path: &Path, port: &mut SerialStream, baud: u32) -> Result<(), Fault> {
    let set = port.set_baud_rate(baud).and_then(|()| port.clear(ClearBuffer::Input));
    set.map_err(|error| refused(path, &error))
}

/// What an error on a path or an open port means.
pub(in crate::receiver) fn broken(path: &Path, error: &io::Error) -> Fault {
    use rustix::io::Errno;
    match (error.kind(), Errno::from_io_error(error)) {
        (io::ErrorKind::NotFound, _) => Fault::NotFound { path: path.into() },
        (io::ErrorKind::PermissionDenied, _) => Fault::NoPermission { path: path.into() },
        (_, Some(Errno::IO | Errno::NODEV | Errno::NXIO | Errno::PIPE)) => Fault::Gone,
        (kind, _) => Fault::Io { path: path.into(), kind },
    }
}

fn refused(path: &Path, error: &tokio_serial::Error) -> Fault {
    match error.kind() {
        // Said of a port that somebody else has locked.
        ErrorKind::NoDevice => Fault::Busy { path: path.into() },
        ErrorKind::Io(kind) => broken(path, &kind.into()),
        _ => Fault::Io { path: path.into(), kind: io::ErrorKind::Other },
    }
}

/// Which device node a path leads to. A node that is made anew differs from its predecessor of the same name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Node {
    file_system: u64,
    inode: u64,
    device: u64,
    made: (i64, i64),
}

impl Node {
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file_system: metadata.dev(),
            inode: metadata.ino(),
            device: metadata.rdev(),
            made: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_node_and_a_plain_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ttyUSB0");
        assert_eq!(open(&path, 57_600).unwrap_err(), Fault::NotFound { path: path.clone() });
        fs::write(&path, "").unwrap();
        assert_eq!(open(&path, 57_600).unwrap_err(), Fault::NotASerialPort { path });
    }

    #[test]
    fn what_the_operating_system_says_becomes_something_to_do() {
        let path = Path::new("/dev/ttyUSB0");
        let said = |code: i32| broken(path, &io::Error::from_raw_os_error(code));
        let (eio, enodev, eacces, enoent, emfile) = (5, 19, 13, 2, 24);
        assert_eq!((said(eio), said(enodev)), (Fault::Gone, Fault::Gone));
        assert_eq!(said(eacces), Fault::NoPermission { path: path.into() });
        assert_eq!(said(enoent), Fault::NotFound { path: path.into() });
        assert!(matches!(said(emfile), Fault::Io { .. }));
    }
}
