//! Configuration: files, environment and the server's flags, read once at start into [`Config`]; and the log they set up.

pub mod headers;
pub mod listener;
pub mod log;

pub use headers::ResponseHeaders;
pub use listener::{JsonLimits, ListenAddress, ListenerConfig, ListenerLimits, Timeouts, TlsFiles, TlsVersion};
