//! Its body is in `tests/it/fuzz/targets/request.rs`.
#![no_main]

#[path = "../../it/fuzz/targets/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| request::run(bytes, &mut |_| {}));
