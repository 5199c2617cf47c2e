//! Secrets engines.

pub mod aws;
