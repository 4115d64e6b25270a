use super::*;
use crate::hex::unhex;
use crate::security::mode::{Purpose, derive, vector_mode5};
use std::vec::Vec;

const MULTICAL_21: &str =
    "2A442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC24";
const MULTICAL_21_KEY: &str = "28F64A24988064A079AA2C807D6102AE";
const TEST_KEY: &str = "000102030405060708090A0B0C0D0E0F";

fn open(hex: &str, key: Option<&str>, policy: Policy) -> Result<(Security, Vec<u8>, usize), Refused> {
    let mut frame = Frame::bare(&unhex(hex)).unwrap();
    let cipher = key.map(|key| Cipher::new(key.parse().unwrap()));
    let telegram = Sealed::read(&mut frame)?.open(cipher.as_ref(), policy)?;
    Ok((telegram.security, telegram.body.to_vec(), telegram.protected))
}

#[test]
fn a_multical_21_is_opened_with_its_key() {
    let (security, body, protected) = open(MULTICAL_21, Some(MULTICAL_21_KEY), Policy::Strict).unwrap();
    assert_eq!(body, unhex("02FF207100041308190000441308190000615B7F616713"));
    assert_eq!(
        (security.scheme, security.counter, protected),
        (Scheme::EllCtr, Some(0x01AC_7CD3), body.len())
    );
    assert!(security.verified.payload_crc && !security.already_open);
}

#[test]
fn no_key_and_a_wrong_key_are_told_apart() {
    assert_eq!(open(MULTICAL_21, None, Policy::Strict).unwrap_err(), Refused::NoKey);
    let wrong = "28F64A24988064A079AA2C807D6102AF";
    assert_eq!(
        open(MULTICAL_21, Some(wrong), Policy::Strict).unwrap_err(),
        Refused::WrongKey(Check::PayloadCrc)
    );
}

#[test]
fn a_frame_opened_before_is_read_from_logs_only() {
    let plain = "2A442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713";
    for key in [None, Some(MULTICAL_21_KEY)] {
        let (security, body, _) = open(plain, key, Policy::AlsoOpened).unwrap();
        assert!(security.already_open);
        assert_eq!(body.len(), 23);
    }
    assert_eq!(open(plain, None, Policy::Strict).unwrap_err(), Refused::NoKey);
    assert_eq!(
        open(plain, Some(MULTICAL_21_KEY), Policy::Strict).unwrap_err(),
        Refused::WrongKey(Check::PayloadCrc)
    );
}

#[test]
fn a_plain_telegram_of_a_meter_with_a_key_is_refused() {
    // The session number says "not enciphered"; everybody can compute its payload CRC.
    let plain = "3444372C214365873C168D2012026A1800D19D79F3A9EBF5240800003A300000E02E000061357C00E803000005500006500008130F";
    assert!(open(plain, None, Policy::Strict).is_ok());
    assert_eq!(open(plain, Some(TEST_KEY), Policy::Strict).unwrap_err(), Refused::NotEncrypted);
    let without_link = "1844AE4C4455223368077A55000000041389E20100023B0000";
    assert!(open(without_link, None, Policy::Strict).is_ok());
    assert_eq!(open(without_link, Some(TEST_KEY), Policy::Strict).unwrap_err(), Refused::NotEncrypted);
    let broken = plain.replace("E803", "E804");
    assert_eq!(open(&broken, None, Policy::Strict).unwrap_err(), Refused::Damaged(Damage::PayloadCrc));
}

#[test]
fn mode_5_of_the_oms_annex_is_opened() {
    let gas =
        "2E4493157856341233037A2A0020255923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3";
    let key = "0102030405060708090A0B0C0D0E0F11";
    let (security, body, protected) = open(gas, Some(key), Policy::Strict).unwrap();
    assert_eq!(body[..18], unhex("0C1427048502046D32371F1502FD17000 02F".replace(' ', "").as_str())[..18]);
    assert_eq!((security.scheme, security.counter, protected), (Scheme::Mode5, None, 30));
    assert_eq!(open(gas, Some(TEST_KEY), Policy::Strict).unwrap_err(), Refused::WrongKey(Check::Marker));
}

