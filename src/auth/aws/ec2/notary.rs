//! Signs identity documents as AWS does, with keys and certificates made for the test. Uses nothing of the crate, so that tests
//! outside of it include this file.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos};
use ring::digest;
use ring::rand::SecureRandom as _;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::rand_core::{CryptoRng, Error, RngCore};
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate, Version};

/// Whoever signs documents.
#[derive(Clone)]
pub(crate) struct Notary {
    key: Key,
    certificate: Certificate,
}

#[derive(Clone)]
enum Key {
    Rsa(Box<rsa::RsaPrivateKey>),
    Dsa(Box<dsa::SigningKey>),
}

/// How a container is made.
#[derive(Clone)]
pub(crate) struct Style {
    /// Signs attributes instead of the content.
    pub(crate) attributes: bool,
    /// SHA-1 instead of SHA-256.
    pub(crate) sha1: bool,
    /// Comes along.
    pub(crate) embedded: Option<Certificate>,
    /// How often the signer stands there.
    pub(crate) signers: usize,
    /// Replaces the content after it was signed.
    pub(crate) tampered: Option<Vec<u8>>,
    /// Signed as the type of the content.
    pub(crate) content_type: &'static str,
    /// Seconds since 1970; `None`: not said.
    pub(crate) signing_time: Option<u64>,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            attributes: true,
            sha1: false,
            embedded: None,
            signers: 1,
            tampered: None,
            content_type: DATA,
            signing_time: Some(1_700_000_000),
        }
    }
}

static RSA: LazyLock<rsa::RsaPrivateKey> = LazyLock::new(|| rsa::RsaPrivateKey::new(&mut Chance, 2048).unwrap());
static DSA: LazyLock<dsa::SigningKey> = LazyLock::new(|| {
    #[expect(deprecated, reason = "the size that AWS uses")]
    let components = dsa::Components::generate(&mut Chance, dsa::KeySize::DSA_1024_160);
    dsa::SigningKey::generate(&mut Chance, components)
});

impl Notary {
    /// With the RSA key of 2048 bits that all tests share.
    pub(crate) fn rsa(serial: u8) -> Self {
        Self::with(Key::Rsa(Box::new(RSA.clone())), serial)
    }

    /// With an RSA key of its own.
    pub(crate) fn another_rsa(serial: u8) -> Self {
        Self::with(Key::Rsa(Box::new(rsa::RsaPrivateKey::new(&mut Chance, 1024).unwrap())), serial)
    }

    /// With the DSA key of 1024 bits that all tests share.
    pub(crate) fn dsa(serial: u8) -> Self {
        Self::with(Key::Dsa(Box::new(DSA.clone())), serial)
    }

    fn with(key: Key, serial: u8) -> Self {
        let spki = match &key {
            Key::Rsa(key) => key.to_public_key().to_public_key_der().unwrap().into_vec(),
            Key::Dsa(key) => key.verifying_key().to_public_key_der().unwrap().into_vec(),
        };
        let name: x509_cert::name::Name = "CN=notary,O=Tests".parse().unwrap();
        let time = |seconds| Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::from_secs(seconds)).unwrap());
        let signature = AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), parameters: None };
        let tbs_certificate = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[serial]).unwrap(),
            signature: signature.clone(),
            issuer: name.clone(),
            validity: Validity { not_before: time(1_600_000_000), not_after: time(2_000_000_000) },
            subject: name,
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&spki).unwrap(),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: None,
        };
        // Nobody looks at who signed a certificate that is trusted as it is.
        let certificate =
            Certificate { tbs_certificate, signature_algorithm: signature, signature: BitString::from_bytes(&[0; 8]).unwrap() };
        Self { key, certificate }
    }

    /// The certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        let digits = BASE64.encode(self.certificate.to_der().unwrap());
        let lines: Vec<&str> = digits.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// The certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A document in PKCS#7, as instance metadata gives it: base64 in lines.
    pub(crate) fn pkcs7(&self, document: &str) -> String {
        let sha1 = matches!(self.key, Key::Dsa(_));
        encoded(&self.container(document.as_bytes(), &Style { sha1, ..Style::default() }))
    }

    /// A document beside its signature, both in base64.
    pub(crate) fn pair(&self, document: &str) -> (String, String) {
        (BASE64.encode(document), BASE64.encode(self.sign(document.as_bytes(), false)))
    }

    /// DER of a document in PKCS#7.
    pub(crate) fn container(&self, content: &[u8], style: &Style) -> Vec<u8> {
        let oid = ObjectIdentifier::new_unwrap;
        let algorithm = |oid: ObjectIdentifier| AlgorithmIdentifierOwned { oid, parameters: None };
        let digest_alg = algorithm(oid(if style.sha1 { "1.3.14.3.2.26" } else { "2.16.840.1.101.3.4.2.1" }));
        let attributes = style.attributes.then(|| attributes(content, style));
        let message = attributes.as_ref().map_or_else(|| content.to_vec(), |attributes| attributes.to_der().unwrap());
        let key = match self.key {
            Key::Rsa(_) => "1.2.840.113549.1.1.1",
            Key::Dsa(_) => "1.2.840.10040.4.1",
        };
        let tbs = &self.certificate.tbs_certificate;
        let signer = |number: usize| SignerInfo {
            version: if number == 0 { CmsVersion::V1 } else { CmsVersion::V3 },
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: tbs.issuer.clone(),
                serial_number: tbs.serial_number.clone(),
            }),
            digest_alg: digest_alg.clone(),
            signed_attrs: attributes.clone(),
            signature_algorithm: algorithm(oid(key)),
            signature: OctetString::new(self.sign(&message, style.sha1)).unwrap(),
            unsigned_attrs: None,
        };
        let signers: Vec<SignerInfo> = (0..style.signers).map(signer).collect();
        let content = style.tampered.clone().unwrap_or_else(|| content.to_vec());
        let data = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![digest_alg]).unwrap(),
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: oid(DATA),
                econtent: Some(Any::encode_from(&OctetString::new(content).unwrap()).unwrap()),
            },
            certificates: style
                .embedded
                .clone()
                .map(|certificate| vec![CertificateChoices::Certificate(certificate)].try_into().unwrap()),
            crls: None,
            signer_infos: SignerInfos::try_from(signers).unwrap(),
        };
        let outer = ContentInfo { content_type: oid("1.2.840.113549.1.7.2"), content: Any::encode_from(&data).unwrap() };
        outer.to_der().unwrap()
    }

    fn sign(&self, message: &[u8], sha1: bool) -> Vec<u8> {
        let algorithm = if sha1 { &digest::SHA1_FOR_LEGACY_USE_ONLY } else { &digest::SHA256 };
        let hash = digest::digest(algorithm, message);
        match &self.key {
            Key::Rsa(key) => {
                let (length, prefix) = if sha1 { (20, SHA1_PREFIX) } else { (32, SHA256_PREFIX) };
                let padding = rsa::Pkcs1v15Sign { hash_len: Some(length), prefix: prefix.into() };
                key.sign(padding, hash.as_ref()).unwrap()
            }
            Key::Dsa(key) => {
                let parts = key.sign_prehashed_rfc6979::<sha1::Sha1>(hash.as_ref()).unwrap();
                dsa::signature::SignatureEncoding::to_vec(&parts)
            }
        }
    }
}

