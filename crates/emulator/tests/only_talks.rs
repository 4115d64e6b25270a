//! A dongle that nobody says anything to: who listens to it shows in the speed of the line.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs::File, io::Read as _, time::Duration};

use emulator::{
    dongle::{Dongle, Mode, NotATelegram, Spoil},
    plugged::Plugged,
};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

const TELEGRAM: [u8; 10] = [9, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16];

#[derive(Debug)]
struct Talker;

impl Dongle for Talker {
    fn input(&mut self, _: &[u8], _: u32) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn hear(&mut self, _: Mode, telegram: &[u8], _: i16, _: u32) -> Result<Option<Vec<u8>>, NotATelegram> {
        Ok(Some(telegram.to_vec()))
    }

    fn reboot(&mut self) {}

    fn listens_for(&self, _: Mode) -> bool {
        true
    }

    fn spoil(&self, _: Spoil, _: &mut Vec<u8>) {}

    fn only_talks(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn telegrams_reach_whoever_has_opened_the_port_and_set_its_speed() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("dongle");
    let dongle = Plugged::plug_in(&link, Box::new(Talker)).unwrap();
    let mut state = dongle.state();
    dongle.hear(&TELEGRAM, -70).await.unwrap();
    state.wait_for(|state| state.missed == 1).await.unwrap();
    for round in 1..=2 {
        let mut port = File::options().read(true).write(true).open(&link).unwrap();
        let mut termios = tcgetattr(&port).unwrap();
        termios.set_speed(19_200).unwrap();
        tcsetattr(&port, OptionalActions::Now, &termios).unwrap();
        let listens = state.wait_for(|state| state.listening && state.speed == 19_200);
        tokio::time::timeout(Duration::from_secs(30), listens).await.unwrap().unwrap();
        dongle.hear(&TELEGRAM, -70).await.unwrap();
        state.wait_for(|state| state.passed_on == round).await.unwrap();
        let heard = tokio::task::spawn_blocking(move || {
            let mut heard = [0; 10];
            port.read_exact(&mut heard).map(|()| heard)
        });
        assert_eq!(heard.await.unwrap().unwrap(), TELEGRAM);
        // The port is closed: nobody listens.
        state.wait_for(|state| !state.listening).await.unwrap();
    }
}
