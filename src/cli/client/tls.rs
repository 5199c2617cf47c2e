//! Whom to trust over TLS, and what to show of ourselves.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use crate::cli::io::read_file;
use crate::cli::settings::Tls;

/// Builds the client side of TLS.
///
/// # Errors
/// A file that cannot be read, or holds no certificate or key.
pub(crate) fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier: Arc<dyn ServerCertVerifier> =
        if tls.skip_verify { Arc::new(Anyone { provider }) } else { Arc::new(trusted(tls, provider)?) };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(&read_file(cert)?).map_err(|error| format!("{cert}: {error}"))?;
            let key_der = PrivateKeyDer::from_pem_slice(&read_file(key)?).map_err(|_| format!("{key}: no private key found"))?;
            builder.with_client_auth_cert(chain, key_der).map_err(|error| error.to_string())?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn trusted(tls: &Tls, provider: Arc<CryptoProvider>) -> Result<Trusted, String> {
    let chosen = match (&tls.ca_cert, &tls.ca_bytes, &tls.ca_path) {
        (Some(file), _, _) => Some(from_file(file).map_err(|error| format!("Error loading CA File: {error}"))?),
        (None, Some(pem), _) => Some(certificates(pem.as_bytes()).map_err(|error| format!("Error loading CA: {error}"))?),
        (None, None, Some(folder)) => Some(from_folder(folder).map_err(|error| format!("Error loading CA Path: {error}"))?),
        (None, None, None) => None,
    };
    let mut roots = RootCertStore::empty();
    match &chosen {
        Some(anchors) => {
            roots.add_parsable_certificates(anchors.iter().cloned());
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate authority to trust was found; name one by -ca-cert".to_owned());
    }
    let by_chain =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|error| error.to_string())?;
    Ok(Trusted { by_chain, anchors: chosen.unwrap_or_default() })
}

fn from_file(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates(&read_file(path)?)
}

fn from_folder(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let entries = std::fs::read_dir(path).map_err(|error| format!("open {path}: {}", crate::cli::io::reason(&error)))?;
    let mut all = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        all.extend(certificates(&read_file(&entry.path().to_string_lossy())?).unwrap_or_default());
    }
    if all.is_empty() { Err(format!("{path}: no certificate found")) } else { Ok(all) }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).flatten().collect();
    if all.is_empty() { Err("no certificate found".to_owned()) } else { Ok(all) }
}

/// Trusts by chain, and also a server whose certificate is itself one of the configured anchors: a certificate that
/// signs itself is a common set-up, and the chain verifier refuses one marked as authority.
#[derive(Debug)]
struct Trusted {
    by_chain: Arc<WebPkiServerVerifier>,
    anchors: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = match self.by_chain.verify_server_cert(leaf, chain, name, ocsp, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        // The dates were found good before this is noticed; the name is still to be checked.
        if is_ca_as_leaf(&refused) && self.anchors.iter().any(|anchor| anchor == leaf) {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_chain.supported_verify_schemes()
    }
}

/// The verifier of `-tls-skip-verify`: any certificate, but the peer must hold its key.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_ca_as_leaf(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.to_string().contains("CaUsedAsEndEntity"),
        _ => false,
    }
}
