//! What else may hang on a user: console password, signing certificates, SSH keys, passwords for services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest;

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::state::{Certificate, LoginProfile, ServiceCredential, SshKey, State, User, new_id};
use super::super::xml::Xml;
use crate::base::random;

pub(super) fn create_login(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.user_name()?.to_owned();
    let password = call.form.required("Password")?;
    if !(8..=128).contains(&password.chars().count()) {
        let message = "Password does not conform to the account password policy.";
        return Err(Failure::new(400, "PasswordPolicyViolation", message));
    }
    let user = state.user_mut(&name, call.now)?;
    if user.login.is_some() {
        return Err(Failure::taken(format!("Login Profile for user {name} already exists.")));
    }
    let reset_required = call.form.get("PasswordResetRequired") == Some("true");
    let login = user.login.insert(LoginProfile { created: call.now.time, reset_required });
    Ok(login_profile(&name, login))
}

pub(super) fn get_login(state: &State, call: &Call<'_>) -> Outcome {
    let name = call.user_name()?;
    let login = state.user(name, call.now)?.login.as_ref();
    login.map(|login| login_profile(name, login)).ok_or_else(|| missing_login(name))
}

pub(super) fn delete_login(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.user_name()?;
    let login = state.user_mut(name, call.now)?.login.take();
    login.map(|_| Xml::default()).ok_or_else(|| missing_login(name))
}

fn login_profile(name: &str, login: &LoginProfile) -> Xml {
    let mut xml = Xml::default();
    xml.group("LoginProfile", |xml| {
        xml.leaf("UserName", name);
        xml.leaf("CreateDate", &login.created.rfc3339());
        xml.leaf("PasswordResetRequired", if login.reset_required { "true" } else { "false" });
    });
    xml
}

fn missing_login(name: &str) -> Failure {
    Failure::missing(format!("Login Profile for User {name} cannot be found."))
}

/// A certificate in PEM; whether it is one of X.509 is not looked at.
pub(super) fn upload_certificate(state: &mut State, call: &Call<'_>) -> Outcome {
    let body = call.form.required("CertificateBody")?;
    let user = state.user_mut(call.user_name()?, call.now)?;
    // A certificate is a sequence in DER.
    if body.len() > 16_384 || pem(body).is_none_or(|der| der.first() != Some(&0x30)) {
        return Err(Failure::new(400, "MalformedCertificate", "Unable to parse certificate."));
    }
    if user.certificates.values().any(|other| other.body == body) {
        return Err(Failure::new(409, "DuplicateCertificate", "The certificate is already in use."));
    }
    if user.certificates.len() >= CERTIFICATES {
        return Err(Failure::quota("CertificatesPerUser", CERTIFICATES));
    }
    let id = new_id("", 24);
    let certificate = Certificate { body: body.to_owned(), uploaded: call.now.time };
    let mut xml = Xml::default();
    xml.group("Certificate", |xml| write_certificate(xml, &user.name, &id, &certificate));
    user.certificates.insert(id, certificate);
    Ok(xml)
}

pub(super) fn list_certificates(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let user = state.user(call.user_name()?, call.now)?;
    let mut xml = Xml::default();
    let certificates = page.of(&user.certificates).map(|(id, certificate)| (id, (id, certificate)));
    page.write(&mut xml, "Certificates", certificates, |xml, (id, certificate)| {
        write_certificate(xml, &user.name, id, certificate);
    });
    Ok(xml)
}

pub(super) fn delete_certificate(state: &mut State, call: &Call<'_>) -> Outcome {
    let id = call.form.required("CertificateId")?;
    let removed = state.user_mut(call.user_name()?, call.now)?.certificates.remove(id);
    removed.map(|_| Xml::default()).ok_or_else(|| Failure::missing(format!("The Certificate with id {id} cannot be found.")))
}

fn write_certificate(xml: &mut Xml, user: &str, id: &str, certificate: &Certificate) {
    xml.leaf("UserName", user);
    xml.leaf("CertificateId", id);
    xml.leaf("CertificateBody", &certificate.body);
    xml.leaf("Status", "Active");
    xml.leaf("UploadDate", &certificate.uploaded.rfc3339());
}

/// A key of `ssh-rsa`, as IAM asks; its fingerprint is the head of a SHA-256, for nothing here has MD5.
pub(super) fn upload_ssh_key(state: &mut State, call: &Call<'_>) -> Outcome {
    let (name, body) = (call.form.required("UserName")?, call.form.required("SSHPublicKeyBody")?);
    let user = state.user_mut(name, call.now)?;
    let key = ssh_rsa(body)
        .ok_or_else(|| Failure::new(400, "InvalidPublicKey", "The public key is malformed or otherwise invalid."))?;
    let hash = digest::digest(&digest::SHA256, &key);
    let fingerprint = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    if user.ssh_keys.values().any(|other| other.fingerprint == fingerprint) {
        return Err(Failure::new(400, "DuplicateSSHPublicKey", "The SSH public key is already associated with the user."));
    }
    if user.ssh_keys.len() >= SSH_KEYS {
        return Err(Failure::quota("SSHPublicKeysPerUser", SSH_KEYS));
    }
    let id = new_id("APKA", 16);
    let key = SshKey { body: body.to_owned(), fingerprint, uploaded: call.now.time };
    let mut xml = Xml::default();
    xml.group("SSHPublicKey", |xml| {
        xml.leaf("Fingerprint", &key.fingerprint);
        xml.leaf("SSHPublicKeyBody", &key.body);
        write_ssh_key(xml, name, &id, &key);
    });
    user.ssh_keys.insert(id, key);
    Ok(xml)
}