#[test]
fn a_session_number_in_the_clear_is_no_counter_of_mode_5() {
    let gas =
        "2E4493157856341233037A2A0020255923C95AAA26D1B2E7493B013EC4A6F6D3529B520EDFF0EA6DEFC99D6D69EBF3";
    let gas = unhex(gas);
    let mut wrapped = gas[..10].to_vec();
    wrapped.extend(unhex("8D200799000000"));
    wrapped.extend(crc::of(&gas[10..]).to_le_bytes());
    wrapped.extend(&gas[10..]);
    wrapped[0] = u8::try_from(wrapped.len() - 1).unwrap();
    let mut frame = Frame::bare(&wrapped).unwrap();
    let cipher = Cipher::new("0102030405060708090A0B0C0D0E0F11".parse().unwrap());
    let telegram = Sealed::read(&mut frame).unwrap().open(Some(&cipher), Policy::Strict).unwrap();
    assert_eq!((telegram.security.scheme, telegram.security.counter), (Scheme::Mode5, None));
    assert!(telegram.security.verified.payload_crc && telegram.security.verified.marker);
}

#[test]
fn records_behind_the_enciphered_blocks_are_marked() {
    // OMS Volume 2, annex N.5.3: a heat cost allocator behind a radio adapter; its last record is in the clear.
    let partly =
        "304493444433221155378C00757288776655934455080004100500DFE2A782146D1513581CD2F83F39040CFD1078563412";
    let (_, body, protected) = open(partly, Some(TEST_KEY), Policy::Strict).unwrap();
    assert_eq!(body, unhex("0B6E341200426CFE044B6E5634020CFD1078563412"));
    assert_eq!(&body[protected..], unhex("0CFD1078563412"));
}

#[test]
fn mode_7_of_the_technical_report_is_verified_before_it_is_opened() {
    let hex = "530824484433221103378E80753A63665544330A31900F002C25B30A0000AF5D74DF73A600D9\
               72785634129315330375002007109058475F4BC91DF878B80A1B0F98B629024AAC727942BFC549233C0140829B93";
    let (security, body, _) = open(hex, Some(TEST_KEY), Policy::Strict).unwrap();
    assert_eq!((security.scheme, security.counter), (Scheme::Mode7, Some(0x0AB3)));
    assert!(security.verified.mac && security.verified.marker);
    assert_eq!(body[..16], unhex("0C1427048502046D32371F1502FD1700"));
    let forged = hex.replace("829B93", "829B92");
    assert_eq!(open(&forged, Some(TEST_KEY), Policy::Strict).unwrap_err(), Refused::WrongKey(Check::Mac));
}

#[test]
fn mode_10_of_two_real_meters_is_verified() {
    let key = "BF902DD6DFADAFE83E4AE6832B5FA14C";
    let first = "4544372C060382533C168C20307A3010FF2A10018C570E006DA7632471F42B0A3CECCD461353573E\
                 D02B87118BC5FFE982F7F00A0274543BC51938F8B9C8BB8928114D60788A";
    let (security, body, _) = open(first, Some(key), Policy::Strict).unwrap();
    assert_eq!((security.scheme, security.counter), (Scheme::Mode10, Some(939_916)));
    assert_eq!(body, unhex("046D1C2A2F3C04150000000002FF25010406FF1BFFFFFFFFFFFF446D0020213C441500000000"));
    let second = "4544372C060382533C168C20807A8010FF2A1001DC2E0D00CF1A85672E138D6C0AF61338403FDEB5\
                  28AB264E2C61E41B06073550AA296AE9815C8A7A9868EC6C624CFBBCECB3";
    assert!(open(second, Some(key), Policy::Strict).unwrap().0.verified.tag);
    let forged = second.replace("CECB3", "CECB2");
    assert_eq!(open(&forged, Some(key), Policy::Strict).unwrap_err(), Refused::WrongKey(Check::Tag));
}

