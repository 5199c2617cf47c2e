//! Written before and after.
