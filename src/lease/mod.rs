//! What was lent, until when.