#[test]
fn a_first_fragment_may_end_inside_the_transport_header() {
    for length in 0..4 {
        let mut bytes = unhex("00 44 931578563412 3303 90 02 0140 7A2A00");
        bytes.truncate(14 + length);
        bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
        let mut frame = Frame::bare(&bytes).unwrap();
        let sealed = Sealed::read(&mut frame).unwrap();
        assert_eq!(sealed.fragment().map(|(afl, piece)| (afl.fragment(), piece.len())), Some((1, length)));
        assert_eq!(sealed.open(None, Policy::Strict).unwrap_err(), Refused::Fragment);
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let des = "1E468B050100000004077A01001002BBD1EAFD0222F871CB70DA16C78AE098";
    assert_eq!(open(des, None, Policy::Strict).unwrap_err(), Refused::Unsupported(Unsupported::Mode(2)));
    let fifth = "0F442D2C9987347601068620000000000000";
    assert_eq!(open(fifth, None, Policy::Strict).unwrap_err(), Refused::Unsupported(Unsupported::Ci(0x86)));
    let fourth_with_a_network_layer = "0F442D2C9987347601068120000000000000";
    assert_eq!(
        open(fourth_with_a_network_layer, None, Policy::Strict).unwrap_err(),
        Refused::Unsupported(Unsupported::Ci(0x81))
    );
    let cut = "09472D2C9987347601 06".replace(' ', "");
    assert_eq!(
        open(&cut, None, Policy::Strict).unwrap_err(),
        Refused::Damaged(Damage::Truncated("link layer"))
    );
}

#[test]
fn a_sign_of_life_is_no_downgrade() {
    // ACC-NR and ACC-DMD carry a header in the clear; so do frames that are sent to a meter.
    for control in ["47", "48", "40", "53"] {
        let frame = ["0E", control, "2D2C99873476 1B16 8A 2A 00 0000"].concat();
        for key in [None, Some(MULTICAL_21_KEY)] {
            assert!(matches!(open(&frame, key, Policy::Strict), Err(Refused::NoData(_))), "{control}");
        }
    }
}

/// A telegram behind a second kind of extended link layer, enciphered with a key.
fn behind_link_encryption(meter: &str, inner: &str, cipher: &Cipher) -> Vec<u8> {
    let (meter, inner) = (meter.parse::<Meter>().unwrap(), unhex(inner));
    let session = crate::link::Session(0x2000_0010);
    let mut bytes = [&[0, 0x44][..], &meter.to_link(), &[0x8D, 0x20, 1], &session.0.to_le_bytes()].concat();
    bytes.extend(crc::of(&inner).to_le_bytes());
    bytes.extend(inner);
    bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
    let block = counter_block(meter, crate::link::Communication(0x20), session);
    cipher.ctr(&block, &mut bytes[17..]);
    bytes
}

fn open_strictly(bytes: &[u8], cipher: &Cipher) -> Result<(Meter, Vec<u8>), Refused> {
    let mut frame = Frame::bare(bytes).unwrap();
    let telegram = Sealed::read(&mut frame)?.open(Some(cipher), Policy::Strict)?;
    Ok((telegram.meter(), telegram.body.to_vec()))
}

#[test]
fn a_key_of_one_meter_opens_nothing_of_another() {
    let cipher = Cipher::new(TEST_KEY.parse().unwrap());
    // The same header behind the encryption of the link layer: first of the meter itself, then of another one.
    let own = behind_link_encryption(
        "KAM.12345678.1B.16",
        "72 78563412 2D2C 1B 16 01 00 0000 041301000000",
        &cipher,
    );
    assert_eq!(open_strictly(&own, &cipher).unwrap().0, "KAM.12345678.1B.16".parse().unwrap());
    let other = behind_link_encryption(
        "KAM.12345678.1B.16",
        "72 99999999 2D2C 1B 16 01 00 0000 041301000000",
        &cipher,
    );
    assert_eq!(open_strictly(&other, &cipher).unwrap_err(), Refused::OtherMeter);
}

#[test]
fn a_mode_without_enciphered_blocks_is_fine_behind_link_encryption() {
    let cipher = Cipher::new(TEST_KEY.parse().unwrap());
    let frame = behind_link_encryption("KAM.12345678.1B.16", "7A 01 00 0005 041301000000", &cipher);
    assert_eq!(open_strictly(&frame, &cipher).unwrap().1, unhex("041301000000"));
    let alone = unhex("14 44 2D2C 78563412 1B16 7A 01 00 0005 041301000000");
    assert_eq!(open_strictly(&alone, &cipher).unwrap_err(), Refused::NotEncrypted);
}

#[test]
fn a_record_that_reaches_into_the_clear_is_left_out_of_a_reading() {
    let cipher = Cipher::new(TEST_KEY.parse().unwrap());
    let meter: Meter = "KAM.12345678.1B.16".parse().unwrap();
    // Mode 5, one block: marker, a volume, fillers, a second volume whose last bytes may stand behind the block.
    let measures = |block: &str, clear: &[u8]| {
        let mut block: [u8; 16] = unhex(block).try_into().unwrap();
        cipher::cbc_encrypt(cipher.key(), &vector_mode5(meter, 7), &mut block);
        let mut bytes = [&[0, 0x44][..], &meter.to_link(), &[0x7A, 7, 0, 0x10, 0x05], &block, clear].concat();
        bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
        let mut frame = Frame::bare(&bytes).unwrap();
        let telegram = Sealed::read(&mut frame).unwrap().open(Some(&cipher), Policy::Strict).unwrap();
        telegram.reading(&crate::Learned::default()).unwrap().measures.len()
    };
    assert_eq!(measures("2F2F 041301000000 2F2F 4413 99990000", &[]), 2);
    assert_eq!(measures("2F2F 041301000000 2F2F2F2F 4413 9999", &[0, 0]), 1, "half of it is in the clear");
}

#[test]
fn what_a_mac_covers_is_vouched_for_although_it_is_clear() {
    let cipher = Cipher::new(TEST_KEY.parse().unwrap());
    let meter: Meter = "KAM.12345678.1B.16".parse().unwrap();
    let head = unhex("25 01000000");
    let body = unhex("041301000000");
    // Mode 7 that enciphers no block at all: all of it is authenticated.
    let message = [unhex("7A 01 00 0007 10"), body.clone()].concat();
    let key = Cipher::new(derive(&cipher, Purpose::Authenticate, 1, meter));
    let mac = key.cmac([&head, &message]);
    let mut bytes =
        [&[0, 0x44][..], &meter.to_link(), &unhex("90 0F 002C"), &head, &mac[..8], &message].concat();
    bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
    let mut frame = Frame::bare(&bytes).unwrap();
    let telegram = Sealed::read(&mut frame).unwrap().open(Some(&cipher), Policy::Strict).unwrap();
    assert_eq!((telegram.protected, telegram.body), (body.len(), body.as_slice()));
}

#[test]
fn a_frame_that_ends_anywhere_is_an_error_and_no_panic() {
    let whole = unhex(MULTICAL_21);
    for length in 9..whole.len() - 1 {
        let mut cut = whole[..=length].to_vec();
        cut[0] = u8::try_from(length).unwrap();
        let mut frame = Frame::bare(&cut).unwrap();
        let cipher = Cipher::new(MULTICAL_21_KEY.parse().unwrap());
        assert!(
            Sealed::read(&mut frame)
                .and_then(|sealed| sealed.open(Some(&cipher), Policy::AlsoOpened).map(drop))
                .is_err()
        );
    }
}
