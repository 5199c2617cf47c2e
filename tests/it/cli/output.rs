//! Layouts: tables, JSON, YAML, fields, warnings, errors.

use super::stub::{Stub, envelope};

fn with_secret() -> Stub {
    let stub = Stub::start();
    let body = envelope(
        r#""request_id":"id","lease_duration":2764800,"data":{"j":{"k":[1,true,null]},"e":"","ttl":5400,"n":"5","big":12345678901234567890}"#,
    );
    stub.reply("GET /v1/rw/a", 200, &body);
    stub
}

#[test]
fn a_secret_is_a_table() {
    assert_eq!(
        with_secret().run(&["read", "rw/a"]).ok(),
        "Key                 Value\n---                 -----\nrefresh_interval    768h\nbig                 12345678901234567890\n\
         e                   n/a\nj                   map[k:[1 true <nil>]]\nn                   5\nttl                 1h30m\n"
    );
}

#[test]
fn json_has_its_order_and_exact_numbers() {
    assert_eq!(
        with_secret().run(&["read", "rw/a", "-format=json"]).ok(),
        "{\n  \"request_id\": \"id\",\n  \"lease_id\": \"\",\n  \"lease_duration\": 2764800,\n  \"renewable\": false,\n  \"data\": {\n    \
         \"big\": 12345678901234567890,\n    \"e\": \"\",\n    \"j\": {\n      \"k\": [\n        1,\n        true,\n        null\n      ]\n    },\n    \
         \"n\": \"5\",\n    \"ttl\": 5400\n  },\n  \"warnings\": null\n}\n"
    );
}

#[test]
fn yaml_sorts_and_quotes() {
    assert_eq!(
        with_secret().call(&["read", "rw/a"]).env("VAULT_FORMAT", "YAML").run().ok(),
        "data:\n  big: 12345678901234567890\n  e: \"\"\n  j:\n    k:\n    - 1\n    - true\n    - null\n  \"n\": \"5\"\n  ttl: 5400\n\
         lease_duration: 2764800\nlease_id: \"\"\nrenewable: false\nrequest_id: id\nwarnings: null\n"
    );
}

#[test]
fn one_field_is_bare_unless_a_format_is_asked_for() {
    let stub = with_secret();
    for (words, text) in [
        (&["read", "-field=n", "rw/a"][..], "5"),
        (&["read", "-field=ttl", "rw/a"], "5400"),
        (&["read", "-field=j", "rw/a"], "map[k:[1 true <nil>]]"),
        (&["read", "-field=refresh_interval", "rw/a"], "2764800"),
        (&["read", "-field=n", "-format=json", "rw/a"], "\"5\""),
        (&["read", "-field=n", "-format=yaml", "rw/a"], "\"5\""),
        (&["read", "-field=big", "rw/a"], "12345678901234567890"),
    ] {
        assert_eq!(stub.run(words).ok(), text, "{words:?}");
    }
    assert!(stub.run(&["read", "-field=data", "rw/a"]).ok().starts_with("map[big:12345678901234567890 e: j:map["));
    assert_eq!(stub.run(&["read", "-field=x", "rw/a"]).fails(1), "Field \"x\" not present in secret");
}

