use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::record::{HeaderFacts, PolicyResults};
use super::*;
use crate::base::Timestamp;
use crate::base::time::rfc3339_nano;

fn renderer(options: LineOptions) -> Renderer {
    Renderer::new(&Secret::from("a salt"), options)
}

fn at() -> DateTime<Utc> {
    "2026-03-04T05:06:07.089Z".parse().unwrap()
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

/// `expected` with `#(text)` standing for the hash of a text, and ends of lines for the reader only.
fn assert_line(renderer: &Renderer, record: &Record<'_>, expected: &str) {
    let line = renderer.line(record).unwrap();
    let mut text = expected.lines().map(str::trim_start).collect::<String>();
    while let Some((before, rest)) = text.split_once("#(") {
        let (value, after) = rest.split_once(')').unwrap();
        text = format!("{before}{}{after}", renderer.hash(value));
    }
    assert_eq!(std::str::from_utf8(&line).unwrap(), format!("{text}\n"));
}

fn root() -> Vec<String> {
    vec!["root".to_owned()]
}

fn root_auth(policies: &[String]) -> AuthFacts<'_> {
    AuthFacts {
        client_token: "hvs.tok",
        accessor: "acc",
        display_name: "root",
        policies,
        token_policies: policies,
        policy_results: Some(PolicyResults { allowed: true, granting: &["root"] }),
        token_type: "service",
        token_issue_time: Some(Timestamp::from_seconds(1_700_000_000)),
        ..AuthFacts::default()
    }
}

const CLEAR: &str = "clear";

fn kv_mount(clear: &[String]) -> MountFacts<'_> {
    MountFacts {
        point: "gau/",
        kind: "kv",
        accessor: "kv_12345678",
        running_version: "v0.1+builtin",
        class: "secret",
        clear_request_keys: clear,
        clear_response_keys: clear,
    }
}

fn kv_request<'a>(mount: MountFacts<'a>, operation: &'a str) -> RequestFacts<'a> {
    RequestFacts {
        id: "rid",
        client_id: "cid",
        operation,
        mount: Some(mount),
        client_token: "hvs.tok",
        client_token_accessor: "acc",
        path: "gau/a",
        remote_address: "127.0.0.1",
        remote_port: 40000,
        ..RequestFacts::default()
    }
}

#[test]
fn the_hash_is_hmac_sha256() {
    // The example everybody knows: key `key`.
    let renderer = Renderer::new(&Secret::from("key"), LineOptions::default());
    assert_eq!(
        renderer.hash("The quick brown fox jumps over the lazy dog"),
        "hmac-sha256:f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    );
    assert_eq!(renderer.hash("").len(), 12 + 64, "also of nothing");
}

#[test]
fn a_write_and_its_response() {
    let (root, clear) = (root(), vec![CLEAR.to_owned()]);
    let data = fields(json!({
        "secret": "s", "clear": "c", "n": 5, "b": true, "nul": null, "list": ["x", 1, {"y": "z"}], "when": "2024-01-02T03:04:05Z",
    }));
    let (plain, hashed) = (vec!["plain".to_owned()], vec!["hashed".to_owned()]);
    let headers = [
        HeaderFacts { name: "x-golden", values: &plain, hashed: false },
        HeaderFacts { name: "x-golden-h", values: &hashed, hashed: true },
    ];
    let auth = root_auth(&root);
    let request = RequestFacts { data: Some(&data), headers: &headers, ..kv_request(kv_mount(&clear), "create") };
    let response = ResponseFacts::default();
    let record = Record { time: at(), auth: &auth, request: &request, response: Some(&response), error: "" };
    let auth_text = r##""auth":{"client_token":"#(hvs.tok)","accessor":"#(acc)","display_name":"root","policies":["root"],
        "token_policies":["root"],"policy_results":{"allowed":true,"granting_policies":[{"name":"root","namespace_id":"root",
        "type":"acl"}]},"token_type":"service","token_issue_time":"2023-11-14T22:13:20Z"}"##;
    let request_text = r##""request":{"id":"rid","client_id":"cid","operation":"create","mount_point":"gau/","mount_type":"kv",
        "mount_accessor":"kv_12345678","mount_running_version":"v0.1+builtin","mount_class":"secret","client_token":"#(hvs.tok)",
        "client_token_accessor":"#(acc)","namespace":{"id":"root"},"path":"gau/a","data":{"b":true,"clear":"c",
        "list":["#(x)",1,{"y":"#(z)"}],"n":5,"nul":null,"secret":"#(s)","when":"2024-01-02T03:04:05Z"},
        "remote_address":"127.0.0.1","remote_port":40000,"headers":{"x-golden":["plain"],"x-golden-h":["#(hashed)"]}}"##;
    let expected = format!(
        r#"{{"time":"2026-03-04T05:06:07.089Z","type":"response",{auth_text},{request_text},"response":{{"mount_point":"gau/",
        "mount_type":"kv","mount_accessor":"kv_12345678","mount_running_plugin_version":"v0.1+builtin","mount_class":"secret"}}}}"#
    );
    assert_line(&renderer(LineOptions::default()), &record, &expected);
    let expected = format!(r#"{{"time":"2026-03-04T05:06:07.089Z","type":"request",{auth_text},{request_text}}}"#);
    assert_line(&renderer(LineOptions::default()), &Record { response: None, ..record }, &expected);
}

