//! TLS of a dev server: an authority that is made at its start and forgotten at once, and one certificate of it (spec `cli.md`,
//! "server").

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING as SIGNING, EcdsaKeyPair, KeyPair as _};
use x509_cert::der::asn1::{Any, BitString, Ia5String, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Encode, Error as DerError};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate, Version};
use zeroize::Zeroizing;

use crate::base::{Timestamp, random};
use crate::cli::ServerFlags;
use crate::config::{Environment, TlsFiles};

/// The files, in a folder that goes with this unless it was named.
#[derive(Debug)]
pub(super) struct DevTls {
    folder: PathBuf,
    is_temporary: bool,
}

/// A key and who it belongs to.
struct Party {
    name: Name,
    pair: EcdsaKeyPair,
    /// As PKCS#8.
    document: Zeroizing<Vec<u8>>,
}

impl DevTls {
    /// Makes and writes them for the names the server is reached by.
    ///
    /// # Errors
    /// What is wrong with the folder or a name.
    pub(super) fn make(flags: &ServerFlags, environment: &Environment, now: Timestamp) -> Result<Self, String> {
        let listen = flags.dev_listen_address.as_deref().or(environment.dev_listen_address.as_deref());
        let names = names(listen, &flags.dev_tls_san)?;
        let made = match &flags.dev_tls_cert_dir {
            Some(folder) => Self { folder: PathBuf::from(folder), is_temporary: false },
            None => Self::temporary(environment)?,
        };
        let Contents { authority, certificate, key } = certificates(&names, now).map_err(|error| format!("-dev-tls: {error}"))?;
        made.write("vault-ca.pem", "CERTIFICATE", &authority)?;
        made.write("vault-cert.pem", "CERTIFICATE", &certificate)?;
        made.write("vault-key.pem", "PRIVATE KEY", &key)?;
        Ok(made)
    }

    /// For a listener.
    pub(super) fn files(&self) -> TlsFiles {
        TlsFiles::new(self.folder.join("vault-cert.pem"), self.folder.join("vault-key.pem"))
    }

    /// The authority's certificate, by which clients trust the server.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("vault-ca.pem")
    }

    fn temporary(environment: &Environment) -> Result<Self, String> {
        let parent = environment.temporary.as_deref().unwrap_or("/tmp");
        let folder = Path::new(parent).join(format!("vault-tls{}", random::base62(12)));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| unwritten(&folder, &error))?;
        Ok(Self { folder, is_temporary: true })
    }

    /// Writes PEM that its owner alone can read.
    fn write(&self, file: &str, label: &str, der: &[u8]) -> Result<(), String> {
        let path = self.folder.join(file);
        let text = pem(label, der);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        opened.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(|error| unwritten(&path, &error))
    }
}

