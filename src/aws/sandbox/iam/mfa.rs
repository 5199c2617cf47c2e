//! Virtual MFA devices and the codes they show (RFC 6238).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use super::super::call::{Call, Outcome};
use super::super::failure::Failure;
use super::super::state::{MfaDevice, State, fold};
use super::super::xml::Xml;
use super::names;
use crate::base::{Secret, Timestamp, random};

/// The reply has the seed and no picture of it.
pub(super) fn create_virtual(state: &mut State, call: &Call<'_>) -> Outcome {
    let name = call.form.required("VirtualMFADeviceName")?;
    names::name("virtualMFADeviceName", name, 128)?;
    let serial = format!("arn:aws:iam::{}:mfa{}{name}", state.account, names::path(call.form)?);
    if state.devices.contains_key(&serial) {
        return Err(Failure::taken("MFADevice entity at the same path and name already exists."));
    }
    if state.devices.len() >= DEVICES {
        return Err(Failure::quota("VirtualMFADevicesPerAccount", DEVICES));
    }
    let seed = random::bytes::<20>().to_vec();
    let mut xml = Xml::default();
    xml.group("VirtualMFADevice", |xml| {
        xml.leaf("SerialNumber", &serial);
        // The seed is text in base 32, and the field itself is in base 64.
        xml.leaf("Base32StringSeed", &BASE64.encode(base32(&seed)));
    });
    state.devices.insert(serial, MfaDevice { seed: Secret::new(seed), enabled: None });
    Ok(xml)
}

/// Needs two codes in a row that the device shows about now.
pub(super) fn enable(state: &mut State, call: &Call<'_>) -> Outcome {
    let (name, serial) = (call.form.required("UserName")?, call.form.required("SerialNumber")?);
    let codes = [call.form.required("AuthenticationCode1")?, call.form.required("AuthenticationCode2")?];
    if codes.iter().any(|code| code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit())) {
        let rule = r"Member must satisfy regular expression pattern: [\d]+";
        return Err(Failure::constraint("authenticationCode1", "", rule));
    }
    let user = state.user(name, call.now)?;
    if user.devices.len() >= PER_USER {
        return Err(Failure::quota("MFADevicesPerUser", PER_USER));
    }
    let device = state.devices.get(serial).ok_or_else(|| missing(serial))?;
    if device.enabled.is_some() {
        return Err(Failure::taken("MFA Device is already in use."));
    }
    let shows = |step: u64| codes.iter().zip(step..).all(|(code, step)| totp(device.seed.expose(), step) == **code);
    if !steps(call.now.time).any(shows) {
        return Err(Failure::new(403, "InvalidAuthenticationCode", "Authentication code for device is not valid."));
    }
    hand_over(state, call, name, serial)?;
    Ok(Xml::default())
}

/// Makes the device that of the user.
pub(in crate::aws::sandbox) fn hand_over(state: &mut State, call: &Call<'_>, name: &str, serial: &str) -> Result<(), Failure> {
    state.user_mut(name, call.now)?.devices.insert(serial.to_owned());
    if let Some(device) = state.devices.get_mut(serial) {
        device.enabled = Some((fold(name), call.now.time));
    }
    Ok(())
}

pub(super) fn deactivate(state: &mut State, call: &Call<'_>) -> Outcome {
    let serial = call.form.required("SerialNumber")?;
    let user = state.user_mut(call.user_name()?, call.now)?;
    if !user.devices.remove(serial) {
        return Err(missing(serial));
    }
    if let Some(device) = state.devices.get_mut(serial) {
        device.enabled = None;
    }
    Ok(Xml::default())
}

pub(super) fn delete_virtual(state: &mut State, call: &Call<'_>) -> Outcome {
    let serial = call.form.required("SerialNumber")?;
    let device = state.devices.get(serial).ok_or_else(|| missing(serial))?;
    if device.enabled.is_some() {
        return Err(Failure::conflict("MFA VirtualDevice in use. Must deactivate first."));
    }
    state.devices.remove(serial);
    Ok(Xml::default())
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Outcome {
    let page = call.page()?;
    let user = state.user(call.user_name()?, call.now)?;
    let enabled = |serial: &String| state.devices.get(serial).and_then(|device| device.enabled.as_ref()).map(|(_, since)| *since);
    let devices = user.devices.iter().map(|serial| (serial, (serial, enabled(serial))));
    let mut xml = Xml::default();
    page.write(&mut xml, "MFADevices", devices, |xml, (serial, since)| {
        xml.leaf("UserName", &user.name);
        xml.leaf("SerialNumber", serial);
        xml.leaf_if("EnableDate", since.map(Timestamp::rfc3339).as_deref());
    });
    Ok(xml)
}

/// Whether `code` is what the device shows about now.
pub(in crate::aws::sandbox) fn is_shown(device: &MfaDevice, code: &str, now: Timestamp) -> bool {
    steps(now).any(|step| totp(device.seed.expose(), step) == code)
}

/// The steps of half a minute about `now`: the one before, this one, the next.
fn steps(now: Timestamp) -> impl Iterator<Item = u64> {
    let step = now.seconds() / 30;
    step.saturating_sub(1)..=step + 1
}

/// The six digits of one step.
pub(in crate::aws::sandbox) fn totp(seed: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed);
    let mac = hmac::sign(&key, &step.to_be_bytes());
    let mac = mac.as_ref();
    let offset = mac.last().map_or(0, |last| usize::from(last & 0xf));
    let four = mac.iter().skip(offset).take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (four & 0x7fff_ffff) % 1_000_000)
}

fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1))).collect::<Vec<_>>();
    let letter =
        |five: &[usize]| LETTERS.get(five.iter().fold(0, |number, bit| number << 1 | bit)).map_or('A', |&c| char::from(c));
    // Seeds have 160 bits: 32 letters and nothing to fill up.
    bits.chunks(5).map(letter).collect()
}

fn missing(serial: &str) -> Failure {
    Failure::missing(format!("MFA device with serial number {serial} does not exist."))
}

/// Virtual devices of the account, one for each user.
const DEVICES: usize = 100_000;

/// Devices of one user (IAM User Guide, "IAM and AWS STS quotas").
const PER_USER: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, the last six digits.
        let seed = b"12345678901234567890";
        assert_eq!(totp(seed, 59 / 30), "287082");
        assert_eq!(totp(seed, 1_111_111_109 / 30), "081804");
        assert_eq!(totp(seed, 20_000_000_000 / 30), "353130");
    }

    #[test]
    fn seeds_are_in_base_32() {
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
