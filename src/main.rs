//! The `leasehold` program: composes the server, or hands over to the command line.

fn main() {}