impl Drop for DevTls {
    fn drop(&mut self) {
        if self.is_temporary {
            // At the end of the process; what cannot be removed holds nothing that counts any more.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Names and addresses of the certificate.
fn names(listen: Option<&str>, further: &[String]) -> Result<Vec<GeneralName>, String> {
    let bad = |name: &str| format!("-dev-tls-san: {name:?} is neither a name nor an address");
    let host = listen.and_then(|listen| listen.rsplit_once(':')).map_or("", |(host, _)| host.trim_matches(['[', ']']));
    let all = ["localhost", "127.0.0.1", "::1", host].into_iter().chain(further.iter().map(String::as_str));
    let mut names: Vec<GeneralName> = Vec::new();
    for name in all.filter(|name| !name.is_empty()) {
        let parsed = match name.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => OctetString::new(address.octets()).map(GeneralName::IpAddress),
            Ok(IpAddr::V6(address)) => OctetString::new(address.octets()).map(GeneralName::IpAddress),
            Err(_) => Ia5String::new(name).map(GeneralName::DnsName),
        };
        let parsed = parsed.map_err(|_| bad(name))?;
        if !names.contains(&parsed) {
            names.push(parsed);
        }
    }
    Ok(names)
}

/// What the files hold, in DER.
struct Contents {
    authority: Vec<u8>,
    /// Of the authority.
    certificate: Vec<u8>,
    /// The certificate's.
    key: Zeroizing<Vec<u8>>,
}

fn certificates(names: &[GeneralName], now: Timestamp) -> Result<Contents, String> {
    let told = |error: DerError| format!("no certificate can be made: {error}");
    let (authority, server) = (Party::new("CN=Leasehold dev server authority")?, Party::new("CN=Leasehold dev server")?);
    let of_authority = [
        extension(&BasicConstraints { ca: true, path_len_constraint: Some(0) }, true),
        extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign), true),
        extension(&SubjectKeyIdentifier(authority.id().map_err(told)?), false),
    ];
    let issuer = AuthorityKeyIdentifier { key_identifier: Some(authority.id().map_err(told)?), ..Default::default() };
    let of_server = [
        extension(&BasicConstraints { ca: false, path_len_constraint: None }, true),
        extension(&KeyUsage(KeyUsages::DigitalSignature.into()), true),
        extension(&ExtendedKeyUsage(vec![SERVER_AUTH]), false),
        extension(&SubjectKeyIdentifier(server.id().map_err(told)?), false),
        extension(&issuer, false),
        extension(&SubjectAltName(names.to_vec()), false),
    ];
    let [of_authority, of_server] =
        [of_authority.to_vec(), of_server.to_vec()].map(|all| all.into_iter().collect::<Result<Vec<_>, _>>().map_err(told));
    Ok(Contents {
        authority: authority.sign(&authority, of_authority?, now)?,
        certificate: authority.sign(&server, of_server?, now)?,
        key: server.document,
    })
}

impl Party {
    fn new(name: &str) -> Result<Self, String> {
        let chance = SystemRandom::new();
        let unmade = |_| "no key can be made".to_owned();
        let document = EcdsaKeyPair::generate_pkcs8(&SIGNING, &chance).map_err(unmade)?;
        let pair = EcdsaKeyPair::from_pkcs8(&SIGNING, document.as_ref(), &chance).map_err(|error| error.to_string())?;
        let name = name.parse().map_err(|error: DerError| error.to_string())?;
        Ok(Self { name, pair, document: Zeroizing::new(document.as_ref().to_vec()) })
    }

    /// What names its key.
    fn id(&self) -> Result<OctetString, DerError> {
        let hash = digest::digest(&digest::SHA256, self.pair.public_key().as_ref());
        OctetString::new(hash.as_ref().get(..20).unwrap_or_default())
    }

    /// A certificate of another party, or its own, in DER.
    fn sign(&self, subject: &Self, extensions: Vec<Extension>, now: Timestamp) -> Result<Vec<u8>, String> {
        let made = || -> Result<(TbsCertificate, Vec<u8>), DerError> {
            let tbs = TbsCertificate {
                version: Version::V3,
                serial_number: serial()?,
                signature: AlgorithmIdentifierOwned { oid: ECDSA_SHA256, parameters: None },
                issuer: self.name.clone(),
                validity: Validity { not_before: time(now, 0)?, not_after: time(now, LIFE)? },
                subject: subject.name.clone(),
                subject_public_key_info: SubjectPublicKeyInfoOwned {
                    algorithm: AlgorithmIdentifierOwned { oid: EC_PUBLIC_KEY, parameters: Some(Any::encode_from(&P256)?) },
                    subject_public_key: BitString::from_bytes(subject.pair.public_key().as_ref())?,
                },
                issuer_unique_id: None,
                subject_unique_id: None,
                extensions: Some(extensions),
            };
            let der = tbs.to_der()?;
            Ok((tbs, der))
        };
        let (tbs_certificate, der) = made().map_err(|error| error.to_string())?;
        let signature = self.pair.sign(&SystemRandom::new(), &der).map_err(|_| "a certificate cannot be signed".to_owned())?;
        let signature_algorithm = tbs_certificate.signature.clone();
        let signature = BitString::from_bytes(signature.as_ref()).map_err(|error| error.to_string())?;
        let certificate = Certificate { tbs_certificate, signature_algorithm, signature };
        certificate.to_der().map_err(|error| error.to_string())
    }
}

