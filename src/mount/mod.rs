//! The contract between core and plugins.
