//! `operator generate-root`: a new root token by the holders of the key shares.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use super::{NO_PGP, is, key_share, refuse, text};
use crate::base::random;
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome, Stop};

const INIT: Flag = Flag::switch("init", "Start.");
const CANCEL: Flag = Flag::switch("cancel", "Forget it.");
const STATUS: Flag = Flag::switch("status", "Show how far it is.");
const NONCE: Flag = Flag::text("nonce", "NONCE", "Nonce of the operation the share is for.");
const OTP: Flag = Flag::text("otp", "TEXT", "One-time password that hides the token.");
const DECODE: Flag = Flag::text("decode", "TEXT|-", "Show the token hidden in this text; needs -otp.");
const GENERATE_OTP: Flag = Flag::switch("generate-otp", "Make a one-time password.");
const PGP_KEY: Flag = Flag::text("pgp-key", "KEY", "Not supported.");
const DR_TOKEN: Flag = Flag::switch("dr-token", "Not supported.");
const RECOVERY_TOKEN: Flag = Flag::switch("recovery-token", "Not supported.");

pub(super) const GENERATE_ROOT: Command = Command::new(
    "generate-root",
    "[flags] [KEY | -]",
    "Makes a new root token, by the holders of the key shares.",
    generate_root,
)
.flags(&[INIT, CANCEL, STATUS, NONCE, OTP, DECODE, GENERATE_OTP, PGP_KEY, DR_TOKEN, RECOVERY_TOKEN])
.formats()
.args(Args::Range(0, 1));

fn generate_root(cx: &mut Cx<'_>) -> Outcome {
    refuse(cx, &[PGP_KEY], NO_PGP)?;
    refuse(cx, &[DR_TOKEN, RECOVERY_TOKEN], "there is no such mode of the server")?;
    if cx.flags.is(&GENERATE_OTP) {
        let otp = random::base62(OTP_LENGTH);
        let doc = Doc::object([("otp", json!(otp)), ("otp_length", json!(OTP_LENGTH))]);
        return cx.show_doc(&doc, || otp);
    }
    if let Some(encoded) = cx.flags.text(&DECODE).map(str::to_owned) {
        return decode(cx, &encoded);
    }
    if cx.flags.is(&CANCEL) {
        cx.send(&Request::delete(ATTEMPT).anonymous().unwrapped(), "Error canceling root token generation")?;
        return cx.say("Success! Root token generation canceled (if it was started)").map(|()| OK);
    }
    if cx.flags.is(&INIT) {
        return init(cx);
    }
    if cx.flags.is(&STATUS) {
        let status = cx.send_bare(&Request::get(ATTEMPT).anonymous().unwrapped(), "Error reading root generation status")?;
        return show(cx, &status);
    }
    give(cx)
}

fn init(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.flags.text(&OTP).map_or_else(|| json!({}), |otp| json!({ "otp": otp }));
    let status = cx.send_bare(&Request::put(ATTEMPT, body).anonymous().unwrapped(), "Error initializing root generation")?;
    if cx.is_table() && !text(&status, "otp").is_empty() {
        cx.note(&table::fold(
            "A one-time password was made. It is shown this once, and the new token can only be decoded with it.\n",
            0,
        ));
    }
    show(cx, &status)
}

fn give(cx: &mut Cx<'_>) -> Outcome {
    let status = cx.send_bare(&Request::get(ATTEMPT).anonymous().unwrapped(), "Error reading root generation status")?;
    if !is(&status, "started") {
        return Err(Stop::Local(format!(
            "No root generation is in progress. Start one by \"vault operator generate-root -init\", with a one-time password of {} \
             characters by -otp, or without to have one made.",
            text(&status, "otp_length")
        )));
    }
    let given = cx.flags.text(&NONCE).map(str::to_owned);
    if !cx.arg(0).is_empty() && given.is_none() {
        return Err(Stop::local("Missing nonce value: specify it via the -nonce flag"));
    }
    let at_server = text(&status, "nonce");
    let key = key_share(cx, Some(&format!("Operation nonce: {at_server}")))?;
    let body = json!({ "key": key, "nonce": given.unwrap_or(at_server) });
    let request = Request::put("sys/generate-root/update", body).anonymous().unwrapped();
    let status = cx.send_bare(&request, "Error posting unseal key")?;
    show(cx, &status)
}

fn show(cx: &mut Cx<'_>, status: &Value) -> Outcome {
    cx.show_doc(&Doc::ordered(status, FIELDS), || {
        let mut rows = vec![
            ("Nonce", text(status, "nonce")),
            ("Started", text(status, "started")),
            ("Progress", format!("{}/{}", text(status, "progress"), text(status, "required"))),
            ("Complete", text(status, "complete")),
        ];
        let encoded =
            [text(status, "encoded_token"), text(status, "encoded_root_token")].into_iter().find(|text| !text.is_empty());
        let otp = text(status, "otp");
        if let Some(encoded) = encoded {
            rows.push(("Encoded Token", encoded));
        } else {
            if !otp.is_empty() {
                rows.push(("OTP", otp));
            }
            rows.push(("OTP Length", text(status, "otp_length")));
        }
        let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
        table::columns(&rows, 4)
    })
}

fn decode(cx: &mut Cx<'_>, encoded: &str) -> Outcome {
    let Some(otp) = cx.flags.text(&OTP).map(str::to_owned).filter(|otp| !otp.is_empty()) else {
        return Err(Stop::local("Missing otp: use -otp to supply it"));
    };
    let encoded = if encoded == "-" { cx.stdin_line().map_err(Stop::Local)? } else { encoded.trim().to_owned() };
    let token = reveal(&encoded, &otp).map_err(|error| Stop::Local(format!("Error decoding root token: {error}")))?;
    let doc = Doc::object([("token", json!(token))]);
    cx.show_doc(&doc, || token)
}

/// The token hidden by the one-time password.
fn reveal(encoded: &str, otp: &str) -> Result<String, String> {
    let bytes = BASE64.decode(encoded).map_err(|error| format!("not base64: {error}"))?;
    if bytes.len() != otp.len() {
        return Err(format!("the token has {} bytes, the one-time password {}", bytes.len(), otp.len()));
    }
    let plain: Vec<u8> = bytes.iter().zip(otp.as_bytes()).map(|(left, right)| left ^ right).collect();
    String::from_utf8(plain).map_err(|_| "the one-time password is not the one it was hidden by".to_owned())
}

/// With or without padding: servers differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const ATTEMPT: &str = "sys/generate-root/attempt";
/// Characters of a root token: its prefix and 24 more (spec `clients.md` §1.3).
const OTP_LENGTH: usize = 28;
const FIELDS: &[&str] = &[
    "nonce",
    "started",
    "progress",
    "required",
    "complete",
    "encoded_token",
    "encoded_root_token",
    "pgp_fingerprint",
    "otp",
    "otp_length",
];

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    #[test]
    fn the_token_is_the_text_without_the_password() {
        let (token, otp) = ("hvs.0123456789abcdefghijklmn", "ABCDEFGHIJKLMNOPQRSTUVWXYZab");
        let hidden: Vec<u8> = token.bytes().zip(otp.bytes()).map(|(left, right)| left ^ right).collect();
        let encoded = STANDARD_NO_PAD.encode(hidden);
        assert_eq!(reveal(&encoded, otp).unwrap(), token);
        assert_eq!(reveal(&format!("{encoded}=="), otp).unwrap(), token);
        assert!(reveal(&encoded, "short").is_err());
        assert!(reveal("!", otp).is_err());
    }
}