fn extension<E: AssociatedOid + Encode>(value: &E, critical: bool) -> Result<Extension, DerError> {
    Ok(Extension { extn_id: E::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// A positive number by chance.
fn serial() -> Result<SerialNumber, DerError> {
    let mut number = random::bytes::<16>();
    if let Some(first) = number.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    SerialNumber::new(&number)
}

/// So many seconds after a moment before now: clocks of clients may be slow.
fn time(now: Timestamp, later: u64) -> Result<Time, DerError> {
    let seconds = now.seconds().saturating_sub(SLOW).saturating_add(later);
    Ok(Time::UtcTime(UtcTime::from_unix_duration(Duration::from_secs(seconds))?))
}

fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let digits = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for line in digits.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

fn unwritten(path: &Path, error: &std::io::Error) -> String {
    format!("-dev-tls: {}: {error}", path.display())
}

/// A year, in seconds: no dev server lives longer.
const LIFE: u64 = 365 * 24 * 3600;

/// Seconds by which the clock of a client may be behind.
const SLOW: u64 = 30;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::server::ParsedCertificate;
    use rustls::{RootCertStore, client};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// Whether a client that trusts the authority believes the certificate to be of a name.
    fn is_believed(ca: &[u8], certificate: &[u8], name: &str, at: u64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca.to_vec())).unwrap();
        let (certificate, now) =
            (CertificateDer::from(certificate.to_vec()), UnixTime::since_unix_epoch(Duration::from_secs(at)));
        let parsed = ParsedCertificate::try_from(&certificate).unwrap();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms.all).is_ok()
            && client::verify_server_name(&parsed, &ServerName::try_from(name.to_owned()).unwrap()).is_ok()
    }

    #[test]
    fn clients_that_trust_the_authority_believe_the_names_and_no_others_for_a_year() {
        let names = names(Some("192.0.2.7:8200"), &["vault.test".to_owned(), "2001:db8::1".to_owned()]).unwrap();
        let Contents { authority: ca, certificate, .. } = certificates(&names, NOW).unwrap();
        let other = certificates(&names, NOW).unwrap().authority;
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7", "vault.test", "2001:db8::1"] {
            assert!(is_believed(&ca, &certificate, name, NOW.seconds()), "{name}");
            assert!(!is_believed(&other, &certificate, name, NOW.seconds()), "{name}");
        }
        assert!(!is_believed(&ca, &certificate, "other.test", NOW.seconds()));
        assert!(!is_believed(&ca, &certificate, "localhost", NOW.seconds() + LIFE));
        assert!(!is_believed(&ca, &certificate, "localhost", NOW.seconds() - SLOW - 1));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let text = "-dev-tls-san: \"ü\" is neither a name nor an address";
        assert_eq!(names(None, &["ü".to_owned()]).unwrap_err(), text);
    }

    #[test]
    fn a_temporary_folder_goes_with_the_server_and_a_named_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let environment = Environment { temporary: Some(parent.path().display().to_string()), ..Environment::default() };
        let files = || parent.path().read_dir().unwrap().count();
        let made = DevTls::make(&ServerFlags::default(), &environment, NOW).unwrap();
        assert_eq!(files(), 1);
        assert!(made.ca().exists() && made.files().cert.exists() && made.files().key.exists());
        drop(made);
        assert_eq!(files(), 0);
        let named = ServerFlags { dev_tls_cert_dir: Some(parent.path().display().to_string()), ..ServerFlags::default() };
        drop(DevTls::make(&named, &environment, NOW).unwrap());
        assert_eq!(files(), 3);
    }
}
