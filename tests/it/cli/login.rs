//! Logging in, and where the token is kept.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::stub::{Call, Stub, envelope};

const SELF: &str =
    r#"{"id":"hvs.mine","accessor":"acc","policies":["root"],"ttl":0,"renewable":false,"meta":null,"orphan":true}"#;
const TABLE: &str = "Key                  Value\n---                  -----\ntoken                hvs.mine\ntoken_accessor       acc\n\
                     token_duration       ∞\ntoken_renewable      false\ntoken_policies       [\"root\"]\nidentity_policies    []\n\
                     policies             [\"root\"]\n";

struct Home {
    stub: Stub,
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let stub = Stub::start();
        stub.data("GET /v1/auth/token/lookup-self", SELF);
        Self { stub, folder: tempfile::tempdir().unwrap() }
    }
    fn call(&self, words: &[&str]) -> Call {
        self.stub.call(words).without("VAULT_TOKEN").env("HOME", self.folder.path().to_str().unwrap())
    }
    fn token(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(".vault-token")).ok()
    }
}

#[test]
fn a_token_is_looked_up_shown_and_kept() {
    let home = Home::new();
    let out = home.call(&["login", "hvs.mine"]).run().ok();
    assert!(out.starts_with(
        "Success! You are now authenticated. The token information displayed below is\nalready stored in the token helper."
    ));
    assert!(out.ends_with(&format!("\n\n{TABLE}")), "{out}");
    assert_eq!(home.token().as_deref(), Some("hvs.mine"));
    let mode = std::fs::metadata(home.folder.path().join(".vault-token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(home.stub.last().header("x-vault-token"), Some("hvs.mine"));
    assert_eq!(std::fs::read_dir(home.folder.path()).unwrap().count(), 1);
    assert_eq!(home.call(&["print", "token"]).run().ok(), "hvs.mine\n");
    assert_eq!(home.call(&["print", "token"]).env("VAULT_TOKEN", "other").run().ok(), "other\n");
    home.call(&["token", "lookup"]).run().ok();
    assert_eq!(home.stub.last().header("x-vault-token"), Some("hvs.mine"));
}

#[test]
fn a_token_comes_from_stdin_or_by_name() {
    let home = Home::new();
    home.call(&["login", "-"]).stdin("  hvs.mine\nmore\n").run().ok();
    assert_eq!(home.token().as_deref(), Some("hvs.mine"));
    home.call(&["login", "token=hvs.other", "lookup=false"]).run().ok();
    assert_eq!(home.token().as_deref(), Some("hvs.other"));
    assert_eq!(home.stub.lines().len(), 1);
}

#[test]
fn what_is_printed_and_kept_can_be_chosen() {
    let home = Home::new();
    assert_eq!(home.call(&["login", "-no-print", "hvs.mine"]).run().ok(), "");
    assert_eq!(home.token().as_deref(), Some("hvs.mine"));
    std::fs::remove_file(home.folder.path().join(".vault-token")).unwrap();
    assert_eq!(home.call(&["login", "-token-only", "hvs.mine"]).run().ok(), "hvs.mine");
    assert_eq!(home.token(), None);
    let done = home.call(&["login", "-no-store", "hvs.mine"]).run();
    assert_eq!((done.code, done.out.as_str()), (0, TABLE));
    assert!(done.err.contains("not stored"));
    assert_eq!(home.token(), None);
    let json = home.call(&["login", "-format=json", "hvs.mine"]).run().ok();
    assert!(json.starts_with("{\n  \"request_id\": \"\",\n"));
    assert!(
        json.contains(
            "\"identity_policies\": null,\n    \"metadata\": null,\n    \"orphan\": false,\n    \"entity_id\": \"\",\n"
        )
    );
    assert!(!json.contains("wrap_info"));
}

#[test]
fn a_variable_that_hides_the_token_is_warned_of() {
    let home = Home::new();
    let done = home.call(&["login", "hvs.mine"]).env("VAULT_TOKEN", "other").run();
    assert_eq!(done.code, 0);
    assert!(done.err.starts_with("WARNING! The VAULT_TOKEN environment variable is set!"));
}

#[test]
fn a_wrong_token_is_not_kept() {
    let home = Home::new();
    let stub = Stub::start();
    stub.reply("GET /v1/auth/token/lookup-self", 403, r#"{"errors":["permission denied"]}"#);
    let text = home.call(&["login", "hvs.wrong"]).env("VAULT_ADDR", &stub.url()).run().fails(2);
    assert!(text.starts_with("Error authenticating: error looking up token: Error making API request."));
    assert!(!text.contains("hvs.wrong"));
    assert_eq!(home.token(), None);
    assert!(home.call(&["login", ""]).run().fails(2).starts_with("Error authenticating: a token must be passed to auth, "));
    assert_eq!(
        home.call(&["login", "-non-interactive"]).run().fails(2),
        "Error authenticating: 'token' not supplied and refusing to pull from stdin"
    );
    assert_eq!(home.call(&["login"]).run().code, 2);
}

#[test]
fn where_the_token_cannot_be_kept_it_is_said() {
    let home = Home::new();
    let nowhere = home.folder.path().join("absent");
    let done = home.call(&["login", "hvs.mine"]).env("HOME", nowhere.to_str().unwrap()).run();
    assert_eq!((done.code, done.out.as_str()), (2, TABLE));
    assert!(done.err.starts_with("Error storing token: write "), "{}", done.err);
    let done = home.call(&["login", "-no-store", "hvs.mine"]).env("HOME", nowhere.to_str().unwrap()).run();
    assert_eq!(done.code, 0);
}

#[test]
fn methods_send_their_words() {
    let home = Home::new();
    let auth = envelope(
        r#""auth":{"client_token":"hvs.new","accessor":"a","policies":["default"],"token_policies":["default"],"metadata":{"username":"bob"},"lease_duration":600,"renewable":true}"#,
    );
    for (words, line, body) in [
        (
            &["login", "-method=userpass", "-path=auth/people/", "username=bob", "password=-"][..],
            "PUT /v1/auth/people/login/bob",
            json!({"password": "pw"}),
        ),
        (
            &["login", "-method=approle", "role_id=r", "secret_id=s"],
            "PUT /v1/auth/approle/login",
            json!({"role_id": "r", "secret_id": "s"}),
        ),
        (&["login", "-method=cert", "name=web"], "PUT /v1/auth/cert/login", json!({"name": "web"})),
        (&["login", "-method=kubernetes", "role=r", "jwt=j"], "PUT /v1/auth/kubernetes/login", json!({"role": "r", "jwt": "j"})),
    ] {
        home.stub.reply(line, 200, &auth);
        let out = home.call(words).stdin("pw\n").env("VAULT_WRAP_TTL", "5m").run().ok();
        let seen = home.stub.last();
        assert_eq!((seen.line.as_str(), seen.json()), (line, body));
        assert_eq!((seen.header("x-vault-token"), seen.header("x-vault-wrap-ttl")), (None, None));
        assert!(out.contains("token_meta_username    bob\n"), "{out}");
        assert_eq!(home.token().as_deref(), Some("hvs.new"));
    }
}

#[test]
fn the_aws_login_is_signed_here() {
    let home = Home::new();
    home.stub.reply("PUT /v1/auth/aws/login", 200, &envelope(r#""auth":{"client_token":"hvs.new"}"#));
    home.call(&[
        "login",
        "-no-print",
        "-method=aws",
        "role=dev",
        "aws_access_key_id=AKID",
        "aws_secret_access_key=s",
        "header_value=v",
    ])
    .run()
    .ok();
    let body = home.stub.last().json();
    assert_eq!(body["role"], "dev");
    assert_eq!(body["iam_http_request_method"], "POST");
    assert!(body["iam_request_headers"].as_str().unwrap().len() > 100);
    assert!(body.get("aws_secret_access_key").is_none());
}

#[test]
fn an_instance_logs_in_with_the_document_of_its_metadata_service() {
    let home = Home::new();
    let metadata = Stub::start();
    metadata.reply_with("PUT /latest/api/token", 200, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\n", "secret-token");
    metadata.reply("GET /latest/dynamic/instance-identity/pkcs7", 200, "MIIB\nAAAA");
    home.stub.reply("PUT /v1/auth/aws/login", 200, &envelope(r#""auth":{"client_token":"hvs.new"}"#));
    let call = |words: &[&str]| home.call(words).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url()).run();
    call(&["login", "-no-print", "-method=aws", "type=ec2", "role=web", "nonce=n"]).ok();
    assert_eq!(home.stub.last().json(), json!({ "role": "web", "nonce": "n", "pkcs7": "MIIB\nAAAA" }));
    assert_eq!(metadata.last().header("x-aws-ec2-metadata-token"), Some("secret-token"));
    let elsewhere = Stub::start();
    let done = home.call(&["login", "-method=aws", "type=ec2"]).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &elsewhere.url()).run();
    assert!(done.fails(2).contains("the metadata service of the instance"));
    assert!(home.call(&["login", "-method=aws", "type=x"]).run().fails(2).contains("iam and ec2 are known"));
}

#[test]
fn the_doctor_of_an_aws_login_says_what_is_wrong_and_keeps_no_token() {
    let home = Home::new();
    let data = |verdict: &str, result: &str| {
        format!(r#"{{"verdict":"{verdict}","checks":[{{"name":"sts","result":"{result}","code":null,"detail":"why"}}]}}"#)
    };
    let words =
        ["login", "-method=aws", "-doctor", "-path=cloud", "role=dev", "aws_access_key_id=AKID", "aws_secret_access_key=s"];
    home.stub.data("PUT /v1/auth/cloud/doctor", &data("ok", "pass"));
    let out = home.call(&words).env("VAULT_TOKEN", "hvs.operator").run().ok();
    assert!(out.contains("sts      pass") && out.contains("Verdict: ok"), "{out}");
    assert_eq!(home.stub.last().header("x-vault-token"), Some("hvs.operator"));
    home.stub.data("PUT /v1/auth/clouds/doctor", &data("clock_skew", "fail"));
    let done = home
        .call(&words.map(|word| if word == "-path=cloud" { "-path=clouds" } else { word }))
        .env("VAULT_TOKEN", "hvs.operator")
        .run();
    assert_eq!(done.code, 2);
    assert!(done.out.contains("Verdict: clock_skew"), "{}", done.out);
    assert_eq!(home.token(), None);
    assert_eq!(home.call(&["login", "-method=userpass", "-doctor"]).run().fails(1), "-doctor is for -method=aws");
}

#[test]
fn method_mistakes_are_told() {
    let home = Home::new();
    assert_eq!(
        home.call(&["login", "-method=userpass", "password=x"]).run().fails(2),
        "Error authenticating: 'username' must be specified"
    );
    assert!(
        home.call(&["login", "-method=x"])
            .run()
            .fails(1)
            .starts_with("Unknown auth method: x. Use \"vault auth list\" to see the complete list of\n")
    );
    assert!(home.call(&["login", "-method=userpass", "bob"]).run().fails(1).contains("format must be key=value"));
    assert!(home.stub.lines().is_empty());
}

#[test]
fn a_second_factor_is_told_when_there_is_nobody_to_ask() {
    let home = Home::new();
    let auth = r#""auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"req","mfa_constraints":{"e":{"any":[{"type":"totp","id":"m1","uses_passcode":true,"name":"n"}]}}}}"#;
    home.stub.reply("PUT /v1/auth/userpass/login/bob", 200, &envelope(auth));
    let out = home.call(&["login", "-method=userpass", "username=bob", "password=x"]).run().ok();
    assert!(out.contains("mfa_request_id    req\n") && out.contains("totp method m1"), "{out}");
    assert_eq!(home.token(), None);
}

#[test]
fn help_of_methods_needs_a_method_or_a_mount() {
    let home = Home::new();
    assert!(home.call(&["auth", "help", "userpass"]).run().ok().starts_with("Usage: vault login -method=userpass"));
    home.stub.data("GET /v1/sys/auth", r#"{"people/":{"type":"ldap"}}"#);
    assert!(home.call(&["auth", "help", "people/"]).run().ok().starts_with("Usage: vault login -method=ldap"));
    assert_eq!(home.call(&["auth", "help", "x"]).run().fails(1), "No auth method available on the server at \"x/\"");
}

#[test]
fn a_helper_program_takes_the_place_of_the_file() {
    let home = Home::new();
    let folder = home.folder.path();
    let script = folder.join("helper");
    let store = folder.join("store");
    let text = format!(
        "#!/bin/sh\ncase \"$2\" in\nget) cat {0} 2>/dev/null;;\nstore) cat > {0};;\nesac\n[ \"$1\" = arg ]\n",
        store.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(folder.join(".vault"), format!("token_helper = \"{} arg\"\n", script.display())).unwrap();
    home.call(&["login", "-no-print", "hvs.mine"]).run().ok();
    assert_eq!(std::fs::read_to_string(&store).unwrap(), "hvs.mine");
    assert_eq!(home.token(), None);
    assert_eq!(home.call(&["print", "token"]).run().ok(), "hvs.mine\n");
    std::fs::write(folder.join(".vault"), format!("token_helper = \"{} bad\"\n", script.display())).unwrap();
    assert!(home.call(&["read", "x"]).run().fails(1).starts_with("failed to get token from token helper: "));
}
