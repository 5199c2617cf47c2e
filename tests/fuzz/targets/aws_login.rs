//! Its body is in `tests/it/fuzz/targets/aws_login.rs`.
#![no_main]

#[path = "../../it/fuzz/targets/aws_login.rs"]
mod aws_login;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aws_login::run(bytes, &mut |_| {}));
