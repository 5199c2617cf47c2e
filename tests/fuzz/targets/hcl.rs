//! Its body is in `tests/it/fuzz/targets/hcl.rs`.
#![no_main]

#[path = "../../it/fuzz/targets/hcl.rs"]
mod hcl;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hcl::run(bytes, &mut |_| {}));
