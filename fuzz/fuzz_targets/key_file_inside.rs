#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vesigate::keyring::fuzzing::key_file_inside(bytes));
