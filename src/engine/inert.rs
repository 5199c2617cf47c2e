//! Plugins that do nothing: types clients mount and do not use (spec `clients.md` §1.2), and stand-ins for what cannot be
//! opened. Every path of theirs is unsupported, and says so.

use crate::barrier::View;
use crate::mount::{ApiError, Deps, Plugin, Registry, Table};

/// Makes a plugin of a type without endpoints.
macro_rules! inert {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $about:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Plugin for $name {
            const KIND: &'static str = $kind;
            const ABOUT: &'static str = $about;

            async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
                Ok(Self)
            }

            fn endpoints(_: &mut Table<Self>) {}
        }
    };
}

inert!(
    /// The auth method of GitHub.
    Github,
    "github",
    "Has no endpoints on this server: it can be mounted, and nobody can log in with it."
);
inert!(
    /// The auth method of Google Cloud.
    Gcp,
    "gcp",
    "Has no endpoints on this server: it can be mounted, and nobody can log in with it."
);
inert!(
    /// Stands in for a mount that cannot be opened.
    Unavailable,
    "unavailable",
    "Cannot be opened by this server; the log says why."
);

/// Adds the auth methods of this module.
pub fn auth_methods(registry: &mut Registry) {
    registry.auth::<Github>().auth::<Gcp>();
}
