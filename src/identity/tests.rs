//! What the store keeps true, without a server around it.