#[test]
fn pretty_and_raw_leave_the_envelope_out() {
    let stub = with_secret();
    stub.reply("GET /v1/pki/ca/pem", 200, "-----BEGIN\n").reply("GET /v1/x", 200, &envelope(r#""lease_id":"x""#));
    assert!(stub.run(&["read", "-format=pretty", "rw/a"]).ok().starts_with("{\n  \"big\""));
    assert!(stub.run(&["read", "-format=pretty", "x"]).fails(1).starts_with("Could not parse output: "));
    assert_eq!(stub.run(&["read", "-format=raw", "pki/ca/pem"]).ok(), "-----BEGIN\n");
    assert_eq!(stub.run(&["read", "pki/ca/pem"]).code, 2);
}

#[test]
fn leases_and_wrapping_have_rows_of_their_own() {
    let stub = Stub::start();
    stub.reply("GET /v1/l", 200, &envelope(r#""lease_id":"l/1","lease_duration":3600,"renewable":true,"data":{"a":null}"#));
    assert_eq!(
        stub.run(&["read", "l"]).ok(),
        "Key                Value\n---                -----\nlease_id           l/1\nlease_duration     1h\nlease_renewable    true\n\
         a                  <nil>\n"
    );
    let wrap = r#""request_id":"","wrap_info":{"token":"hvs.w","accessor":"acc","ttl":60,"creation_time":"2026-01-02T03:04:05.5Z","creation_path":"l","wrapped_accessor":"inner"}"#;
    stub.reply("GET /v1/w", 200, &envelope(wrap));
    let out = stub.run(&["read", "-wrap-ttl=60s", "w"]).ok();
    assert_eq!(
        out,
        "Key                              Value\n---                              -----\nwrapping_token:                  hvs.w\n\
         wrapping_accessor:               acc\nwrapping_token_ttl:              1m\n\
         wrapping_token_creation_time:    2026-01-02 03:04:05.5 +0000 UTC\nwrapping_token_creation_path:    l\n\
         wrapped_accessor:                inner\n"
    );
    assert_eq!(stub.last().header("x-vault-wrap-ttl"), Some("1m0s"));
    assert_eq!(stub.run(&["read", "-field=wrapping_token", "w"]).ok(), "hvs.w");
    assert!(stub.run(&["read", "-format=json", "w"]).ok().contains("\"wrapped_accessor\": \"inner\"\n  }\n}"));
}

#[test]
fn warnings_are_folded_on_stderr_and_stand_for_success() {
    let stub = Stub::start();
    let warning = r#""warnings":["Detected use of legacy role or policy parameter. Please upgrade to use the new parameters."]"#;
    stub.reply("PUT /v1/aws/roles/r", 200, &envelope(warning));
    let done = stub.run(&["write", "aws/roles/r", "policy=x"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert_eq!(
        done.err,
        "WARNING! The following warnings were returned from Vault:\n\n  * Detected use of legacy role or policy parameter. Please upgrade \
         to use the\n  new parameters.\n\n"
    );
    let done = stub.run(&["write", "-format=json", "aws/roles/r", "policy=x"]);
    assert_eq!(done.err, "");
    assert!(done.out.contains("\"warnings\": [\n"));
}

#[test]
fn refusals_have_the_known_form() {
    let stub = Stub::start();
    stub.reply("GET /v1/x", 403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#);
    stub.reply("PUT /v1/x", 400, r#"{"errors":["one","two"]}"#).reply("DELETE /v1/x", 500, "<html>");
    let url = format!("{}/v1/x", stub.url());
    assert_eq!(
        stub.run(&["read", "x"]).fails(2),
        format!(
            "Error reading x: Error making API request.\n\nURL: GET {url}\nCode: 403. Errors:\n\n* 1 error occurred:\n\t* permission denied"
        )
    );
    assert_eq!(
        stub.run(&["write", "x", "a=b"]).fails(2),
        format!("Error writing data to x: Error making API request.\n\nURL: PUT {url}\nCode: 400. Errors:\n\n* one\n* two")
    );
    assert_eq!(
        stub.run(&["delete", "x"]).fails(2),
        format!("Error deleting x: Error making API request.\n\nURL: DELETE {url}\nCode: 500. Raw Message:\n\n<html>")
    );
}

#[test]
fn nothing_found_is_2_unless_the_body_says_more() {
    let stub = Stub::start();
    assert_eq!(stub.run(&["read", "rw/absent"]).fails(2), "No value found at rw/absent");
    assert_eq!(stub.run(&["list", "rw/absent"]).fails(2), "No value found at rw/absent");
    let done = stub.run(&["list", "-format=json", "rw/absent"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (2, "{}\n", ""));
    stub.reply("GET /v1/warned", 404, &envelope(r#""warnings":["look elsewhere"]"#));
    let done = stub.run(&["read", "warned"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(done.err.contains("* look elsewhere"));
}

#[test]
fn lists_are_names_arrays_or_tables() {
    let stub = Stub::start();
    stub.data("GET /v1/rw?list=true", r#"{"keys":["a","b"],"key_info":{"a":{"ttl":60,"z":"y"},"b":{"ttl":0}}}"#);
    assert_eq!(stub.run(&["list", "rw/"]).ok(), "Keys\n----\na\nb\n");
    assert_eq!(stub.run(&["list", "-format=json", "rw"]).ok(), "[\n  \"a\",\n  \"b\"\n]\n");
    assert_eq!(
        stub.run(&["list", "-detailed", "rw"]).ok(),
        "Keys    ttl    z\n----    ---    ---\na       1m     y\nb       0s     n/a\n"
    );
}

#[test]
fn help_of_paths_is_text_or_a_document() {
    let stub = Stub::start();
    stub.reply("GET /v1/sys?help=1", 200, r#"{"help":"the system backend\n","see_also":null,"openapi":{"b":1,"a":2}}"#);
    assert_eq!(stub.run(&["path-help", "sys"]).ok(), "the system backend\n");
    assert_eq!(stub.run(&["path-help", "-format=json", "sys"]).ok(), "{\"a\":2,\"b\":1}\n");
    assert_eq!(stub.run(&["path-help", "none"]).code, 2);
}
