//! Its body is in `tests/it/fuzz/targets/shares.rs`.
#![no_main]

#[path = "../../it/fuzz/targets/shares.rs"]
mod shares;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shares::run(bytes, &mut |_| {}));
