//! `operator rekey`: new shares of the unseal or recovery key.

use serde_json::json;

use super::rekey_show::{show_complete, show_status, show_verification, show_verified};
use super::{NO_PGP, is, key_share, refuse, text};
use crate::cli::client::Request;
use crate::cli::command::{Args, Command};
use crate::cli::cx::Cx;
use crate::cli::flags::Flag;
use crate::cli::stop::{OK, Outcome, Stop};

const INIT: Flag = Flag::switch("init", "Start.");
const CANCEL: Flag = Flag::switch("cancel", "Forget it; with -verify only the verification starts anew.");
const STATUS: Flag = Flag::switch("status", "Show how far it is.");
const SHARES: Flag = Flag::number("key-shares", "Pieces to split the new key into. Default 5.").or("n");
const THRESHOLD: Flag = Flag::number("key-threshold", "Pieces that will be needed. Default 3.").or("t");
const NONCE: Flag = Flag::text("nonce", "NONCE", "Nonce of the operation the share is for.");
const TARGET: Flag = Flag::text("target", "KEY", "barrier (the unseal key, the default) or recovery.");
const VERIFY: Flag =
    Flag::switch("verify", "With -init: demand that the new shares are given once before they count. Else: give one.");
const BACKUP: Flag = Flag::switch("backup", "Keep the encrypted new shares on the server; needs -pgp-keys.");
const BACKUP_RETRIEVE: Flag = Flag::switch("backup-retrieve", "Show the shares kept.");
const BACKUP_DELETE: Flag = Flag::switch("backup-delete", "Delete the shares kept.");
const PGP_KEYS: Flag = Flag::list("pgp-keys", "KEYS", "Not supported.");

pub(super) const REKEY: Command = Command::new("rekey", "[flags] [KEY | -]", "Makes new shares of the unseal key.", rekey)
    .flags(&[INIT, CANCEL, STATUS, SHARES, THRESHOLD, NONCE, TARGET, VERIFY, BACKUP, BACKUP_RETRIEVE, BACKUP_DELETE, PGP_KEYS])
    .formats()
    .args(Args::Range(0, 1));

fn rekey(cx: &mut Cx<'_>) -> Outcome {
    refuse(cx, &[PGP_KEYS, BACKUP], NO_PGP)?;
    let (base, backup) = match cx.flags.text(&TARGET).unwrap_or("barrier") {
        "barrier" => ("sys/rekey", "sys/rekey/backup"),
        "recovery" | "hsm" => ("sys/rekey-recovery-key", "sys/rekey/recovery-key-backup"),
        other => return Err(Stop::Local(format!("Unknown target: {other}"))),
    };
    let verify = cx.flags.is(&VERIFY);
    if cx.flags.is(&BACKUP_DELETE) {
        cx.send(&Request::delete(backup).unwrapped(), "Error deleting rekey backed up keys")?;
        return cx.say("Success! Deleted backed up keys (if they existed)").map(|()| OK);
    }
    if cx.flags.is(&BACKUP_RETRIEVE) {
        let envelope = cx.send_for(&Request::get(backup).unwrapped(), "Error retrieving rekey backed up keys")?;
        return envelope.map_or(Ok(OK), |envelope| cx.show(&envelope));
    }
    if cx.flags.is(&CANCEL) {
        return cancel(cx, base, verify);
    }
    if cx.flags.is(&INIT) {
        return init(cx, base, verify);
    }
    if cx.flags.is(&STATUS) {
        return status(cx, base, verify);
    }
    if verify { give_to_verify(cx, base) } else { give(cx, base) }
}

fn init(cx: &mut Cx<'_>, base: &str, verify: bool) -> Outcome {
    let body = json!({
        "secret_shares": cx.flags.number(&SHARES).unwrap_or(5),
        "secret_threshold": cx.flags.number(&THRESHOLD).unwrap_or(3),
        "require_verification": verify,
    });
    let reply = cx.send_bare(&Request::put(&format!("{base}/init"), body).anonymous().unwrapped(), "Error initializing rekey")?;
    if cx.is_table() {
        cx.warn(
            "The new key shares will be shown once, in clear, to whoever gives the last old share. If that output is lost, the shares are \
             gone, and the server cannot be unsealed again. -verify makes sure they arrived.",
        );
        cx.note("");
    }
    show_status(cx, &reply)
}

fn cancel(cx: &mut Cx<'_>, base: &str, verify: bool) -> Outcome {
    let path = if verify { format!("{base}/verify") } else { format!("{base}/init") };
    cx.send(&Request::delete(&path).anonymous().unwrapped(), "Error canceling rekey")?;
    cx.say("Success! Canceled rekeying (if it was started)")?;
    Ok(OK)
}

fn status(cx: &mut Cx<'_>, base: &str, verify: bool) -> Outcome {
    let path = if verify { format!("{base}/verify") } else { format!("{base}/init") };
    let reply = cx.send_bare(&Request::get(&path).anonymous().unwrapped(), "Error reading rekey status")?;
    if verify { show_verification(cx, &reply) } else { show_status(cx, &reply) }
}

/// Gives one old share.
fn give(cx: &mut Cx<'_>, base: &str) -> Outcome {
    let status = cx.send_bare(&Request::get(&format!("{base}/init")).anonymous().unwrapped(), "Error reading rekey status")?;
    if !is(&status, "started") {
        return Err(Stop::local("No rekey is in progress. Start one by \"vault operator rekey -init\"."));
    }
    let (key, nonce) = key_and_nonce(cx, &text(&status, "nonce"))?;
    let request = Request::put(&format!("{base}/update"), json!({ "key": key, "nonce": nonce })).anonymous().unwrapped();
    let reply = cx.send_bare(&request, "Error posting unseal key")?;
    if !is(&reply, "complete") {
        return show_status(cx, &reply);
    }
    show_complete(cx, &reply)?;
    if is(&reply, "verification_required") && cx.is_table() {
        let verification =
            cx.send_bare(&Request::get(&format!("{base}/init")).anonymous().unwrapped(), "Error reading rekey status")?;
        cx.say("")?;
        return show_status(cx, &verification);
    }
    Ok(OK)
}

/// Gives one new share, to prove that it arrived.
fn give_to_verify(cx: &mut Cx<'_>, base: &str) -> Outcome {
    let path = format!("{base}/verify");
    let status = cx.send_bare(&Request::get(&path).anonymous().unwrapped(), "Error reading rekey status")?;
    let (key, nonce) = key_and_nonce(cx, &text(&status, "nonce"))?;
    let request = Request::put(&path, json!({ "key": key, "nonce": nonce })).anonymous().unwrapped();
    let reply = cx.send_bare(&request, "Error posting unseal key")?;
    if is(&reply, "complete") { show_verified(cx, &reply) } else { show_verification(cx, &reply) }
}

/// A share with the nonce it is for: a share on the command line must name it, a prompt shows the server's.
fn key_and_nonce(cx: &mut Cx<'_>, at_server: &str) -> Result<(String, String), Stop> {
    let given = cx.flags.text(&NONCE).map(str::to_owned);
    if !cx.arg(0).is_empty() && given.is_none() {
        return Err(Stop::local("Missing nonce value: specify it via the -nonce flag"));
    }
    let key = key_share(cx, Some(&format!("Rekey operation nonce: {at_server}")))?;
    Ok((key, given.unwrap_or_else(|| at_server.to_owned())))
}
