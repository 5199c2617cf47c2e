//! Signed documents in PKCS#7: the content, once its one signer is known and the signature is true
//! (spec `aws-auth-method.md` §6.3; RFC 5652 §5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use subtle::ConstantTimeEq as _;
use x509_cert::attr::Attributes;
use x509_cert::der::asn1::{GeneralizedTime, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::{Any, Decode as _, Encode as _, Tag, Tagged as _};

use super::ber::{self, BerError};
use super::signer::{Anchor, Hash, block};

/// Why a container is refused; in the words clients know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Pkcs7Error {
    /// Not base64.
    #[error("failed to decode the PEM encoded PKCS#7 signature")]
    Pem,
    /// Not BER, or not of the form of a signed document.
    #[error("failed to parse the BER encoded PKCS#7 signature: {0}")]
    Form(String),
    /// No certificate has the signer's issuer and serial number. With what it claims to have signed.
    #[error("failed to verify the signature: pkcs7: No certificate for signer")]
    Unknown(Vec<u8>),
    /// The signature is not what it should be.
    #[error("failed to verify the signature: {0}")]
    Signature(&'static str),
    /// Nothing was signed.
    #[error("instance identity document could not be found in the signature")]
    Empty,
}

/// The signed content of a field: base64 with or without the lines of PEM around it.
pub(super) fn verified<'a>(field: &str, anchors: impl Iterator<Item = &'a Anchor>) -> Result<Vec<u8>, Pkcs7Error> {
    let data = signed_data(field)?;
    let content_type = data.encap_content_info.econtent_type;
    let content = match &data.encap_content_info.econtent {
        Some(any) if any.tag() == Tag::OctetString => any.value().to_vec(),
        Some(_) => return Err(Pkcs7Error::Form("the content is not of the type data".to_owned())),
        None => Vec::new(),
    };
    if content.is_empty() {
        return Err(Pkcs7Error::Empty);
    }
    if content_type != DATA {
        return Err(Pkcs7Error::Form("the content is not of the type data".to_owned()));
    }
    let [signer] = data.signer_infos.0.as_ref() else {
        return Err(Pkcs7Error::Signature("there is not exactly one signer"));
    };
    // Certificates that came along count for nothing.
    let SignerIdentifier::IssuerAndSerialNumber(name) = &signer.sid else {
        return Err(Pkcs7Error::Unknown(content));
    };
    let (hash, message) = (hash_of(signer)?, message_of(signer, &content)?);
    let mut named = anchors.filter(|anchor| is_named(anchor, name)).peekable();
    if named.peek().is_none() {
        return Err(Pkcs7Error::Unknown(content));
    }
    let signature = signer.signature.as_bytes();
    // Several certificates may have one name: the key decides.
    let anchor = named.find(|anchor| anchor.signed(hash, &message, signature));
    let anchor = anchor.ok_or(Pkcs7Error::Signature("the signature is wrong"))?;
    match signing_time(signer)? {
        Some(seconds) if !anchor.is_valid_at(seconds) => {
            Err(Pkcs7Error::Signature("the signing time is not within the validity of the certificate"))
        }
        _ => Ok(content),
    }
}

fn signed_data(field: &str) -> Result<SignedData, Pkcs7Error> {
    if field.len() > LONGEST {
        return Err(Pkcs7Error::Form(BerError::Size.to_string()));
    }
    let form = |error: &dyn std::fmt::Display| Pkcs7Error::Form(error.to_string());
    let digits: String = field.split_ascii_whitespace().collect();
    let bytes = block(field, "PKCS7").or_else(|| BASE64.decode(digits).ok()).ok_or(Pkcs7Error::Pem)?;
    let der = ber::to_der(&bytes).map_err(|error| form(&error))?;
    let outer = ContentInfo::from_der(&der).map_err(|error| form(&error))?;
    if outer.content_type != SIGNED_DATA {
        return Err(Pkcs7Error::Form("it is not signed data".to_owned()));
    }
    outer.content.decode_as::<SignedData>().map_err(|error| form(&error))
}

fn is_named(anchor: &Anchor, name: &IssuerAndSerialNumber) -> bool {
    anchor.serial == name.serial_number.as_bytes() && name.issuer.to_der().is_ok_and(|issuer| issuer == anchor.issuer)
}

