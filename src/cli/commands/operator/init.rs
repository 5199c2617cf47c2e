//! `operator init`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{NO_PGP, is, refuse, texts};
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::output::{Doc, table};
use crate::cli::stop::{OK, Outcome, REMOTE, Stop};

const SHARES: Flag = Flag::number("key-shares", "Pieces to split the key into. Default 5.").or("n");
const THRESHOLD: Flag = Flag::number("key-threshold", "Pieces that unseal. Default 3.").or("t");
const RECOVERY_SHARES: Flag = Flag::number("recovery-shares", "With an auto seal: pieces of the recovery key. Default 5.");
const RECOVERY_THRESHOLD: Flag = Flag::number("recovery-threshold", "With an auto seal: pieces that recover. Default 3.");
const STORED_SHARES: Flag = Flag::number("stored-shares", "Without meaning; taken for old scripts.");
const STATUS: Flag = Flag::switch("status", "Only tell whether it is initialised: exit code 0, else 2.");
const PGP_KEYS: Flag = Flag::list("pgp-keys", "KEYS", "Not supported.");
const ROOT_PGP: Flag = Flag::text("root-token-pgp-key", "KEY", "Not supported.");
const RECOVERY_PGP: Flag = Flag::list("recovery-pgp-keys", "KEYS", "Not supported.");
const CONSUL_AUTO: Flag = Flag::switch("consul-auto", "Not supported.");
const CONSUL_SERVICE: Flag = Flag::text("consul-service", "NAME", "Not supported.");

pub(super) const INIT: Command =
    Command::new("init", "[flags]", "Initialises the server: makes its keys and the first root token.", init)
        .flags(&[
            SHARES,
            THRESHOLD,
            RECOVERY_SHARES,
            RECOVERY_THRESHOLD,
            STORED_SHARES,
            STATUS,
            PGP_KEYS,
            ROOT_PGP,
            RECOVERY_PGP,
            CONSUL_AUTO,
            CONSUL_SERVICE,
        ])
        .formats()
        .args(Args::Exactly(0));

fn init(cx: &mut Cx<'_>) -> Outcome {
    refuse(cx, &[PGP_KEYS, ROOT_PGP, RECOVERY_PGP], NO_PGP)?;
    refuse(cx, &[CONSUL_AUTO, CONSUL_SERVICE], "this program does not ask Consul")?;
    if cx.flags.is(&STATUS) {
        return status(cx);
    }
    let seal = cx.try_send(&Request::get("sys/seal-status").anonymous().unwrapped().sent_always())?;
    let seal = seal.ok().and_then(|reply| reply.json().ok().flatten()).unwrap_or(Value::Null);
    let number = |flag: &Flag, default: i64| cx.flags.number(flag).unwrap_or(default);
    // An auto seal has no shares of its own, and refuses being asked for some.
    let body = if is(&seal, "recovery_seal") {
        json!({ "recovery_shares": number(&RECOVERY_SHARES, 5), "recovery_threshold": number(&RECOVERY_THRESHOLD, 3) })
    } else {
        json!({ "secret_shares": number(&SHARES, 5), "secret_threshold": number(&THRESHOLD, 3) })
    };
    let reply = cx.send_bare(&Request::put("sys/init", body.clone()).anonymous().unwrapped(), "Error initializing")?;
    show(cx, &reply, &body)
}

fn status(cx: &mut Cx<'_>) -> Outcome {
    let request = Request::get("sys/init").anonymous().unwrapped();
    let reply = cx.send_bare(&request, "Error checking init status").map_err(Stop::into_local)?;
    let done = is(&reply, "initialized");
    let doc = Doc::object([("Initialized", json!(done))]);
    let line = if done { "Vault is initialized" } else { "Vault is not initialized" };
    cx.show_doc(&doc, || line.to_owned())?;
    Ok(if done { OK } else { REMOTE })
}

fn show(cx: &mut Cx<'_>, reply: &Value, asked: &Value) -> Outcome {
    let asked = |name: &str| asked.get(name).cloned().unwrap_or(json!(0));
    let list = |name: &str| json!(texts(reply, name));
    let (keys, recovery) = (texts(reply, "keys_base64"), texts(reply, "recovery_keys_base64"));
    let root = reply.get("root_token").and_then(Value::as_str).unwrap_or_default().to_owned();
    let doc = Doc::object([
        ("unseal_keys_b64", list("keys_base64")),
        ("unseal_keys_hex", list("keys")),
        ("unseal_shares", asked("secret_shares")),
        ("unseal_threshold", asked("secret_threshold")),
        ("recovery_keys_b64", list("recovery_keys_base64")),
        ("recovery_keys_hex", list("recovery_keys")),
        ("recovery_keys_shares", asked("recovery_shares")),
        ("recovery_keys_threshold", asked("recovery_threshold")),
        ("root_token", json!(root)),
    ]);
    cx.show_doc(&doc, || {
        let mut text = String::new();
        for (title, keys) in [("Unseal Key", &keys), ("Recovery Key", &recovery)] {
            for (index, key) in keys.iter().enumerate() {
                let _ = writeln!(text, "{title} {}: {key}", index + 1);
            }
        }
        let _ = write!(text, "\nInitial Root Token: {root}\n\n");
        text.push_str(&table::fold(&advice(keys.len(), &table::cell(&asked("secret_threshold"))), 0));
        text
    })
}

fn advice(shares: usize, threshold: &str) -> String {
    if shares == 0 {
        return "The server is initialised and its seal opens by itself. Keep the recovery keys apart from each other: they authorise what \
                unseal keys would."
            .to_owned();
    }
    format!(
        "The server is initialised with {shares} key shares and a threshold of {threshold}. Give each share to another person: {threshold} of \
         them are needed each time the server starts or was sealed. Without them its data is lost, since nobody can make the key again. \
         New shares can be made by \"vault operator rekey\"."
    )
}
