#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vesigate::receiver::fuzzing::iu891a_framed(bytes));
