#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vesigate::feed::fuzzing::rtl_wmbus_lines(bytes));