/// An identity document.
pub(crate) fn document(instance: &str, image: &str, pending: &str) -> String {
    format!(
        r#"{{
  "accountId" : "123456789012",
  "architecture" : "x86_64",
  "imageId" : "{image}",
  "instanceId" : "{instance}",
  "pendingTime" : "{pending}",
  "region" : "eu-central-1",
  "version" : "2017-09-30"
}}"#
    )
}

/// Base64 in lines of 64, without those of PEM around them.
pub(crate) fn encoded(der: &[u8]) -> String {
    let digits = BASE64.encode(der);
    let lines: Vec<&str> = digits.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n")
}

/// The same container with lengths that are not given in advance, wherever there may be some.
pub(crate) fn with_open_lengths(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = der;
    while let [tag, first, ..] = rest {
        let count = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
        let length = if count == 0 {
            usize::from(*first)
        } else {
            rest[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let contents = &rest[2 + count..2 + count + length];
        if tag & 0x20 == 0 {
            out.extend_from_slice(&rest[..2 + count + length]);
        } else {
            out.extend([*tag, 0x80]);
            out.extend(with_open_lengths(contents));
            out.extend([0, 0]);
        }
        rest = &rest[2 + count + length..];
    }
    out
}

fn attributes(content: &[u8], style: &Style) -> SetOfVec<Attribute> {
    let algorithm = if style.sha1 { &digest::SHA1_FOR_LEGACY_USE_ONLY } else { &digest::SHA256 };
    let hash = OctetString::new(digest::digest(algorithm, content).as_ref()).unwrap();
    let attribute = |oid: &str, value: Any| Attribute {
        oid: ObjectIdentifier::new_unwrap(oid),
        values: SetOfVec::try_from(vec![value]).unwrap(),
    };
    let mut all = vec![
        attribute("1.2.840.113549.1.9.3", Any::encode_from(&ObjectIdentifier::new_unwrap(style.content_type)).unwrap()),
        attribute("1.2.840.113549.1.9.4", Any::encode_from(&hash).unwrap()),
    ];
    if let Some(seconds) = style.signing_time {
        let time = UtcTime::from_unix_duration(std::time::Duration::from_secs(seconds)).unwrap();
        all.push(attribute("1.2.840.113549.1.9.5", Any::encode_from(&time).unwrap()));
    }
    SetOfVec::try_from(all).unwrap()
}

/// The system's randomness, in the form that the crates ask for.
struct Chance;

impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        ring::rand::SystemRandom::new().fill(out).unwrap();
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Chance {}

const DATA: &str = "1.2.840.113549.1.7.1";

/// What stands before a hash that RSA signs (RFC 8017 §9.2).
const SHA1_PREFIX: &[u8] = &[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
const SHA256_PREFIX: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