#[test]
fn what_the_line_before_says_is_said_the_same_again() {
    let (root, clear, data) = (root(), vec![], fields(json!({"secret": "s"})));
    let auth = root_auth(&root);
    let request = RequestFacts { data: Some(&data), ..kv_request(kv_mount(&clear), "update") };
    let first = Record { time: at(), auth: &auth, request: &request, response: None, error: "" };
    let response = ResponseFacts { data: Reply::Error("no"), ..ResponseFacts::default() };
    let later = at() + chrono::TimeDelta::seconds(1);
    let second = Record { time: later, response: Some(&response), error: "no", ..first };
    let other = RequestFacts { id: "another", ..request.clone() };
    let prefixed = LineOptions { prefix: "@cee: ".to_owned(), ..LineOptions::default() };
    let xml = LineOptions { format: Format::Jsonx, ..LineOptions::default() };
    for renderer in [LineOptions::default(), prefixed, xml].map(renderer) {
        let before = renderer.render(&first, None).unwrap();
        let after =
            |record: &Record<'_>, auth, request| renderer.render(record, Some((&before, Common { auth, request }))).unwrap().line;
        for (auth, request) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(after(&second, auth, request), renderer.line(&second).unwrap());
        }
        // It is not looked at what it is told to have in common.
        let told = after(&Record { request: &other, ..second }, false, true);
        let expected = if renderer.options.format == Format::Json { &second } else { &Record { request: &other, ..second } };
        assert_eq!(told, renderer.line(expected).unwrap());
    }
}

#[test]
fn a_denied_request_of_nobody() {
    let request = RequestFacts { id: "rid", operation: "read", path: "nosuch/x", ..RequestFacts::default() };
    let response = ResponseFacts { data: Reply::Error("permission denied"), ..ResponseFacts::default() };
    let error = "1 error occurred:\n\t* permission denied\n\n";
    let record = Record { time: at(), auth: &AuthFacts::ANONYMOUS, request: &request, response: Some(&response), error };
    assert_line(
        &renderer(LineOptions::default()),
        &record,
        r##"{"time":"2026-03-04T05:06:07.089Z","type":"response","auth":{"token_type":"default"},"request":{"id":"rid",
        "operation":"read","namespace":{"id":"root"},"path":"nosuch/x"},"response":{"data":{"error":"#(permission denied)"}},
        "error":"1 error occurred:\n\t* permission denied\n\n"}"##,
    );
}

