//! May this caller do that.
