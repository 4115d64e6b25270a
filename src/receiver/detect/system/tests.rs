use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A system made of folders.
pub(in crate::receiver) struct Fake {
    pub(in crate::receiver) root: TempDir,
}

impl Fake {
    pub(in crate::receiver) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["dev/serial/by-id", "dev/serial/by-path", "sys/class/tty", "proc", "etc"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("etc/group"), "root:x:0:\ndialout:x:20:pi\n").unwrap();
        Self { root }
    }

    pub(in crate::receiver) fn system(&self) -> System {
        System::below(self.root.path())
    }

    pub(in crate::receiver) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// A USB device with one serial port, as the kernel and udev show it. Its node is an empty file unless made before.
    pub(in crate::receiver) fn plug_in(&self, name: &str, socket: &str, id: &str, names: [&str; 3]) {
        let device = self.at(&format!("sys/devices/usb1/{socket}"));
        let port = device.join(format!("{socket}:1.0/{name}"));
        fs::create_dir_all(&port).unwrap();
        let (vendor, product) = id.split_once(':').unwrap();
        let [manufacturer, model, serial] = names;
        for (file, text) in [
            ("idVendor", vendor),
            ("idProduct", product),
            ("manufacturer", manufacturer),
            ("product", model),
            ("serial", serial),
        ] {
            if !text.is_empty() {
                fs::write(device.join(file), format!("{text}\n")).unwrap();
            }
        }
        let class = self.at("sys/class/tty").join(name);
        fs::create_dir_all(&class).unwrap();
        symlink(&port, class.join("device")).unwrap();
        let node = self.at("dev").join(name);
        if fs::symlink_metadata(&node).is_err() {
            fs::write(&node, "").unwrap();
        }
        let serial = if serial.is_empty() { String::new() } else { format!("_{serial}") };
        let by_id = format!("dev/serial/by-id/usb-{manufacturer}_{model}{serial}-if00").replace(' ', "_");
        // As udev does: the last one plugged in gets a name that two would have.
        let _ = fs::remove_file(self.at(&by_id));
        symlink(&node, self.at(&by_id)).unwrap();
        symlink(&node, self.at(&format!("dev/serial/by-path/pci-usb-{socket}:1.0"))).unwrap();
    }

    pub(in crate::receiver) fn on_board(&self, name: &str, kind: &str) {
        let hardware = self.at("sys/devices/platform").join(name);
        fs::create_dir_all(&hardware).unwrap();
        let class = self.at("sys/class/tty").join(name);
        fs::create_dir_all(&class).unwrap();
        symlink(&hardware, class.join("device")).unwrap();
        fs::write(class.join("type"), kind).unwrap();
        let node = self.at("dev").join(name);
        if fs::symlink_metadata(&node).is_err() {
            fs::write(&node, "").unwrap();
        }
    }
}

fn paths(fake: &Fake) -> Vec<String> {
    let ports = fake.system().ports().unwrap();
    let relative = |port: &Port| port.path.strip_prefix(fake.root.path()).unwrap().display().to_string();
    ports.iter().map(relative).collect()
}

#[test]
fn a_dongle_with_a_serial_number_is_named_by_it_and_one_without_by_its_socket() {
    let fake = Fake::new();
    fake.plug_in("ttyUSB0", "1-1.2", "0403:6001", ["FTDI", "FT232R USB UART", "A50285BI"]);
    fake.plug_in("ttyACM0", "1-1.3", "04b4:0003", ["IMST", "iU891A", ""]);
    fake.plug_in("ttyUSB1", "1-1.4", "10c4:ea60", ["Silicon Labs", "CP2102", "0001"]);
    assert_eq!(
        paths(&fake),
        [
            "dev/serial/by-path/pci-usb-1-1.3:1.0",
            "dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00",
            "dev/serial/by-path/pci-usb-1-1.4:1.0",
        ]
    );
    let ports = fake.system().ports().unwrap();
    let usb = ports[0].usb.clone().unwrap();
    assert_eq!((usb.id, usb.product.as_deref(), usb.serial), ((0x04B4, 0x0003), Some("iU891A"), None));
    assert!(ports[0].by_id.is_some() && ports[0].by_path.is_some());
}

