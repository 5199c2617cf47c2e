//! How the steps of a rekey are shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{is, text, texts};
use crate::cli::cx::Cx;
use crate::cli::output::{Doc, table};
use crate::cli::stop::Outcome;

/// How far a rekey is.
pub(super) fn show_status(cx: &mut Cx<'_>, reply: &Value) -> Outcome {
    let verification = text(reply, "verification_nonce");
    if !verification.is_empty() {
        return cx.show_doc(&Doc::ordered(reply, FIELDS), || {
            let rows = [
                ("Started", text(reply, "started")),
                ("New Shares", text(reply, "n")),
                ("New Threshold", text(reply, "t")),
                ("Verification Nonce", verification),
                ("Verification Progress", format!("{}/{}", number(reply, "verification_progress"), text(reply, "t"))),
            ];
            table::key_value(&rows.map(|(key, value)| (key.to_owned(), value)))
        });
    }
    cx.show_doc(&Doc::ordered(reply, FIELDS), || {
        let mut rows = vec![("Nonce", text(reply, "nonce")), ("Started", text(reply, "started"))];
        if is(reply, "started") {
            rows.push(("Progress", format!("{}/{}", number(reply, "progress"), text(reply, "required"))));
            rows.extend([("New Shares", text(reply, "n")), ("New Threshold", text(reply, "t"))]);
            rows.push(("Verification Required", is(reply, "verification_required").to_string()));
        }
        let rows: Vec<_> = rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        table::key_value(&rows)
    })
}

/// How far the verification of the new shares is.
pub(super) fn show_verification(cx: &mut Cx<'_>, reply: &Value) -> Outcome {
    cx.show_doc(&Doc::ordered(reply, &["nonce", "started", "t", "n", "progress"]), || {
        let rows = [
            ("Started", text(reply, "started")),
            ("New Shares", text(reply, "n")),
            ("New Threshold", text(reply, "t")),
            ("Verification Nonce", text(reply, "nonce")),
            ("Verification Progress", format!("{}/{}", number(reply, "progress"), text(reply, "t"))),
        ];
        table::key_value(&rows.map(|(key, value)| (key.to_owned(), value)))
    })
}

/// The new shares.
pub(super) fn show_complete(cx: &mut Cx<'_>, reply: &Value) -> Outcome {
    let keys = texts(reply, "keys_base64");
    let nonce = text(reply, "nonce");
    let waits = is(reply, "verification_required");
    cx.show_doc(&Doc::ordered(reply, &["nonce", "complete", "keys", "keys_base64"]), || {
        let mut out = "\n".to_owned();
        for (index, key) in keys.iter().enumerate() {
            let _ = writeln!(out, "Key {}: {key}", index + 1);
        }
        let _ = write!(out, "\nOperation nonce: {nonce}\n\n");
        let count = keys.len();
        let prose = if waits {
            format!(
                "There are {count} new key shares, which are not valid yet: the old ones still are. Give as many of the new ones as will be \
                 needed by \"vault operator rekey -verify\", with the verification nonce below."
            )
        } else {
            format!(
                "There are {count} new key shares, and the old ones are no longer valid. Give each to another person: without enough of them \
                 the server's data is lost once it is sealed."
            )
        };
        out.push_str(&table::fold(&prose, 0));
        out
    })
}

/// That the new shares count from now on.
pub(super) fn show_verified(cx: &mut Cx<'_>, reply: &Value) -> Outcome {
    let doc = Doc::object([("nonce", json!(text(reply, "nonce"))), ("complete", json!(true))]);
    cx.show_doc(&doc, || {
        "Success! Rekey verification complete. The new key shares are valid, the old ones no longer are.".to_owned()
    })
}

fn number(reply: &Value, name: &str) -> i64 {
    reply.get(name).and_then(Value::as_i64).unwrap_or(0)
}

const FIELDS: &[&str] = &[
    "nonce",
    "started",
    "t",
    "n",
    "progress",
    "required",
    "pgp_fingerprints",
    "backup",
    "verification_required",
    "verification_nonce",
];
