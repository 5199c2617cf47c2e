//! Auth methods.

pub mod token;
