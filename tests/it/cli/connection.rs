//! Settings of the connection, retries, redirects, failures on the way.

use std::io::{Read as _, Write as _};

use super::stub::{Call, Stub, envelope};

#[test]
fn every_request_carries_its_headers() {
    let stub = Stub::start();
    stub.data("GET /v1/x", "{\"a\":\"b\"}");
    let words = ["read", "-ns=/team/", "-header=X-One=1", "-mfa=m:1", "-policy-override", "x"];
    stub.call(&words).env("VAULT_HEADERS", r#"{"X-Two":"2"}"#).run().ok();
    let seen = stub.last();
    for (name, value) in [
        ("x-vault-request", "true"),
        ("x-vault-token", "hvs.test"),
        ("x-vault-namespace", "team/"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-vault-mfa", "m:1"),
        ("x-vault-policy-override", "true"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(
        stub.run(&["read", "-header=X-Vault-Foo=1", "x"]).fails(2),
        "failed to setup Headers[X-Vault-Foo]: Header starting by 'X-Vault-' are for internal usage only"
    );
}

#[test]
fn unreadable_settings_are_named() {
    for (name, value) in [
        ("VAULT_SKIP_VERIFY", "maybe"),
        ("VAULT_MAX_RETRIES", "x"),
        ("VAULT_CLIENT_TIMEOUT", "x"),
        ("VAULT_WRAP_TTL", "x"),
        ("VAULT_RATE_LIMIT", "x"),
        ("VAULT_HEADERS", "x"),
    ] {
        let told = Call::new(&["read", "x"]).env(name, value).run().fails(1);
        assert_eq!(told, format!("failed to read environment: could not parse {name}"));
    }
    assert!(Call::new(&["read", "x"]).env("VAULT_ADDR", "localhost:8200").run().fails(1).contains("has no scheme"));
    let told = Call::new(&["read", "-ca-cert=/nowhere.pem", "x"]).run().fails(2);
    assert_eq!(told, "failed to setup TLS config: Error loading CA File: open /nowhere.pem: no such file or directory");
    assert!(Call::new(&["read", "-client-cert=x", "x"]).run().fails(2).contains("both client cert and client key"));
}

#[test]
fn no_server_is_told_in_known_words() {
    let refused = "Get \"http://127.0.0.1:1/v1/sys/seal-status\": dial tcp 127.0.0.1:1: connect: connection refused";
    let call = |words: &[&str]| Call::new(words).env("VAULT_ADDR", "http://127.0.0.1:1").run();
    assert_eq!(call(&["status"]).fails(1), format!("Error checking seal status: {refused}"));
    assert!(call(&["read", "x"]).fails(2).starts_with("Error reading x: Get \"http://127.0.0.1:1/v1/x\": dial tcp"));
    let told = Call::new(&["read", "x"]).env("VAULT_ADDR", "unix:///nowhere.sock").run().fails(2);
    assert_eq!(
        told,
        "Error reading x: Get \"http://localhost/v1/x\": dial unix /nowhere.sock: connect: no such file or directory"
    );
}

#[test]
fn odd_servers_do_not_confuse() {
    let stub = Stub::start();
    stub.reply("GET /v1/nothing", 0, "").reply("GET /v1/garbage", 0, "hello\r\n\r\n").reply("GET /v1/html", 200, "<html>");
    assert!(stub.run(&["read", "nothing"]).fails(2).ends_with(": EOF"));
    assert!(stub.run(&["read", "garbage"]).fails(2).ends_with(": malformed HTTP response"));
    assert!(stub.run(&["read", "html"]).fails(2).ends_with("is not JSON: it starts with '<'"));
    let https = stub.url().replace("http://", "https://");
    let told = stub.call(&["read", "-tls-skip-verify", "x"]).env("VAULT_ADDR", &https).run().fails(2);
    assert!(told.starts_with("Error reading x: Get \"https://"), "{told}");
}

#[test]
fn a_slow_server_meets_the_deadline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // The clock of these tests lets anything below two seconds pass at once; nobody ever accepts here.
    let told = Call::new(&["read", "x"]).env("VAULT_ADDR", &address).env("VAULT_CLIENT_TIMEOUT", "1s").run().fails(2);
    assert_eq!(told, format!("Error reading x: Get \"{address}/v1/x\": context deadline exceeded"));
    drop(listener);
}

#[test]
fn reads_are_tried_again_and_writes_only_when_that_is_safe() {
    let stub = Stub::start();
    let good = envelope(r#""data":{"a":"b"}"#);
    for status in [500, 502] {
        stub.reply("GET /v1/x", status, "{\"errors\":[]}");
    }
    stub.reply("GET /v1/x", 200, &good);
    let call = |words: &[&str]| stub.call(words).without("VAULT_MAX_RETRIES").run();
    call(&["read", "x"]).ok();
    assert_eq!(stub.lines().len(), 3);
    stub.reply("PUT /v1/w", 500, "{\"errors\":[\"broken\"]}").reply("PUT /v1/w", 204, "");
    assert!(call(&["write", "w", "a=b"]).fails(2).ends_with("* broken"));
    assert_eq!(stub.lines().len(), 4);
    stub.reply("PUT /v1/s", 503, "{\"errors\":[]}").reply("PUT /v1/s", 204, "");
    call(&["write", "s", "a=b"]).ok();
    assert_eq!(stub.lines().len(), 6);
    stub.reply("GET /v1/n", 501, "{\"errors\":[]}");
    assert!(call(&["read", "n"]).fails(2).contains("Code: 501. Errors:"));
    assert_eq!(stub.lines().len(), 7);
}

#[test]
fn one_redirect_is_followed_with_method_and_body() {
    let (stub, other) = (Stub::start(), Stub::start());
    let location = |to: &str| format!("Location: {to}\r\n");
    stub.reply_with("PUT /v1/x", 307, &location(&format!("{}/v1/x", other.url())), "");
    other.reply("PUT /v1/x", 204, "");
    stub.run(&["write", "x", "a=b"]).ok();
    assert_eq!(other.last().body, r#"{"a":"b"}"#);
    assert_eq!(other.last().header("x-vault-token"), Some("hvs.test"));
    assert!(stub.run(&["write", "-disable-redirects", "x", "a=b"]).fails(2).contains("Code: 307. Raw Message:"));
    stub.reply_with("GET /v1/loop", 307, &location("/v1/loop"), "");
    assert!(stub.run(&["read", "loop"]).fails(2).contains("Code: 307."));
    assert_eq!(stub.lines().iter().filter(|line| line.as_str() == "GET /v1/loop").count(), 2);
}

#[test]
fn a_token_that_cannot_be_sent_is_refused_here() {
    let stub = Stub::start();
    let told = stub.call(&["read", "x"]).env("VAULT_TOKEN", "a\u{7}b").run().fails(2);
    assert_eq!(told, "Error reading x: the token in use has characters that cannot be printed");
    assert!(stub.lines().is_empty());
}

#[test]
fn proxies_and_sockets_are_used() {
    let proxy = Stub::start();
    proxy.data("GET http://vault.test:8200/v1/x", "{\"a\":\"b\"}");
    let out = Call::new(&["read", "-field=a", "x"])
        .env("VAULT_ADDR", "http://vault.test:8200")
        .env("VAULT_HTTP_PROXY", &proxy.url())
        .run();
    assert_eq!(out.ok(), "b");
    assert_eq!(proxy.last().header("host"), Some("vault.test:8200"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"data\":{\"a\":\"sock\"}}").unwrap();
    });
    let done = Call::new(&["read", "-field=a", "x"]).env("VAULT_ADDR", &format!("unix://{}", path.display())).run();
    served.join().unwrap();
    assert_eq!(done.ok(), "sock");
}
