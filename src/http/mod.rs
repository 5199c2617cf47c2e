//! The HTTP edge: bytes to requests, answers to bytes.
