//! Behaviour through the real router, one binary.

mod tidy;
