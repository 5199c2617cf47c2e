//! Words of the domain without behaviour of their own: identifiers, secrets, time, paths, chance.

pub mod hcl;
pub mod ids;
pub mod json;
pub mod path;
pub mod random;
pub mod secret;
pub mod tasks;
pub mod time;
pub mod turns;
pub mod version;

pub use ids::{Accessor, LeaseId, MountId, RequestId, TokenKey};
pub use path::{ApiPath, Key, MountPath, PathError};
pub use secret::Secret;
pub use tasks::{Shutdown, Tasks};
pub use time::{Clock, Timestamp, Ttl};