#[test]
fn a_login_and_what_it_gave() {
    let policies = vec!["default".to_owned()];
    let metadata = BTreeMap::from([("role_name".to_owned(), "r".to_owned())]);
    let token = AuthFacts {
        client_token: "hvs.new",
        accessor: "new-acc",
        display_name: "gau",
        policies: &policies,
        token_policies: &policies,
        metadata: Some(&metadata),
        num_uses: 3,
        entity_id: "eid",
        token_type: "service",
        token_ttl: 2_764_800,
        ..AuthFacts::default()
    };
    let auth = AuthFacts { entity_created: true, num_uses: 0, remaining_uses: 7, no_default_policy: true, ..token.clone() };
    let request = RequestFacts { id: "rid", operation: "update", path: "auth/gau/login", ..RequestFacts::default() };
    let warnings = vec!["careful".to_owned()];
    let response = ResponseFacts { auth: Some(&token), warnings: &warnings, ..ResponseFacts::default() };
    let record = Record { time: at(), auth: &auth, request: &request, response: Some(&response), error: "" };
    assert_line(
        &renderer(LineOptions::default()),
        &record,
        r##"{"time":"2026-03-04T05:06:07.089Z","type":"response","auth":{"client_token":"#(hvs.new)","accessor":"#(new-acc)",
        "display_name":"gau","policies":["default"],"token_policies":["default"],"no_default_policy":true,
        "metadata":{"role_name":"r"},"remaining_uses":7,"entity_id":"eid","entity_created":true,"token_type":"service",
        "token_ttl":2764800},"request":{"id":"rid","operation":"update","namespace":{"id":"root"},"path":"auth/gau/login"},
        "response":{"auth":{"client_token":"#(hvs.new)","accessor":"#(new-acc)","display_name":"gau","policies":["default"],
        "token_policies":["default"],"metadata":{"role_name":"r"},"num_uses":3,"entity_id":"eid","token_type":"service",
        "token_ttl":2764800},"warnings":["careful"]}}"##,
    );
}

#[test]
fn a_wrapped_reply_shows_its_token_hashed() {
    let wrap = WrapFacts {
        ttl: 60,
        token: "hvs.wrap",
        accessor: "wrap-acc",
        creation_time: "2026-03-04T05:06:07Z",
        creation_path: "gau/a",
        wrapped_accessor: "inner",
    };
    let request = RequestFacts { id: "rid", operation: "read", path: "gau/a", wrap_ttl: 60, ..RequestFacts::default() };
    let response = ResponseFacts { wrap: Some(wrap), ..ResponseFacts::default() };
    let record = Record { time: at(), auth: &AuthFacts::ANONYMOUS, request: &request, response: Some(&response), error: "" };
    let head = r#"{"time":"2026-03-04T05:06:07.089Z","type":"response","auth":{"token_type":"default"},"request":{"id":"rid",
        "operation":"read","namespace":{"id":"root"},"path":"gau/a","wrap_ttl":60},"#;
    let tail = r##""response":{"wrap_info":{"ttl":60,"token":"#(hvs.wrap)","accessor":"#(wrap-acc)",
        "creation_time":"2026-03-04T05:06:07Z","creation_path":"gau/a","wrapped_accessor":"#(inner)"}}}"##;
    assert_line(&renderer(LineOptions::default()), &record, &format!("{head}{tail}"));
    let clear = tail.replace("#(wrap-acc)", "wrap-acc").replace("#(inner)", "inner");
    let options = LineOptions { hmac_accessor: false, ..LineOptions::default() };
    assert_line(&renderer(options), &record, &format!("{head}{clear}"));
}

/// What stands under `response.data` of a list.
fn list_data(options: LineOptions, clear: &[String], reply: Reply<'_>) -> Value {
    let request = kv_request(kv_mount(clear), "list");
    let response = ResponseFacts { data: reply, lease: Some(""), ..ResponseFacts::default() };
    let record = Record { time: at(), auth: &AuthFacts::ANONYMOUS, request: &request, response: Some(&response), error: "" };
    let line = renderer(options).line(&record).unwrap();
    let mut value: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(value["response"]["secret"], json!({}), "a secret without a lease");
    value["response"]["data"].take()
}

#[test]
fn lists_show_hashes_or_their_length() {
    let hash = |text: &str| renderer(LineOptions::default()).hash(text);
    let keys = ["a".to_owned(), "b/".to_owned()];
    let beside = fields(json!({"key_info": {"a": {"x": "y"}}}));
    let whole = fields(json!({"keys": ["a", "b/"], "key_info": {"a": {"x": "y"}}}));
    let shown = json!({"keys": [hash("a"), hash("b/")], "key_info": {"a": {"x": hash("y")}}});
    for reply in [Reply::List(&keys, &beside), Reply::Data(&whole)] {
        assert_eq!(list_data(LineOptions::default(), &[], reply), shown);
        let elide = LineOptions { elide_list_responses: true, ..LineOptions::default() };
        assert_eq!(list_data(elide, &[], reply), json!({"keys": 2, "key_info": 1}));
        let clear = list_data(LineOptions::default(), &["keys".to_owned()], reply);
        assert_eq!(clear["keys"], json!(["a", "b/"]));
    }
}

