//! The command line against a scripted server: what it sends, prints and returns (spec `cli.md`).

mod calling;
mod connection;
mod data;
mod login;
mod output;
mod preview;
mod stub;