pub(super) fn list_ssh_keys(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let user = state.user(call.user_name()?, call.now)?;
    let mut xml = Xml::default();
    let keys = page.of(&user.ssh_keys).map(|(id, key)| (id, (id, key)));
    page.write(&mut xml, "SSHPublicKeys", keys, |xml, (id, key)| write_ssh_key(xml, &user.name, id, key));
    Ok(xml)
}

pub(super) fn delete_ssh_key(state: &mut State, call: &Call<'_>) -> Outcome {
    let (name, id) = (call.form.required("UserName")?, call.form.required("SSHPublicKeyId")?);
    let removed = state.user_mut(name, call.now)?.ssh_keys.remove(id);
    removed.map(|_| Xml::default()).ok_or_else(|| Failure::missing(format!("The Public Key with id {id} cannot be found.")))
}

fn write_ssh_key(xml: &mut Xml, user: &str, id: &str, key: &SshKey) {
    xml.leaf("UserName", user);
    xml.leaf("SSHPublicKeyId", id);
    xml.leaf("Status", "Active");
    xml.leaf("UploadDate", &key.uploaded.rfc3339());
}

pub(super) fn create_service_credential(state: &mut State, call: &Call<'_>) -> Outcome {
    let (name, service) = (call.form.required("UserName")?, call.form.required("ServiceName")?);
    let account = state.account;
    let user = state.user_mut(name, call.now)?;
    if !SERVICES.contains(&service) {
        let message = format!("No such service {service} is supported for Service Specific Credentials.");
        return Err(Failure::new(404, "NotSupportedService", message));
    }
    let same = user.service_credentials.values().filter(|credential| credential.service == service).count();
    if same >= PER_SERVICE {
        return Err(Failure::quota("ServiceSpecificCredentialsPerUser", PER_SERVICE));
    }
    let number = if same == 0 { String::new() } else { format!("+{same}") };
    let user_name = format!("{name}{number}-at-{account}");
    let credential = ServiceCredential { service: service.to_owned(), user_name, created: call.now.time };
    let id = new_id("ACCA", 17);
    let mut xml = Xml::default();
    xml.group("ServiceSpecificCredential", |xml| {
        xml.leaf("ServicePassword", &random::base62(44));
        write_service_credential(xml, user, &id, &credential);
    });
    user.service_credentials.insert(id, credential);
    Ok(xml)
}

pub(super) fn list_service_credentials(state: &State, call: &Call<'_>) -> Outcome {
    let user = state.user(call.user_name()?, call.now)?;
    let service = call.form.get("ServiceName");
    let fits = |credential: &ServiceCredential| service.is_none_or(|service| credential.service == service);
    let mut xml = Xml::default();
    let credentials = user.service_credentials.iter().filter(|(_, credential)| fits(credential));
    xml.list("ServiceSpecificCredentials", credentials, |xml, (id, credential)| {
        write_service_credential(xml, user, id, credential);
    });
    Ok(xml)
}

pub(super) fn delete_service_credential(state: &mut State, call: &Call<'_>) -> Outcome {
    let id = call.form.required("ServiceSpecificCredentialId")?;
    let removed = state.user_mut(call.user_name()?, call.now)?.service_credentials.remove(id);
    let missing = || Failure::missing(format!("Service specific credential {id} not found."));
    removed.map(|_| Xml::default()).ok_or_else(missing)
}

fn write_service_credential(xml: &mut Xml, user: &User, id: &str, credential: &ServiceCredential) {
    xml.leaf("UserName", &user.name);
    xml.leaf("ServiceSpecificCredentialId", id);
    xml.leaf("ServiceUserName", &credential.user_name);
    xml.leaf("ServiceName", &credential.service);
    xml.leaf("Status", "Active");
    xml.leaf("CreateDate", &credential.created.rfc3339());
}

/// The bytes within a PEM certificate.
fn pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (inside, _) = rest.split_once("-----END CERTIFICATE-----")?;
    BASE64.decode(inside.split_whitespace().collect::<String>()).ok()
}

/// The bytes of a key in the form of `OpenSSH`; they begin with their kind, its length before it.
fn ssh_rsa(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    if words.next()? != "ssh-rsa" || text.len() > 16_384 {
        return None;
    }
    BASE64.decode(words.next()?).ok().filter(|key| key.starts_with(b"\0\0\0\x07ssh-rsa"))
}

/// Services that have passwords of their own.
const SERVICES: [&str; 3] = ["codecommit.amazonaws.com", "cassandra.amazonaws.com", "bedrock.amazonaws.com"];

/// Passwords of one user for one service.
const PER_SERVICE: usize = 2;

/// Signing certificates of one user (IAM User Guide, "IAM and AWS STS quotas").
const CERTIFICATES: usize = 2;

/// SSH keys of one user (IAM User Guide, "IAM and AWS STS quotas").
const SSH_KEYS: usize = 5;
