//! What of a login would be sent on, and where to, without sending it: all that its client has a say in.

use serde_json::{Map, Value};

use crate::aws::{RelayTo, Signed};

use super::super::client_config::ClientConfig;
use super::super::login::LoginInput;
use super::request::Request;
use super::scope::Scope;
use super::sts;

/// See the module.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Who would be asked.
    pub to: RelayTo,
    /// The request.
    pub signed: Signed,
}

/// Of the body of an `iam` login, on a mount with this `sts_endpoint`; empty: none.
///
/// # Errors
/// Why it would be refused before anything leaves.
pub fn preview(data: &Map<String, Value>, sts_endpoint: &str) -> Result<Preview, String> {
    let input: LoginInput = serde_json::from_value(Value::Object(data.clone())).map_err(|error| error.to_string())?;
    let config = ClientConfig { sts_endpoint: sts_endpoint.to_owned(), ..ClientConfig::default() };
    let looked_at = || {
        let request = Request::read(&input)?;
        request.check_headers(&config)?;
        let scope = Scope::read(&request)?;
        let to = sts::destination(&request, &scope, &config)?;
        Ok(Preview { to, signed: request.signed(|name| scope.signs(name))? })
    };
    looked_at().map_err(|failure: super::super::failure::Failure| failure.error.text)
}
