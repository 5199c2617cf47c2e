//! Secrets engines.

pub mod aws;
pub mod identity;
pub mod inert;
