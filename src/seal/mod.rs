//! Who holds the root key.
