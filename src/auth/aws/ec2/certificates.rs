//! Whose signatures are believed: AWS's published certificates, which come with the server, and those an operator adds
//! (spec `aws-auth-method.md` §6.1).

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::aws::AwsAuth;
use crate::mount::field::{Flag, LowerText, Text};
use crate::mount::{ApiError, Both, Ctx, Named, Nothing, Reply, Table};

use super::signer::Anchor;

/// What a registered certificate verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// Documents in PKCS#7.
    #[default]
    Pkcs7,
    /// Documents with a signature beside them.
    Identity,
}

/// The record of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Registered {
    /// PEM.
    aws_public_cert: String,
    #[serde(rename = "type")]
    form: Form,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct CertificateInput {
    /// The certificate in PEM, or that in base64. Needed with every write.
    aws_public_cert: Text,
    /// What it verifies: pkcs7 or identity. Default: pkcs7.
    #[serde(rename = "type")]
    form: Option<LowerText>,
}

/// The record of what else is believed, and what a read shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Trust {
    /// AWS's own certificates that come with the server count for nothing.
    only_configured: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct TrustInput {
    /// Whether documents must be signed with a certificate of config/certificate, and AWS's own that come with the server count
    /// for nothing. Default: no.
    only_configured: Option<Flag>,
}

/// Certificates to look among.
#[derive(Debug)]
pub(super) struct Anchors {
    built_in: &'static [Anchor],
    added: Vec<Anchor>,
}

impl Anchors {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Anchor> {
        self.built_in.iter().chain(&self.added)
    }
}

/// Declares the endpoints.
pub(super) fn endpoints(table: &mut Table<AwsAuth>) {
    table
        .at("config/certificate-trust", "Whether AWS's own certificates, which come with the server, are believed.")
        .read(AwsAuth::read_trust)
        .update(AwsAuth::write_trust);
    table.at("config/certificates/", "Names of the certificates that were added to AWS's own.").list(AwsAuth::list_certificates);
    table
        .at("config/certificate/{cert_name}", "A certificate that identity documents may be signed with, besides AWS's own.")
        .exists(AwsAuth::has_certificate)
        .read(AwsAuth::read_certificate)
        .update(AwsAuth::write_certificate)
        .delete(AwsAuth::delete_certificate);
}

impl AwsAuth {
    async fn list_certificates(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Ok(Reply::list(self.view.list_all(CERTIFICATES).await?))
    }

    async fn has_certificate(self: Arc<Self>, _: Ctx, named: Named) -> Result<bool, ApiError> {
        Ok(self.view.exists(&key(&named)).await?)
    }

    async fn read_certificate(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let stored = self.view.read::<Registered>(&key(&named)).await?;
        Ok(stored.map_or_else(Reply::empty, |stored| {
            Reply::field("aws_public_cert", json!(stored.aws_public_cert)).and("type", json!(stored.form))
        }))
    }

    async fn write_certificate(
        self: Arc<Self>,
        _: Ctx,
        Both(named, input): Both<Named, CertificateInput>,
    ) -> Result<Reply, ApiError> {
        let key = key(&named);
        let _turn = self.turn(&key).await;
        let stored = self.view.read::<Registered>(&key).await?;
        let form = match input.form.as_ref().map(|form| form.as_str()) {
            None => stored.map(|stored| stored.form).unwrap_or_default(),
            Some("pkcs7") => Form::Pkcs7,
            Some("identity") => Form::Identity,
            Some(other) => return Err(ApiError::invalid(format!("invalid certificate type {other:?}"))),
        };
        let aws_public_cert = pem(&input.aws_public_cert)?;
        Anchor::from_pem(&aws_public_cert).map_err(|error| ApiError::invalid(error.to_string()))?;
        if stored_names(&self.view).await? >= MOST && !self.view.exists(&key).await? {
            return Err(ApiError::invalid(format!("more than {MOST} certificates are not taken")));
        }
        self.view.put(&key, &Registered { aws_public_cert, form }).await?;
        Ok(Reply::empty())
    }

    async fn delete_certificate(self: Arc<Self>, _: Ctx, named: Named) -> Result<Reply, ApiError> {
        let key = key(&named);
        let _turn = self.turn(&key).await;
        self.view.delete(&key).await?;
        Ok(Reply::empty())
    }

    async fn read_trust(self: Arc<Self>, _: Ctx, _: Nothing) -> Result<Reply, ApiError> {
        Reply::object(&self.trust().await?)
    }

