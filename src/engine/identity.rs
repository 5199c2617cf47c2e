//! The mount `identity/`. It is there, as on every server of this API, and has no endpoints: entities come from logins.

use crate::barrier::View;
use crate::mount::{ApiError, Deps, Plugin, Table};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Plugin for Identity {
    const KIND: &'static str = "identity";
    const ABOUT: &'static str = "Who somebody is, whatever he logs in with. Has no endpoints on this server.";

    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }

    fn endpoints(_: &mut Table<Self>) {}
}
