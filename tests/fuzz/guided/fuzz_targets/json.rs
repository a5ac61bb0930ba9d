#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| silkgate_fuzz::json(data));
