//! Configuration: files, environment and the server's flags, read once at start into [`ServerConfig`]; and the log they set up.

pub mod banner;
pub mod environment;
pub mod error;
pub mod headers;
mod keys;
pub mod listener;
mod listener_stanza;
pub mod lockout;
pub mod log;
mod sanitized;
pub mod server;
mod source;
mod stanza;
pub mod storage;
pub mod telemetry;

pub use environment::Environment;
pub use error::{ConfigError, Place, Warning};
pub use headers::ResponseHeaders;
pub use listener::{JsonLimits, ListenAddress, ListenerConfig, ListenerLimits, Timeouts, TlsFiles, TlsVersion};
pub use lockout::{Lockout, LockoutConfig};
pub use server::{Flags, ServerConfig};
pub use storage::{StorageConfig, StorageFile};
pub use telemetry::Telemetry;

/// Where a server listens that is told nothing else.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8200";