/// The hash that was signed: that of the digest, with which the algorithm of the signature must agree, where it names one.
fn hash_of(signer: &SignerInfo) -> Result<Hash, Pkcs7Error> {
    let digest = DIGESTS.iter().find(|(oid, _)| *oid == signer.digest_alg.oid).map(|(_, hash)| *hash);
    let hash = digest.ok_or(Pkcs7Error::Signature("the digest is neither SHA-1 nor SHA-256"))?;
    let named = SIGNATURES.iter().find(|(oid, _)| *oid == signer.signature_algorithm.oid).map(|(_, hash)| *hash);
    match named {
        Some(own) if own.is_none_or(|own| own == hash) => Ok(hash),
        Some(_) => Err(Pkcs7Error::Signature("digest and signature have different hashes")),
        None => Err(Pkcs7Error::Signature("the signature is neither RSA nor DSA")),
    }
}

/// What was signed: the attributes, whose digest is then the content's, or the content itself.
fn message_of(signer: &SignerInfo, content: &[u8]) -> Result<Vec<u8>, Pkcs7Error> {
    let Some(attributes) = &signer.signed_attrs else { return Ok(content.to_vec()) };
    let digest = one(attributes, MESSAGE_DIGEST)?.ok_or(Pkcs7Error::Signature("no message digest among the attributes"))?;
    let digest = digest.decode_as::<OctetString>().map_err(|_| Pkcs7Error::Signature("the message digest is none"))?;
    let own = hash_of(signer)?.of(content);
    if !bool::from(digest.as_bytes().ct_eq(own.as_ref())) {
        return Err(Pkcs7Error::Signature("the message digest is not the content's"));
    }
    let kind = one(attributes, CONTENT_TYPE)?.ok_or(Pkcs7Error::Signature("no content type among the attributes"))?;
    if kind.decode_as::<ObjectIdentifier>().ok() != Some(DATA) {
        return Err(Pkcs7Error::Signature("the content type is not the content's"));
    }
    attributes.to_der().map_err(|error| Pkcs7Error::Form(error.to_string()))
}

fn signing_time(signer: &SignerInfo) -> Result<Option<u64>, Pkcs7Error> {
    let Some(attributes) = &signer.signed_attrs else { return Ok(None) };
    let Some(time) = one(attributes, SIGNING_TIME)? else { return Ok(None) };
    let seconds = match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>().map(|time| time.to_unix_duration()),
        _ => time.decode_as::<GeneralizedTime>().map(|time| time.to_unix_duration()),
    };
    let seconds = seconds.map_err(|_| Pkcs7Error::Signature("the signing time is none"))?;
    Ok(Some(seconds.as_secs()))
}

/// The one value of an attribute; more than one, or the attribute twice, is nothing AWS does.
fn one(attributes: &Attributes, oid: ObjectIdentifier) -> Result<Option<&Any>, Pkcs7Error> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let Some(attribute) = found.next() else { return Ok(None) };
    match (attribute.values.as_ref(), found.next()) {
        ([value], None) => Ok(Some(value)),
        _ => Err(Pkcs7Error::Signature("an attribute has not exactly one value")),
    }
}

/// RFC 5652 §4, §5.1, §11.
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");

/// RFC 3370 §2.1, RFC 5754 §2.2.
const DIGESTS: &[(ObjectIdentifier, Hash)] = &[
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.26"), Hash::Sha1),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), Hash::Sha256),
];

/// RFC 3370 §3, RFC 5754 §3: RSA, and with SHA-1 and SHA-256; DSA, and with SHA-1 and SHA-256.
const SIGNATURES: &[(ObjectIdentifier, Option<Hash>)] = &[
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"), None),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), Some(Hash::Sha1)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), Some(Hash::Sha256)),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), None),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"), Some(Hash::Sha1)),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.2"), Some(Hash::Sha256)),
];

/// Characters of the field: base64 of what is read at most, and its lines.
const LONGEST: usize = 2 * ber::LARGEST;

#[cfg(test)]
#[path = "pkcs7_tests.rs"]
mod tests;
