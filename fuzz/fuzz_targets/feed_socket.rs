#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vesigate::feed::fuzzing::feed_socket(bytes));
