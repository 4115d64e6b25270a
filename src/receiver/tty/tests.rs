use std::time::{Duration, Instant};

use emulator::tty::Tty;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::receiver::{Action, Dongle, fuzzing, simulation::Kind};

/// A public MULTICAL 21 test telegram, alone and in format A.
const T: &str = "2A442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713";
const T_A: &str =
    "2A442D2C998734761B16F1488D2091D37CAC21576C7802FF2071000410E91308190000441308190000615B7F616779691329AF";

mod raw_receiver {
    use super::*;
    use crate::receiver::simulation::lives;

    const KIND: Kind = Kind {
        driver: || Box::new(RawTty::new(9_600)),
        device: || Box::new(Tty::raw(9_600)),
        asks: false,
        restart: None,
    };

    lives!(KIND);
}

mod hex_receiver {
    use super::*;
    use crate::receiver::simulation::lives;

    const KIND: Kind = Kind {
        driver: || Box::new(HexTty::new(9_600)),
        device: || Box::new(Tty::hex(9_600)),
        asks: false,
        restart: None,
    };

    lives!(KIND);
}

fn bytes(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What is heard of a line, first at once and then after a pause, in digits.
fn heard(mut driver: impl Dongle, line: &[u8]) -> (Vec<String>, Vec<String>) {
    let (now, mut out) = (Instant::now(), Vec::new());
    driver.opened(now, &mut out);
    assert!(out.iter().any(|action| matches!(action, Action::Ready(_))), "there is nothing to wait for");
    let telegrams = |out: &mut Vec<Action>| {
        let telegrams = out.drain(..).filter_map(|action| match action {
            Action::Heard(frame) => {
                let marked = if frame.crcs == LinkCrcs::FormatA { "A " } else { "" };
                let digits: String = frame.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
                Some(marked.to_owned() + &digits)
            }
            Action::Write(_) => panic!("nothing is said to it"),
            _ => None,
        });
        telegrams.collect()
    };
    driver.bytes(now, line, &mut out);
    let at_once = telegrams(&mut out);
    driver.tick(now + Duration::from_millis(500), &mut out);
    (at_once, telegrams(&mut out))
}

fn raw(digits: &[&str]) -> (Vec<String>, Vec<String>) {
    heard(RawTty::new(9_600), &bytes(&digits.concat()))
}

fn hex(line: &str) -> (Vec<String>, Vec<String>) {
    heard(HexTty::new(9_600), line.as_bytes())
}

/// Telegrams heard at once, and after a pause.
fn telegrams(at_once: &[&str], later: &[&str]) -> (Vec<String>, Vec<String>) {
    (at_once.iter().map(ToString::to_string).collect(), later.iter().map(ToString::to_string).collect())
}

#[test]
fn bytes_are_a_telegram_once_another_begins_or_a_pause_follows() {
    assert_eq!(raw(&[T]), telegrams(&[], &[T]));
    assert_eq!(raw(&[T, T, &T[..16]]), telegrams(&[T, T], &[]));
}

#[test]
fn crcs_that_were_left_in_are_noticed_and_prove_a_telegram() {
    let marked = format!("A {T_A}");
    assert_eq!(raw(&[T_A]), telegrams(&[&marked], &[]));
    assert_eq!(raw(&["FED50D442D2C", T_A, T]), telegrams(&[&marked], &[T]));
    assert_eq!(hex(&format!("{T_A}\n")), telegrams(&[&marked], &[]));
    assert_eq!(hex(&format!("x{T_A}{T_A}\r\n{T}\r\n")), telegrams(&[&marked, &marked, T], &[]));
}

#[test]
fn a_telegram_cut_off_in_bytes_does_not_take_the_next_along() {
    for cut in 1..T.len() / 2 {
        let (at_once, later) = raw(&[&T[..2 * cut], T, T]);
        assert_eq!([at_once, later].concat(), [T, T], "{cut} bytes");
    }
}

#[test]
fn a_telegram_in_digits_is_known_by_the_end_of_its_line() {
    assert_eq!(hex(&format!("{T}\n")), telegrams(&[T], &[]));
    assert_eq!(hex(&format!("{}\r\n\r\n{T}\r\n", T.to_lowercase())), telegrams(&[T, T], &[]));
    assert_eq!(hex(T), telegrams(&[], &[T]));
    assert_eq!(hex(&format!("{T}{T}{}", &T[..16])), telegrams(&[T, T], &[]));
}

#[test]
fn spaces_and_line_breaks_within_a_telegram_do_not_matter() {
    let spaced =
        T.as_bytes().chunks(2).map(|pair| format!("{} ", str::from_utf8(pair).unwrap())).collect::<String>();
    assert_eq!(hex(&format!("{spaced}\n{spaced}\n")), telegrams(&[T, T], &[]));
    let broken = format!("{}\r\n{}\r\n{}\r\n", &T[..32], &T[32..64], &T[64..]);
    assert_eq!(hex(&broken.repeat(2)), telegrams(&[], &[T, T]));
}

#[test]
fn a_telegram_cut_off_in_digits_does_not_take_the_next_along_even_within_a_byte() {
    for cut in 1..T.len() {
        for end in ["", "\n"] {
            let (at_once, later) = hex(&format!("{}{end}{T}\n{T}\n", &T[..cut]));
            assert_eq!([at_once, later].concat(), [T, T], "{cut} digits, {end:?}");
        }
    }
}

#[test]
fn noise_around_a_telegram_does_not_harm_it() {
    for noise in ["\u{e4}\0", "F", "FED5", "0D442D2C", "0D442D2C9", "RSSI: -70 "] {
        let (at_once, later) = hex(&format!("{noise}{T}\n"));
        assert_eq!([at_once, later].concat(), [T], "{noise}");
        let (at_once, later) = hex(&format!("{T} {noise}\n"));
        assert_eq!([at_once, later].concat(), [T], "{noise} behind");
    }
}

#[test]
fn a_length_that_is_too_long_costs_that_telegram_only() {
    let claims = format!("FF{}", &T[2..]);
    assert_eq!(hex(&format!("{claims}\n{T}\n")), telegrams(&[T], &[]));
    assert_eq!(raw(&[&claims, T]), telegrams(&[], &[T]));
}

proptest! {
    #[test]
    fn any_telegrams_in_bytes_and_digits(bytes in vec(any::<u8>(), 0..300)) {
        fuzzing::tty_telegrams(&bytes);
    }

    #[test]
    fn any_digits(digits in "[0-9A-F \r\n]{0,500}|(0D442D2C[0-9A-F]{20}|[0-9]{0,3}|\r\n|09442D2C[0-9A-F]{12}\n){0,20}") {
        fuzzing::hex_tty(digits.as_bytes());
    }
}