#[test]
fn two_dongles_of_one_name_are_named_by_their_sockets() {
    let fake = Fake::new();
    fake.plug_in("ttyUSB0", "1-1.2", "0403:6001", ["FTDI", "FT232R", "A1"]);
    fake.plug_in("ttyUSB1", "1-1.3", "0403:6001", ["FTDI", "FT232R", "A1"]);
    assert_eq!(
        paths(&fake),
        ["dev/serial/by-path/pci-usb-1-1.2:1.0", "dev/serial/by-path/pci-usb-1-1.3:1.0"]
    );
}

#[test]
fn a_port_on_the_board_is_listed_last_and_one_that_only_could_be_there_not_at_all() {
    let fake = Fake::new();
    fake.on_board("ttyAMA0", "33");
    fake.on_board("ttyS0", "0");
    fs::create_dir_all(fake.at("sys/class/tty/tty1")).unwrap();
    fs::write(fake.at("dev/tty1"), "").unwrap();
    fake.plug_in("ttyUSB0", "1-1", "10c4:ea60", ["Silicon Labs", "CP2102", "X7"]);
    let ports = fake.system().ports().unwrap();
    let devices: Vec<_> = ports.iter().map(|port| port.device.file_name().unwrap().to_owned()).collect();
    assert_eq!(devices, ["ttyUSB0", "ttyAMA0"]);
    assert_eq!((ports[1].usb.clone(), ports[1].path.clone()), (None, fake.at("dev/ttyAMA0")));
    assert_eq!(fake.system().port_at(&ports[0].path).unwrap(), ports[0]);
    assert_eq!(fake.system().port_at(&fake.at("dev/tty1")), None);
}

#[test]
fn a_system_without_serial_ports_has_none() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(System::below(root.path()).ports().unwrap(), []);
    assert!(System::here().ports().is_ok());
}

#[test]
fn who_holds_a_port_and_whose_group_it_is_can_be_told() {
    let fake = Fake::new();
    fake.plug_in("ttyUSB0", "1-1", "10c4:ea60", ["Silicon Labs", "CP2102", "X7"]);
    let device = fake.at("dev/ttyUSB0");
    assert_eq!(fake.system().holder(&device), None);
    for (pid, name, file) in [("17", "init", fake.at("dev/null")), ("512", "ModemManager", device.clone())] {
        fs::create_dir_all(fake.at(&format!("proc/{pid}/fd"))).unwrap();
        fs::write(fake.at(&format!("proc/{pid}/comm")), format!("{name}\n")).unwrap();
        symlink(file, fake.at(&format!("proc/{pid}/fd/3"))).unwrap();
    }
    fs::create_dir_all(fake.at("proc/self")).unwrap();
    let holder = fake.system().holder(&device);
    assert_eq!(holder, Some(Holder { pid: 512, name: "ModemManager".to_owned() }));
    let own = fs::metadata(&device).unwrap().gid();
    fs::write(fake.at("etc/group"), format!("other:x:99999:\nradio:x:{own}:pi\n")).unwrap();
    assert_eq!(fake.system().group(&device).as_deref(), Some("radio"));
    fs::write(fake.at("etc/group"), "broken\n").unwrap();
    assert_eq!(fake.system().group(&device), Some(own.to_string()));
}

#[test]
fn what_a_device_calls_itself_cannot_write_to_the_terminal() {
    let fake = Fake::new();
    fake.plug_in("ttyUSB0", "1-1", "10c4:ea60", ["x", "y", "z"]);
    fs::write(fake.at("sys/devices/usb1/1-1/product"), format!("\x1b[31mred{}", "x".repeat(500))).unwrap();
    let product = fake.system().ports().unwrap()[0].usb.clone().unwrap().product.unwrap();
    assert!(product.starts_with("[31mred") && product.len() == 80);
}
