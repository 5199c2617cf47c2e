//! Its body is in `tests/it/fuzz/targets/paths.rs`.
#![no_main]

#[path = "../../it/fuzz/targets/paths.rs"]
mod paths;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| paths::run(bytes, &mut |_| {}));