    async fn write_trust(self: Arc<Self>, _: Ctx, input: TrustInput) -> Result<Reply, ApiError> {
        let _turn = self.turn(TRUST).await;
        let mut trust = self.trust().await?;
        if let Some(flag) = input.only_configured {
            trust.only_configured = *flag;
        }
        self.view.put(TRUST, &trust).await?;
        Ok(Reply::empty())
    }

    async fn trust(&self) -> Result<Trust, ApiError> {
        Ok(self.view.read(TRUST).await?.unwrap_or_default())
    }

    /// The certificates that a document of this form may be signed with.
    pub(super) async fn anchors(&self, form: Form) -> Result<Anchors, ApiError> {
        let built_in = if self.trust().await?.only_configured { &[] } else { built_in() };
        let all: Vec<Registered> = self.view.sub(CERTIFICATES).scan_all().await?;
        let own = all.iter().filter(|registered| registered.form == form);
        let added = own.filter_map(|registered| Anchor::from_pem(&registered.aws_public_cert).ok()).collect();
        Ok(Anchors { built_in, added })
    }
}

/// AWS's own certificates, of all kinds.
fn built_in() -> &'static [Anchor] {
    &BUILT_IN
}

async fn stored_names(view: &crate::barrier::View) -> Result<usize, ApiError> {
    Ok(view.list_all(CERTIFICATES).await?.len())
}

/// PEM as it came, or out of its base64.
fn pem(text: &str) -> Result<String, ApiError> {
    if text.is_empty() {
        return Err(ApiError::invalid("missing aws_public_cert"));
    }
    let invalid = || ApiError::invalid("invalid aws_public_cert");
    if text.len() > LONGEST {
        return Err(invalid());
    }
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(text.to_owned());
    }
    let digits: String = text.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(digits).map_err(|_| invalid())?;
    String::from_utf8(bytes).map_err(|_| invalid())
}

fn key(named: &Named) -> String {
    format!("{CERTIFICATES}{}", named.name)
}

/// The lines of the file that hold certificates.
fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("certificates.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

static BUILT_IN: LazyLock<Vec<Anchor>> = LazyLock::new(|| {
    let certificates = lines().filter_map(|line| BASE64.decode(line.rsplit(' ').next()?).ok());
    certificates.filter_map(|der| Anchor::from_der(&der).ok()).collect()
});

/// Whether AWS's own count.
const TRUST: &str = "config/certificate-trust";

/// Where those of operators are.
const CERTIFICATES: &str = "config/certificate/";

/// Certificates of one mount: each login with a document looks at them.
const MOST: usize = 200;

/// Characters of the field.
const LONGEST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_line_of_the_file_is_a_certificate() {
        for line in lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            let [kind, regions, certificate] = parts[..] else { panic!("{line}") };
            assert!(["dsa", "rsa", "rsa2048"].contains(&kind), "{kind}");
            assert!(regions.split(',').all(|region| region == "*" || super::super::document::is_name(region)), "{regions}");
            let anchor = Anchor::from_der(&BASE64.decode(certificate).unwrap()).unwrap();
            let is_exception = kind == "dsa" && regions.starts_with("cn-");
            assert_eq!(anchor.is_rsa(), kind != "dsa" || is_exception, "{kind} {regions}");
        }
        assert_eq!(built_in().len(), lines().count());
    }

    #[test]
    fn every_region_has_its_certificates_of_both_rsa_kinds() {
        let of = |kind: &str| -> BTreeSet<&str> {
            let own = lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')?.split(' ').next());
            own.flat_map(|regions| regions.split(',')).filter(|region| *region != "*").collect()
        };
        assert_eq!(of("rsa"), of("rsa2048"));
        assert_eq!(of("rsa").len(), 39);
        assert!(of("rsa").is_superset(&of("dsa")));
    }

    #[test]
    fn only_what_was_added_is_left_without_aws() {
        let added = vec![built_in()[0].clone()];
        assert_eq!(Anchors { built_in: &[], added: added.clone() }.iter().count(), 1);
        assert_eq!(Anchors { built_in: built_in(), added }.iter().count(), built_in().len() + 1);
    }

    #[test]
    fn a_certificate_may_come_in_base64() {
        assert_eq!(pem("-----BEGIN X").unwrap(), "-----BEGIN X");
        assert_eq!(pem(&BASE64.encode("-----BEGIN X")).unwrap(), "-----BEGIN X");
        assert_eq!(pem("").unwrap_err().text, "missing aws_public_cert");
        assert_eq!(pem("%").unwrap_err().text, "invalid aws_public_cert");
    }
}
