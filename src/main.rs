//! The `leasehold` program: its command line, of which `server` is one command.

use std::process::ExitCode;

use leasehold::cli::{Io, run};

fn main() -> ExitCode {
    let code = run(std::env::args_os().collect(), Io::process(), &leasehold::server::run);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
