//! Auth methods.
