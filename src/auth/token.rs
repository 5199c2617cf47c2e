//! placeholder
use crate::barrier::View;
use crate::mount::{ApiError, Deps, Plugin, Table};
use crate::policy::PolicyStore;
use crate::token::TokenStore;
use std::sync::Arc;
/// x
#[derive(Debug)]
pub struct TokenAuth;
impl TokenAuth {
    /// x
    pub fn new(_: Arc<TokenStore>, _: Arc<PolicyStore>, _: View) -> Self {
        Self
    }
}
impl Plugin for TokenAuth {
    const KIND: &'static str = "token";
    const ABOUT: &'static str = "x";
    async fn open(_: View, _: Deps) -> Result<Self, ApiError> {
        Ok(Self)
    }
    fn endpoints(_: &mut Table<Self>) {}
}
