//! Certificates of a listener: PEM files to a TLS configuration that is replaced as a whole on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use zeroize::Zeroizing;

use crate::config::{TlsFiles, TlsVersion};

/// Why a listener has no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// The certificate file holds none.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(PathBuf),
    /// The key file holds none that we can use.
    #[error("{path} holds no private key in PEM{hint}")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is there instead, where we know.
        hint: &'static str,
    },
    /// Certificate and key do not belong together, or cannot be used.
    #[error("certificate {cert} with key {key}: {error}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// The TLS configuration of one listener. New connections take the latest; those that exist keep theirs.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

impl Certificates {
    /// Reads the files for the first time.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = ArcSwap::from_pointee(server_config(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the files again. When they cannot be used, the configuration stays as it is.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(server_config(&self.files)?));
        Ok(())
    }

    /// The configuration for a new connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }
}

/// No certificate is asked of clients: rustls would fail the handshake of those that offer an old form of it (spec
/// `clients.md` §1.5).
fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let unusable = |error| TlsError::Unusable { cert: files.cert.clone(), key: files.key.clone(), error };
    let versions: Vec<_> = [(TlsVersion::V12, &TLS12), (TlsVersion::V13, &TLS13)]
        .into_iter()
        .filter(|(version, _)| (files.min..=files.max).contains(version))
        .map(|(_, version)| version)
        .collect();
    let certified = Arc::new(certified_key(files)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&versions)
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets let clients resume without any memory of ours; the cache serves those of TLS 1.2 that know no tickets.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    config.session_storage = ServerSessionMemoryCache::new(RESUMABLE_SESSIONS);
    Ok(config)
}

fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&files.cert)?;
    let key = read_key(&files.key)?;
    let unusable = |error| TlsError::Unusable { cert: files.cert.clone(), key: files.key.clone(), error };
    let certified = CertifiedKey::new(chain, ring::sign::any_supported_type(&key).map_err(unusable)?);
    match certified.keys_match() {
        Err(error @ rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(unusable(error)),
        // Certificates of version 1 cannot be compared with their key here, but can be served.
        Ok(()) | Err(_) => Ok(certified),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) | Err(_) => Err(TlsError::NoCertificate(path.to_owned())),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let is_encrypted = text.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        let hint = if is_encrypted { ": it is encrypted; store it decrypted, readable by the server's user only" } else { "" };
        TlsError::NoKey { path: path.to_owned(), hint }
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let text = std::fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })?;
    Ok(Zeroizing::new(text))
}

/// In the header of an encrypted key's PEM, in both of its forms.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Sessions of TLS 1.2 that can be resumed without a ticket: some clients of old libraries, about 200 bytes each.
const RESUMABLE_SESSIONS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn pair(folder: &tempfile::TempDir, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        TlsFiles::new(
            write(folder, &format!("{name}.crt"), &made.cert.pem()),
            write(folder, &format!("{name}.key"), &made.signing_key.serialize_pem()),
        )
    }

    #[test]
    fn a_pair_is_loaded_and_a_failed_reload_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = pair(&folder, "a");
        let certificates = Certificates::load(files.clone()).unwrap();
        let before = certificates.current();
        std::fs::write(&files.key, "gone").unwrap();
        assert!(matches!(certificates.reload(), Err(TlsError::NoKey { .. })));
        assert!(Arc::ptr_eq(&before, &certificates.current()));
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (pair(&folder, "a"), pair(&folder, "b"));
        let empty = write(&folder, "empty", "");
        let encrypted =
            write(&folder, "enc", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        let says = |cert: &Path, key: &Path| Certificates::load(TlsFiles::new(cert, key)).unwrap_err().to_string();
        assert!(says(&a.cert, &b.key).contains("b.key"), "{}", says(&a.cert, &b.key));
        assert!(says(&empty, &a.key).ends_with("empty holds no certificate in PEM"));
        assert!(says(&a.cert, &empty).ends_with("empty holds no private key in PEM"));
        assert!(says(&a.cert, &encrypted).contains("it is encrypted"));
        assert!(says(&folder.path().join("none"), &a.key).contains("cannot read"));
    }
}
