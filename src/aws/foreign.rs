//! What others may have hung on a user, and what keeps it from being deleted (`aws-secrets-engine.md` §21.5, 4).

use super::call::{PAGE, next};
use super::connect::Aws;
use super::error::AwsError;

/// A kind of thing that hangs on a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignKind {
    /// The password of the console.
    LoginProfile,
    /// A second factor.
    MfaDevice,
    /// A key of `CodeCommit`.
    SshKey,
    /// An X.509 certificate.
    SigningCertificate,
    /// A password for one service.
    ServiceCredential,
}

impl ForeignKind {
    /// All of them, the one that lets a person in first.
    pub const ALL: [Self; 5] =
        [Self::LoginProfile, Self::MfaDevice, Self::SshKey, Self::SigningCertificate, Self::ServiceCredential];
}

/// Something that hangs on a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreigner {
    /// What it is.
    pub kind: ForeignKind,
    /// Its id or serial number; empty for a login profile, of which there is at most one.
    pub id: String,
}

impl Aws {
    /// What of a kind hangs on a user. A login profile is always named: that there is none shows when it is removed.
    pub async fn foreigners(&self, user: &str, kind: ForeignKind) -> Result<Vec<Foreigner>, AwsError> {
        let ids = match kind {
            ForeignKind::LoginProfile => vec![String::new()],
            ForeignKind::MfaDevice => self.mfa_devices(user).await?,
            ForeignKind::SshKey => self.ssh_keys(user).await?,
            ForeignKind::SigningCertificate => self.signing_certificates(user).await?,
            ForeignKind::ServiceCredential => self.service_credentials(user).await?,
        };
        Ok(ids.into_iter().map(|id| Foreigner { kind, id }).collect())
    }

    /// Takes one of them away; a virtual MFA device is deleted too.
    pub async fn remove_foreigner(&self, user: &str, foreigner: &Foreigner) -> Result<(), AwsError> {
        let id = foreigner.id.as_str();
        match foreigner.kind {
            ForeignKind::LoginProfile => {
                let send = || self.iam().delete_login_profile().user_name(user).send();
                self.repeated("iam:DeleteLoginProfile", send).await.map(drop)
            }
            ForeignKind::MfaDevice => self.remove_mfa_device(user, id).await,
            ForeignKind::SshKey => {
                let send = || self.iam().delete_ssh_public_key().user_name(user).ssh_public_key_id(id).send();
                self.repeated("iam:DeleteSSHPublicKey", send).await.map(drop)
            }
            ForeignKind::SigningCertificate => {
                let send = || self.iam().delete_signing_certificate().user_name(user).certificate_id(id).send();
                self.repeated("iam:DeleteSigningCertificate", send).await.map(drop)
            }
            ForeignKind::ServiceCredential => {
                let call = || self.iam().delete_service_specific_credential().user_name(user);
                let send = || call().service_specific_credential_id(id).send();
                self.repeated("iam:DeleteServiceSpecificCredential", send).await.map(drop)
            }
        }
    }

    /// Deactivated first; a virtual one, whose serial number is an ARN of IAM, would otherwise be left over.
    async fn remove_mfa_device(&self, user: &str, serial: &str) -> Result<(), AwsError> {
        let send = || self.iam().deactivate_mfa_device().user_name(user).serial_number(serial).send();
        match self.repeated("iam:DeactivateMFADevice", send).await {
            Err(error) if !error.is_absent() => return Err(error),
            _ => {}
        }
        if !serial.contains(":mfa/") {
            return Ok(());
        }
        let send = || self.iam().delete_virtual_mfa_device().serial_number(serial).send();
        self.repeated("iam:DeleteVirtualMFADevice", send).await.map(drop)
    }

    async fn mfa_devices(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_mfa_devices().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.mfa_devices.into_iter().map(|device| device.serial_number).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_mfa_devices::ListMFADevicesError, _, _>("iam:ListMFADevices", page).await
    }

    async fn ssh_keys(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_ssh_public_keys().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.ssh_public_keys.unwrap_or_default().into_iter().map(|key| key.ssh_public_key_id).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_ssh_public_keys::ListSSHPublicKeysError, _, _>("iam:ListSSHPublicKeys", page)
            .await
    }

    async fn signing_certificates(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_signing_certificates().user_name(user).max_items(PAGE).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            Ok((page.certificates.into_iter().map(|certificate| certificate.certificate_id).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_signing_certificates::ListSigningCertificatesError, _, _>(
            "iam:ListSigningCertificates",
            page,
        )
        .await
    }

    async fn service_credentials(&self, user: &str) -> Result<Vec<String>, AwsError> {
        let page = async |marker: Option<String>| {
            let call = self.iam().list_service_specific_credentials().user_name(user).set_marker(marker);
            let page = Box::pin(call.send()).await?;
            let next = next(page.is_truncated, page.marker());
            let ids = page.service_specific_credentials.unwrap_or_default().into_iter();
            Ok((ids.map(|credential| credential.service_specific_credential_id).collect(), next))
        };
        self.pages::<_, aws_sdk_iam::operation::list_service_specific_credentials::ListServiceSpecificCredentialsError, _, _>(
            "iam:ListServiceSpecificCredentials",
            page,
        )
        .await
    }
}