#[test]
fn raw_lines_and_prefixes_and_xml() {
    let root = root();
    let data = fields(json!({"secret": "s"}));
    let request = RequestFacts { data: Some(&data), ..kv_request(kv_mount(&[]), "update") };
    let auth = root_auth(&root);
    let record = Record { time: at(), auth: &auth, request: &request, response: None, error: "" };
    let raw = LineOptions { log_raw: true, prefix: "@cee: ".to_owned(), ..LineOptions::default() };
    let line = renderer(raw).line(&record).unwrap();
    let value: Value = serde_json::from_slice(line.strip_prefix(b"@cee: ").unwrap()).unwrap();
    assert_eq!(value["request"]["data"], json!({"secret": "s"}));
    assert_eq!(value["request"]["client_token"], "hvs.tok");
    assert_eq!(value["auth"]["accessor"], "acc");
    let xml = LineOptions { format: Format::Jsonx, prefix: "p ".to_owned(), ..LineOptions::default() };
    let xml = renderer(xml);
    let line = String::from_utf8(xml.line(&record).unwrap().to_vec()).unwrap();
    assert!(line.starts_with("p <json:object ") && line.ends_with("</json:object>\n"), "{line}");
    assert!(line.contains(&format!("<json:string name=\"secret\">{}</json:string>", xml.hash("s"))), "{line}");
}

#[test]
fn only_true_times_stay_readable() {
    for time in ["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.123456789+02:00", "2024-02-29T23:59:59-11:30"] {
        assert!(is_time(time), "{time}");
    }
    for other in [
        "",
        "2024-01-02",
        "2024-01-02 03:04:05Z",
        "2024-01-02t03:04:05z",
        "2024-13-02T03:04:05Z",
        "2023-02-29T03:04:05Z",
        "2024-01-02T03:04:60Z",
        "2024-01-02T03:04:05",
        "2024-01-02T03:04:05.1234567890123456789Z",
        "é024-01-02T03:04:05Z",
    ] {
        assert!(!is_time(other), "{other}");
    }
}

#[test]
fn a_body_that_hashes_beyond_measure_is_refused() {
    let items: Vec<Value> = (0..1_000_000).map(|_| json!("")).collect();
    let data = fields(json!({"a": items}));
    let request = RequestFacts { data: Some(&data), ..RequestFacts::default() };
    let record = Record { time: at(), auth: &AuthFacts::ANONYMOUS, request: &request, response: None, error: "" };
    assert_eq!(renderer(LineOptions::default()).line(&record), Err(AuditError::TooLong));
}

/// The rule of the specification over a tree, without regard for speed.
fn naive(renderer: &Renderer, value: &Value, clear: &[String], nearest: &str) -> Value {
    match value {
        Value::String(text) if clear.iter().any(|key| key == nearest) || is_time(text) => json!(text),
        Value::String(text) => json!(renderer.hash(text)),
        Value::Array(items) => items.iter().map(|item| naive(renderer, item, clear, nearest)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, field)| (key.clone(), naive(renderer, field, clear, key))).collect())
        }
        other => other.clone(),
    }
}

fn trees() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(serde_json::from_str("1.2300000000000000000000001e-7").unwrap()),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("2024-01-02T03:04:05Z")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-d]|clear|.{0,4}", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_body_is_hashed_as_the_rule_says(data in prop::collection::btree_map("[a-d]|clear|.{0,4}", trees(), 1..5)) {
        let clear = [CLEAR.to_owned(), "a".to_owned()];
        let data: Map<String, Value> = data.into_iter().collect();
        let request = RequestFacts { data: Some(&data), ..kv_request(kv_mount(&clear), "update") };
        let record = Record { time: at(), auth: &AuthFacts::ANONYMOUS, request: &request, response: None, error: "" };
        let renderer = renderer(LineOptions::default());
        let line = renderer.line(&record).unwrap();
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1), "one line");
        let shown: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(&shown["request"]["data"], &naive(&renderer, &Value::Object(data), &clear, ""));
    }

    #[test]
    fn times_are_written_as_everywhere_else(seconds in 0_i64..253_402_300_800, nanos in 0_u32..1_000_000_000) {
        let moment = DateTime::from_timestamp(seconds, nanos).unwrap();
        let mut out = Vec::new();
        time(&mut out, moment);
        prop_assert_eq!(String::from_utf8(out).unwrap(), rfc3339_nano(moment));
    }
}
