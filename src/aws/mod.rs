//! What we ask of AWS, and what it answered.

pub mod sandbox;
