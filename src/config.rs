//! Configuration: files and environment.
