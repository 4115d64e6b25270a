//! `vesigate keys seal`: made by the utility, on any machine, for one gateway only.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use messages::MeterId;
use messages::seal::{PublicKey, SealedBox};
use wmbus::{Key, Meter};

use super::source::PasswordFrom;
use super::{exit, read_key, say, tell};
use crate::keyring::{MeterKey, Selector};
use crate::world::random;

#[derive(Debug, Args)]
pub(super) struct Seal {
    /// The gateway's public key: `collect_key` in `vesigate status --json`, or in the portal's list of gateways
    #[arg(long, value_name = "KEY")]
    to: PublicKey,

    /// The meter, in full, such as KAM.76348799.1B.16. Its key is read from standard input
    #[arg(value_name = "METER", required_unless_present = "file")]
    meter: Option<Selector>,

    /// A key file, for all the meters in it
    #[arg(short, long, value_name = "FILE", conflicts_with = "meter")]
    file: Option<PathBuf>,

    /// What the meters are that the file gives only by number: manufacturer, version and device type, such as KAM.1B.16
    #[arg(long, value_name = "MODEL")]
    model: Option<Model>,

    #[command(flatten)]
    password: PasswordFrom,
}

impl Seal {
    pub(super) fn run(&self) -> Result<u8, String> {
        let Some(file) = &self.file else {
            let meter = self.meter.ok_or("name a meter, or a key file with --file")?;
            return self.seal(&MeterKey { meter, key: read_key()?, q4: None }).map(|()| exit::OK);
        };
        let file = self.password.open(file)?;
        let mut all_done = file.refused.is_empty();
        for refused in &file.refused {
            tell(&format!("{}: {}; left out", refused.place, refused.why));
        }
        for row in file.rows() {
            if let Err(reason) = self.seal(row.entry) {
                tell(&reason);
                all_done = false;
            }
        }
        Ok(if all_done { exit::OK } else { exit::REFUSED })
    }

    /// One line: what `config/<meter>` carries.
    fn seal(&self, entry: &MeterKey) -> Result<(), String> {
        let meter = self.in_full(entry.meter)?;
        let name: MeterId =
            meter.to_string().parse().map_err(|_| format!("{meter} has no name in messages"))?;
        let key: &Key = &entry.key;
        let sealed = SealedBox::seal_key(name, key.bytes(), &self.to, random());
        let sealed = sealed.map_err(|error| error.to_string())?;
        say(format_args!("{}", serde_json::json!({ "meter": name, "key": sealed })))
    }

    fn in_full(&self, meter: Selector) -> Result<Meter, String> {
        let model = || {
            self.model.ok_or_else(|| {
                format!(
                    "{meter}: say what it is, with --model such as KAM.1B.16, or name it in full; left out"
                )
            })
        };
        match meter {
            Selector::Full(meter) => Ok(meter),
            Selector::Maker(manufacturer, serial) => Ok(Meter { manufacturer, serial, ..model()?.0 }),
            Selector::Number(serial) => Ok(Meter { serial, ..model()?.0 }),
        }
    }
}

/// A meter's address but for its number.
#[derive(Clone, Copy, Debug)]
struct Model(Meter);

impl FromStr for Model {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole =
            text.split_once('.').map(|(manufacturer, rest)| format!("{manufacturer}.00000000.{rest}"));
        let meter = whole.and_then(|whole| whole.parse().ok());
        meter.map(Self).ok_or("write manufacturer, version and device type, such as KAM.1B.16")
    }
}
