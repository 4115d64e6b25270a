//! Shows what is written, asks, writes, and puts it to work.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::Setup;
use super::pending::Pending;
use super::talk::Talk;
use crate::check::{Finding, Verdict};
use crate::cli::{common, exit};
use crate::config::Config;
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::setup::draft::Draft;
use crate::setup::place::Place;

/// An empty meter list: `vesigate commission` fills it.
const NO_METERS: &str = "id,name,metering_point,q4,contacts\n";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Done<'a> {
    /// The configuration file.
    config: &'a Path,
    /// Whether it was written; false if nothing was different, too.
    written: bool,
    /// Whether a running gateway has taken it.
    in_force: bool,
    utility: Option<&'a str>,
    name: Option<&'a str>,
    /// What was found, as `vesigate check --json` says it.
    findings: &'a [Finding],
}

pub(super) async fn step(
    setup: &Setup,
    talk: &mut Talk,
    draft: &Draft,
    place: &Place,
    pending: &Pending,
) -> Result<u8, String> {
    let config = setup.meaning(draft)?;
    let difference = draft.difference();
    Talk::heading(&setup.config.display().to_string());
    let files = pending.differences();
    match &difference {
        Some(difference) => Talk::say(difference),
        None if files.is_empty() => Talk::tell("nothing changes"),
        None => {}
    }
    for (file, how) in &files {
        Talk::say(&format!("  {}: {how}", file.display()));
    }
    let wanted = !setup.dry_run && is_wanted(setup, talk)?;
    if !wanted {
        Talk::say("Nothing was written.");
        report(setup, talk, &config, false, false)?;
        return Ok(if setup.dry_run { exit::OK } else { exit::REFUSED });
    }
    let written = write(setup, draft, place, pending, &config, difference.is_some())? || !files.is_empty();
    pending.finish();
    let in_force = put_to_work(&config).await;
    report(setup, talk, &config, written, in_force)?;
    next(setup, talk, in_force);
    Ok(if talk.all_well() { exit::OK } else { exit::REFUSED })
}

fn is_wanted(setup: &Setup, talk: &Talk) -> Result<bool, String> {
    if setup.yes {
        return Ok(true);
    }
    if talk.asks { Talk::yes("Write this?", true) } else { Ok(false) }
}

fn write(
    setup: &Setup,
    draft: &Draft,
    place: &Place,
    pending: &Pending,
    config: &Config,
    is_different: bool,
) -> Result<bool, String> {
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => format!("{path} cannot be written: run this with sudo"),
            _ => format!("{path} cannot be written: {error}"),
        }
    };
    place.make_folder().map_err(told(&setup.config))?;
    let now = std::fs::read_to_string(&setup.config).ok();
    if now.as_deref() != draft.former() {
        return Err(format!(
            "{} was changed by somebody else meanwhile: nothing was written, run this again",
            setup.config.display()
        ));
    }
    pending.write()?;
    if let Some(list) = config.meter_list.as_deref().filter(|list| !list.exists()) {
        place.write(list, NO_METERS).map_err(told(list))?;
    }
    if !is_different {
        return Ok(false);
    }
    if let Ok(former) = std::fs::read_to_string(&setup.config) {
        let mut kept = setup.config.as_os_str().to_owned();
        kept.push(".former");
        place.write(Path::new(&kept), &former).map_err(told(Path::new(&kept)))?;
    }
    place.write(&setup.config, &draft.text()).map_err(told(&setup.config))?;
    Talk::say(&format!("Written: {}", setup.config.display()));
    Ok(true)
}

/// Has a running gateway load it. Whether one does.
async fn put_to_work(config: &Config) -> bool {
    let collect = config.status.collect_sockets().join("control.sock");
    let deliver = config.status.deliver_sockets().join("control.sock");
    let collect = ask::<()>(&collect, &OfCollect::Reload).await;
    let deliver = ask::<()>(&deliver, &OfDeliver::Reload).await;
    let mut in_force = true;
    for (half, said) in [("receiving", collect), ("delivering", deliver)] {
        match said {
            Ok(()) => Talk::say(&format!("The running gateway's {half} half has taken it.")),
            Err(AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)) => in_force = false,
            Err(error) => {
                in_force = false;
                Talk::say(&format!("The running gateway's {half} half has not taken it: {error}"));
            }
        }
    }
    in_force
}

fn report(setup: &Setup, talk: &Talk, config: &Config, written: bool, in_force: bool) -> Result<(), String> {
    if !setup.json {
        return Ok(());
    }
    let name = |name: &Option<crate::config::Name>| name.as_ref().map(|name| name.as_str().to_owned());
    let (utility, gateway) = (name(&config.gateway.utility), name(&config.gateway.name));
    common::print_json(&Done {
        config: &setup.config,
        written,
        in_force,
        utility: utility.as_deref(),
        name: gateway.as_deref(),
        findings: &talk.findings,
    })
}

/// What an installer does next.
fn next(setup: &Setup, talk: &Talk, in_force: bool) {
    let bad = talk.findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    if bad > 0 {
        Talk::say(&format!(
            "\n{bad} point(s) do not work yet (!! above): mend them, then run `vesigate check`."
        ));
    }
    let config = if setup.config == Path::new(crate::cli::CONFIG) {
        String::new()
    } else {
        format!(" -c {}", setup.config.display())
    };
    let line = |what: &str, why: &str| {
        if what.chars().count() <= 38 {
            Talk::say(&format!("  {what:<38}  {why}"));
        } else {
            Talk::say(&format!("  {what}\n      {why}"));
        }
    };
    Talk::say("\nNext:");
    if !in_force && Path::new(SYSTEMD).exists() && config.is_empty() {
        line("systemctl enable --now vesigate.target", "starts it, now and at each boot");
    } else if !in_force {
        line(&format!("vesigate run{config}"), "starts the gateway");
    }
    line(&format!("vesigate keys import FILE{config}"), "brings the meters' keys in");
    line(&format!("vesigate scan{config}"), "shows the meters in reach, live");
    line(&format!("vesigate commission LIST.csv{config}"), "says which meters are expected");
    line(&format!("vesigate check{config}"), "looks at everything at once");
}

/// There while systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
