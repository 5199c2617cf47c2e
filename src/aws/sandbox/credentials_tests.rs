//! What else hangs on users, by the official client: passwords, MFA devices, certificates, SSH keys.

use aws_sdk_iam::types::ServiceSpecificCredential;

use super::iam::mfa::totp;
use super::world_tests::{START, World, refusal};
use crate::base::Clock as _;

const NAME: &str = "app";
const SERVICE: &str = "codecommit.amazonaws.com";

async fn world() -> World {
    let world = World::new().await;
    world.iam().create_user().user_name(NAME).send().await.unwrap();
    world
}

async fn deleting(world: &World) -> String {
    refusal(world.iam().delete_user().user_name(NAME).send()).await
}

#[tokio::test]
async fn a_console_password_keeps_a_user() {
    let world = world().await;
    let iam = world.iam();
    assert_eq!(refusal(iam.get_login_profile().user_name(NAME).send()).await, "NoSuchEntity");
    assert_eq!(refusal(iam.delete_login_profile().user_name(NAME).send()).await, "NoSuchEntity");
    iam.create_login_profile().user_name(NAME).password("correct horse").send().await.unwrap();
    assert_eq!(refusal(iam.create_login_profile().user_name(NAME).password("correct horse").send()).await, "EntityAlreadyExists");
    iam.get_login_profile().user_name(NAME).send().await.unwrap();
    assert!(world.sandbox.user(NAME).unwrap().has_login);
    assert_eq!(deleting(&world).await, "DeleteConflict");
    iam.delete_login_profile().user_name(NAME).send().await.unwrap();
    iam.delete_user().user_name(NAME).send().await.unwrap();
}

#[tokio::test]
async fn a_virtual_device_is_enabled_by_two_codes_in_a_row() {
    let world = world().await;
    let iam = world.iam();
    let created = iam.create_virtual_mfa_device().virtual_mfa_device_name("phone").send().await.unwrap();
    let device = created.virtual_mfa_device.unwrap();
    let seed = base32(&device.base32_string_seed.unwrap().into_inner());
    let (serial, step) = (device.serial_number, world.clock.now().seconds() / 30);
    let enable = |first: u64, second: u64| {
        let codes = [totp(&seed, first), totp(&seed, second)];
        let call = iam.enable_mfa_device().user_name(NAME).serial_number(&serial);
        call.authentication_code1(&codes[0]).authentication_code2(&codes[1]).send()
    };
    assert_eq!(refusal(enable(step + 10, step + 11)).await, "InvalidAuthenticationCode");
    enable(step, step + 1).await.unwrap();
    assert_eq!(refusal(enable(step, step + 1)).await, "EntityAlreadyExists");
    let devices = iam.list_mfa_devices().user_name(NAME).send().await.unwrap().mfa_devices;
    assert_eq!(devices[0].serial_number, "arn:aws:iam::123456789012:mfa/phone");
    assert_eq!(devices[0].enable_date.secs(), i64::try_from(START.seconds()).unwrap());
}

#[tokio::test]
async fn a_device_is_deactivated_and_then_deleted() {
    let world = world().await;
    let iam = world.iam();
    let serial = world.sandbox.give_mfa_device(NAME, "phone").unwrap();
    assert_eq!(deleting(&world).await, "DeleteConflict");
    assert_eq!(refusal(iam.delete_virtual_mfa_device().serial_number(&serial).send()).await, "DeleteConflict");
    iam.deactivate_mfa_device().user_name(NAME).serial_number(&serial).send().await.unwrap();
    assert_eq!(refusal(iam.deactivate_mfa_device().user_name(NAME).serial_number(&serial).send()).await, "NoSuchEntity");
    iam.delete_virtual_mfa_device().serial_number(&serial).send().await.unwrap();
    iam.delete_user().user_name(NAME).send().await.unwrap();
}

#[tokio::test]
async fn ssh_keys_keep_a_user_until_they_are_deleted() {
    let world = world().await;
    let iam = world.iam();
    let upload = |body: &str| iam.upload_ssh_public_key().user_name(NAME).ssh_public_key_body(body).send();
    assert_eq!(refusal(upload("ssh-rsa AAAA")).await, "InvalidPublicKey");
    let body = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== me@here";
    let key = upload(body).await.unwrap().ssh_public_key.unwrap();
    assert_eq!(refusal(upload(body)).await, "DuplicateSSHPublicKey");
    let listed = iam.list_ssh_public_keys().user_name(NAME).send().await.unwrap();
    assert_eq!(listed.ssh_public_keys()[0].ssh_public_key_id, key.ssh_public_key_id);
    assert_eq!(deleting(&world).await, "DeleteConflict");
    iam.delete_ssh_public_key().user_name(NAME).ssh_public_key_id(key.ssh_public_key_id).send().await.unwrap();
    iam.delete_user().user_name(NAME).send().await.unwrap();
}

#[tokio::test]
async fn signing_certificates_keep_a_user_until_they_are_deleted() {
    let world = world().await;
    let iam = world.iam();
    let upload = |body: &str| iam.upload_signing_certificate().user_name(NAME).certificate_body(body).send();
    assert_eq!(refusal(upload("no certificate")).await, "MalformedCertificate");
    let body = "-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n";
    let id = upload(body).await.unwrap().certificate.unwrap().certificate_id;
    let listed = iam.list_signing_certificates().user_name(NAME).send().await.unwrap().certificates;
    assert_eq!((listed[0].certificate_id.as_str(), listed[0].certificate_body.as_str()), (id.as_str(), body));
    assert_eq!(deleting(&world).await, "DeleteConflict");
    iam.delete_signing_certificate().user_name(NAME).certificate_id(id).send().await.unwrap();
    iam.delete_user().user_name(NAME).send().await.unwrap();
}

#[tokio::test]
async fn passwords_for_services_keep_a_user_until_they_are_deleted() {
    let world = world().await;
    let iam = world.iam();
    let create = |service: &str| iam.create_service_specific_credential().user_name(NAME).service_name(service).send();
    assert_eq!(refusal(create("none.amazonaws.com")).await, "NotSupportedService");
    let made: ServiceSpecificCredential = create(SERVICE).await.unwrap().service_specific_credential.unwrap();
    assert_eq!(made.service_user_name, "app-at-123456789012");
    create(SERVICE).await.unwrap();
    assert_eq!(refusal(create(SERVICE)).await, "LimitExceeded");
    let listed = iam.list_service_specific_credentials().user_name(NAME).send().await.unwrap();
    assert_eq!(listed.service_specific_credentials().len(), 2);
    assert_eq!(deleting(&world).await, "DeleteConflict");
    for credential in listed.service_specific_credentials() {
        let delete = iam.delete_service_specific_credential().user_name(NAME);
        delete.service_specific_credential_id(&credential.service_specific_credential_id).send().await.unwrap();
    }
    iam.delete_user().user_name(NAME).send().await.unwrap();
}

/// The bytes of text in base 32.
fn base32(text: &[u8]) -> Vec<u8> {
    let value = |letter: &u8| if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
    let bits: Vec<u8> = text.iter().map(value).flat_map(|five| (0..5).rev().map(move |bit| five >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |number, bit| number << 1 | bit)).collect()
}
