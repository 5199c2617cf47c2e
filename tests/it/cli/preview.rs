//! Printing requests instead of sending them.

use super::stub::Stub;

#[test]
fn the_curl_line_is_complete_and_shows_no_token() {
    let stub = Stub::start();
    let url = stub.url();
    for (words, line) in [
        (
            &["read", "-output-curl-string", "rw/b"][..],
            format!("curl -H \"X-Vault-Request: true\" -H \"X-Vault-Token: $(vault print token)\" \"{url}/v1/rw/b\"\n"),
        ),
        (
            &["write", "rw/b", "a=it's", "-output-curl-string"],
            format!(
                "curl -X PUT -H \"X-Vault-Request: true\" -H \"X-Vault-Token: $(vault print token)\" -d '{{\"a\":\"it'\"'\"'s\"}}' \"{url}/v1/rw/b\"\n"
            ),
        ),
        (
            &["lease", "renew", "-output-curl-string", "-increment=90m", "x"],
            format!(
                "curl -X PUT -H \"X-Vault-Request: true\" -H \"X-Vault-Token: $(vault print token)\" -d '{{\"increment\":5400,\"lease_id\":\"x\"}}' \"{url}/v1/sys/leases/renew\"\n"
            ),
        ),
        (
            &["list", "-output-curl-string", "-ns=team", "-wrap-ttl=300", "rw"],
            format!(
                "curl -H \"X-Vault-Request: true\" -H \"X-Vault-Namespace: team/\" -H \"X-Vault-Wrap-Ttl: 5m0s\" -H \"X-Vault-Token: $(vault print token)\" \"{url}/v1/rw?list=true\"\n"
            ),
        ),
        (
            &["login", "-output-curl-string", "-method=userpass", "username=bob", "password=pw"],
            format!(
                "curl -X PUT -H \"X-Vault-Request: true\" -d '{{\"password\":\"pw\"}}' \"{url}/v1/auth/userpass/login/bob\"\n"
            ),
        ),
    ] {
        assert_eq!(stub.run(words).ok(), line);
    }
    assert!(stub.lines().is_empty());
}

#[test]
fn the_kv_preflight_is_sent_all_the_same() {
    let stub = Stub::start();
    stub.data("GET /v1/sys/internal/ui/mounts/kv/a", r#"{"path":"kv/","options":{"version":"2"}}"#);
    let out = stub.run(&["kv", "put", "-output-curl-string", "kv/a", "a=b"]).ok();
    assert!(out.contains("-d '{\"data\":{\"a\":\"b\"},\"options\":{}}'"), "{out}");
    assert_eq!(stub.lines(), ["GET /v1/sys/internal/ui/mounts/kv/a"]);
}

#[test]
fn the_policy_names_the_capabilities() {
    let stub = Stub::start();
    for (words, path, capabilities) in [
        (&["read", "-output-policy", "rw/b"][..], "rw/b", "\"read\""),
        (&["list", "-output-policy", "rw/"], "rw", "\"list\""),
        (&["write", "-output-policy", "rw/a", "x=y"], "rw/a", "\"create\", \"update\""),
        (&["delete", "-output-policy", "rw/a"], "rw/a", "\"delete\""),
        (&["patch", "-output-policy", "rw/a", "x=y"], "rw/a", "\"patch\""),
        (&["auth", "enable", "-output-policy", "userpass"], "sys/auth/userpass", "\"create\", \"update\", \"sudo\""),
        (&["operator", "seal", "-output-policy"], "sys/seal", "\"create\", \"update\", \"sudo\""),
    ] {
        assert_eq!(stub.run(words).ok(), format!("path \"{path}\" {{\n  capabilities = [{capabilities}]\n}}\n"));
    }
    assert!(stub.lines().is_empty());
}
