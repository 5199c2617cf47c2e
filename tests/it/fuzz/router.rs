//! Requests that were honest once, through the router of a server in memory with all its plugins.
//!
//! The kept requests lie in `tests/corpus/requests`; those named `bad-…` are refused as they stand, all others succeed.
//! What libFuzzer found, `found-…`, says nothing of that and is left out here.
//! Words in double braces stand for what a server makes by chance.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use leasehold::base::Timestamp;
use leasehold::base::time::{ManualClock, SystemClock, timeout};
use leasehold::core::{Core, InitInput, Settings};
use leasehold::http::{App as _, ConnectInfo, Peer, Server};
use leasehold::mount::Registry;
use leasehold::storage::memory::MemoryStorage;
use leasehold::{auth, engine};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::mutants::{Chance, corpus, mutate};
use super::targets::request::Message;
use super::{LONGEST, Memory, alone, spent};

const MUTANTS: usize = 20_000;
const SEED: u64 = 0x0bad_7007_e500_0005;

/// Requests that one server gets, if nobody seals it before: mutants unmount and revoke, after which many answers are the same.
const EACH_SERVER: usize = 50;

#[test]
fn kept_requests_are_answered_as_their_names_say() {
    run(async {
        let mut wrong = Vec::new();
        for (name, text) in honest() {
            let world = World::start().await;
            let got = world.send(Message::parse(&text)).await.unwrap();
            let is_refused = got.status.is_client_error();
            if is_refused != name.starts_with("bad-") || got.status.is_server_error() {
                wrong.push(format!("{name}: {} {}", got.status, got.text));
            }
            world.server.shutdown().await;
        }
        assert!(wrong.is_empty(), "{}", wrong.join(""));
    });
}

#[test]
fn no_mutant_of_a_request_breaks_the_server() {
    if !alone("router::no_mutant_of_a_request_breaks_the_server") {
        return;
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        PANICKED.store(true, Ordering::Release);
        usual(panicked);
    }));
    run(async {
        let mutants = Mutants::new();
        let mut chance = Chance(SEED);
        let mut world = World::start().await;
        let mut memory = Memory::default();
        let mut successes = 0;
        let mut refusals = 0;
        for number in 0..MUTANTS {
            if number % EACH_SERVER == EACH_SERVER - 1 || world.server.core().active().is_none() {
                world.server.shutdown().await;
                world = World::start().await;
            }
            let message = mutants.next(&mut chance);
            let start = spent();
            let answered = timeout(&SystemClock::new(), HANGS, world.send(message.clone())).await;
            let got = answered.unwrap_or_else(|| panic!("{} hangs", Shown(&message)));
            assert!(!PANICKED.load(Ordering::Acquire), "{}: a panic", Shown(&message));
            let took = spent().saturating_sub(start);
            assert!(took < LONGEST, "{}: {took:?}", Shown(&message));
            if let Some(got) = got {
                check(&message, &got);
                successes += usize::from(got.status.is_success());
                refusals += usize::from(got.status.is_client_error());
            }
            world.clock.advance(Duration::from_millis(500));
            memory.watch(number, MUTANTS);
        }
        assert!(successes > MUTANTS / 4 && refusals > MUTANTS / 4, "{successes} successes, {refusals} refusals");
    });
}

/// The kept requests that are some.
fn honest() -> Vec<(String, Vec<u8>)> {
    corpus("requests").into_iter().filter(|(name, _)| !name.starts_with("found-")).collect()
}

/// What any answer is held to.
fn check(message: &Message, got: &Got) {
    let shown = Shown(message);
    let is_health = String::from_utf8_lossy(&message.target).contains("/health");
    let is_sealed = got.status == StatusCode::SERVICE_UNAVAILABLE && got.text.contains("Vault is sealed");
    if got.status.is_server_error() && !is_health && !is_sealed {
        assert!(TOLD.iter().any(|told| got.text.contains(told)), "{shown}: {got:?}");
    }
    assert_eq!(got.headers["cache-control"], "no-store", "{shown}");
    if got.text.is_empty() {
        return;
    }
    let kind = got.headers.get("content-type").unwrap_or_else(|| panic!("{shown}: {got:?}")).to_str().unwrap();
    if kind != "application/json" {
        return assert!(!got.status.is_client_error() || got.text == "404 page not found\n", "{shown}: {got:?}");
    }
    let body: Value = serde_json::from_str(&got.text).unwrap_or_else(|error| panic!("{shown}: {error}: {got:?}"));
    if got.status.is_client_error() && !is_health {
        let errors = body["errors"].as_array();
        let is_told = errors.is_some_and(|errors| errors.iter().all(|error| error.as_str().is_some_and(|text| !text.is_empty())));
        // Of what is not there some say why.
        let is_missing = got.status == StatusCode::NOT_FOUND && body["request_id"].is_string();
        assert!(is_told || is_missing, "{shown}: {got:?}");
    }
}

/// The texts of failures that are the caller's doing and 500 all the same, for clients know them so (the spec pages of the
/// endpoints).
const TOLD: &[&str] = &[
    "failed to verify subset relationship between CIDR blocks on the role",
    "original token role",
    "failed to renew entry",
    "the auth method that gave the token is gone, not renewing",
    "does not exist during renewal",
    "invalid rekey seal configuration: ",
    "failed to read root key: invalid key: ",
];

/// Set by the first panic of any task.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Time after which nothing comes any more; the server's own clock does not move meanwhile.
const HANGS: Duration = Duration::from_secs(30);

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// A server with something of everything in it.
struct World {
    server: Server,
    router: axum::Router,
    clock: Arc<ManualClock>,
    info: Arc<ConnectInfo>,
    /// What stands in double braces, and for what.
    chosen: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl World {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let mut registry = Registry::new();
        engine::builtin(&mut registry);
        auth::builtin(&mut registry);
        let core = Core::new(Arc::new(MemoryStorage::new()), Settings::default(), registry, clock.clone());
        let input = InitInput { secret_shares: Some(1), secret_threshold: Some(1), ..InitInput::default() };
        let made = core.initialize(&input).await.unwrap();
        core.unseal(&hex::encode(made.shares[0].expose())).await.unwrap();
        let server = Server::new(core, Vec::new());
        let info = ConnectInfo { peer: Peer::Tcp("127.0.0.1:4711".parse().unwrap()), tls: false, limits: Arc::default() };
        let mut world = Self { router: server.router(), server, clock, info: Arc::new(info), chosen: Vec::new() };
        let first = made.root_token.expose();
        world.told(first, "auth/token/create", &json!({ "id": "root", "policies": ["root"], "no_parent": true })).await;
        for (path, body) in [
            ("sys/policies/acl/app", json!({ "policy": APP })),
            ("sys/policies/password/pins", json!({ "policy": "length = 8\nrule \"charset\" { charset = \"0123456789\" }" })),
            ("sys/mounts/kv", json!({ "type": "kv", "options": { "version": "1" } })),
            ("kv/app", json!({ "a": 1 })),
            ("cubbyhole/kept", json!({ "a": 1 })),
            ("sys/mounts/aws", json!({ "type": "aws" })),
            ("aws/config/lease", json!({ "lease": "1h", "lease_max": "24h" })),
            ("aws/roles/deploy", json!({ "credential_type": "iam_user", "policy_arns": "arn:aws:iam::aws:policy/A" })),
            ("auth/token/roles/jobs", json!({ "allowed_policies": "app" })),
            ("sys/auth/approle", json!({ "type": "approle" })),
            ("auth/approle/role/app", json!({ "token_policies": "app", "token_ttl": "1h", "role_id": "app-role-id" })),
        ] {
            world.told("root", path, &body).await;
        }
        let secret = json!({ "secret_id": "app-secret-id" });
        let secret = world.told("root", "auth/approle/role/app/custom-secret-id", &secret).await;
        let login = json!({ "role_id": "app-role-id", "secret_id": "app-secret-id" });
        world.told("", "auth/approle/login", &login).await;
        let plain = json!({ "id": "plain", "policies": ["app"], "ttl": "1h", "no_parent": true });
        let plain = world.told("root", "auth/token/create", &plain).await;
        let list = "LIST /v1/sys/leases/lookup/auth/approle/login\nX-Vault-Token: root\n\n";
        let leases = world.send(Message::parse(list.as_bytes())).await.unwrap();
        let leases: Value = serde_json::from_str(&leases.text).unwrap();
        let wrap = "POST /v1/sys/wrapping/wrap\nX-Vault-Token: root\nX-Vault-Wrap-TTL: 1h\n\n{\"a\":1}";
        let wrapped = world.send(Message::parse(wrap.as_bytes())).await.unwrap();
        let wrapped: Value = serde_json::from_str(&wrapped.text).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
        world.chosen = vec![
            ("{{accessor}}", text(&plain["auth"]["accessor"])),
            ("{{secret_id_accessor}}", text(&secret["data"]["secret_id_accessor"])),
            ("{{lease}}", format!("auth/approle/login/{}", text(&leases["data"]["keys"][0]))),
            ("{{wrapping}}", text(&wrapped["wrap_info"]["token"])),
        ];
        world
    }

    /// The reply to a write that has to succeed.
    async fn told(&self, token: &str, path: &str, body: &Value) -> Value {
        let text = format!("POST /v1/{path}\nX-Vault-Token: {token}\n\n{body}");
        let got = self.send(Message::parse(text.as_bytes())).await.unwrap();
        assert!(got.status.is_success(), "{path}: {got:?}");
        serde_json::from_str(&got.text).unwrap_or_default()
    }

    /// The answer; `None` to what HTTP does not let through.
    async fn send(&self, mut message: Message) -> Option<Got> {
        for (word, value) in &self.chosen {
            let places = message.headers.iter_mut().map(|(_, text)| text).chain([&mut message.body]);
            for place in places.filter(|place| place.windows(word.len()).any(|window| window == word.as_bytes())) {
                *place = String::from_utf8_lossy(place).replace(word, value).into_bytes();
            }
        }
        let mut request = message.build()?;
        request.extensions_mut().insert(Arc::clone(&self.info));
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = Body::new(body).collect().await.unwrap().to_bytes();
        Some(Got { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

/// What requests are made of, part by part: pieces of a path among bodies would break nothing but JSON.
struct Mutants {
    messages: Vec<Message>,
    targets: Vec<(String, Vec<u8>)>,
    values: Vec<(String, Vec<u8>)>,
    bodies: Vec<(String, Vec<u8>)>,
}

impl Mutants {
    fn new() -> Self {
        let messages: Vec<Message> = honest().iter().map(|(_, text)| Message::parse(text)).collect();
        let unnamed = |bytes: &Vec<u8>| (String::new(), bytes.clone());
        Self {
            targets: messages.iter().map(|message| unnamed(&message.target)).collect(),
            values: messages.iter().flat_map(|message| &message.headers).map(|(_, value)| unnamed(value)).collect(),
            bodies: messages.iter().map(|message| unnamed(&message.body)).filter(|(_, body)| !body.is_empty()).collect(),
            messages,
        }
    }

    fn next(&self, chance: &mut Chance) -> Message {
        let mut message = chance.of(&self.messages).clone();
        for _ in 0..=chance.below(3) {
            self.change(&mut message, chance);
        }
        message
    }

    fn change(&self, message: &mut Message, chance: &mut Chance) {
        match chance.below(16) {
            0 => message.method = chance.of(METHODS).as_bytes().to_vec(),
            1 | 2 => mutate(&mut message.target, &self.targets, PATHS, chance),
            3 => message.target.extend(chance.of(QUERIES).bytes()),
            4 if !message.headers.is_empty() => {
                let at = chance.below(message.headers.len());
                mutate(&mut message.headers[at].1, &self.values, VALUES, chance);
            }
            5 if !message.headers.is_empty() => drop(message.headers.remove(chance.below(message.headers.len()))),
            6 => {
                let (name, value) = chance.of(HEADERS);
                message.headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            }
            7 | 8 => mutate(&mut message.body, &self.bodies, JSON, chance),
            9 => message.body = chance.of(&self.bodies).1.clone(),
            _ => change_value(&mut message.body, chance),
        }
    }
}

/// Puts something unlikely in the place of one value of a JSON body, which stays JSON: what is read is then judged.
fn change_value(body: &mut Vec<u8>, chance: &mut Chance) {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return };
    change_below(&mut value, chance);
    *body = value.to_string().into_bytes();
}

fn change_below(value: &mut Value, chance: &mut Chance) {
    let goes_on = chance.below(3) > 0;
    match value {
        Value::Object(map) if !map.is_empty() => {
            let at = chance.below(map.len());
            change_below(map.values_mut().nth(at).unwrap(), chance);
        }
        Value::Array(items) if goes_on && !items.is_empty() => {
            let at = chance.below(items.len());
            change_below(&mut items[at], chance);
        }
        Value::String(text) if chance.below(2) == 0 => {
            let mut bytes = text.clone().into_bytes();
            mutate(&mut bytes, &[(String::new(), text.clone().into_bytes())], TEXTS, chance);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => *value = serde_json::from_str(chance.of::<&str>(HOSTILE)).unwrap(),
    }
}

/// A request, to run again.
struct Shown<'a>(&'a Message);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy;
        write!(f, "{} {}", text(&self.0.method), text(&self.0.target))?;
        for (name, value) in &self.0.headers {
            write!(f, " | {}: {}", text(name), text(value))?;
        }
        write!(f, " | {}", text(&self.0.body))
    }
}

const APP: &str = r#"
    path "kv/*" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "auth/token/*" { capabilities = ["read", "update"] }
    path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }
    path "sys/capabilities-self" { capabilities = ["update"] }
    path "sys/internal/ui/*" { capabilities = ["read"] }
"#;

const METHODS: &[&str] =
    &["GET", "POST", "PUT", "PATCH", "DELETE", "LIST", "HEAD", "OPTIONS", "HELP", "TRACE", "SCAN", "get", "X-Y", "CONNECT"];

const PATHS: &[&str] = &[
    "/",
    "//",
    "..",
    "%2e%2e",
    "%2F",
    "%00",
    "%",
    "%C3%A9",
    "%20",
    "?",
    "&",
    "=",
    "*",
    "+",
    "list=true",
    "/v1/",
    "\\",
    ":",
    "a",
];

const QUERIES: &[&str] = &[
    "?list=true",
    "?list=x",
    "?help=1",
    "?a=1&a=2",
    "?a=%ff",
    "?limit=-1",
    "?limit=99999999999999999999",
    "?generate=1;b",
    "?%00=%00",
    "/",
    "?token=root",
    "?type=irrevocable&limit=none",
];

const VALUES: &[&str] = &["root", "plain", "-1", "99999999999999999999", "1h", ",", ":", ";", "\t", "é", "hvs.", "hvb.AAAA"];

const HEADERS: &[(&str, &str)] = &[
    ("X-Vault-Wrap-TTL", "1m"),
    ("X-Vault-Wrap-TTL", "-1"),
    ("X-Vault-Wrap-TTL", "9999999999999h"),
    ("X-Vault-Wrap-Format", "jwt"),
    ("X-Vault-Token", "root"),
    ("X-Vault-Token", "plain"),
    ("X-Vault-Token", "hvb.AAAAAQ"),
    ("Authorization", "Basic cm9vdDo="),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Content-Type", "application/merge-patch+json; charset=utf-8"),
    ("Content-Type", ";;;"),
    ("Content-Encoding", "gzip"),
    ("X-Vault-Namespace", "a/b"),
    ("X-Vault-MFA", ":"),
    ("X-Vault-Policy-Override", "true"),
    ("X-Vault-No-Request-Forwarding", "true"),
    ("X-Vault-Index", "AAAA"),
    ("X-Forwarded-For", "1.2.3.4, ::1"),
    ("Expect", "100-continue"),
    ("Content-Length", "-5"),
];

const JSON: &[&str] =
    &["{", "}", "[", "]", "\"", ":", ",", "\\", "\\u0000", "\\ud800", "null", "1e999", "-", "{\"a\":", "\n", "\u{1}"];

/// In texts.
const TEXTS: &[&str] = &[
    "/",
    "..",
    "*",
    "+",
    ",",
    "=",
    ":",
    "{{",
    "}}",
    "{{identity.entity.name}}",
    "\0",
    "\n",
    "\"",
    "\\",
    "%",
    "${",
    "-",
    "0",
    "9",
    "h",
    "/33",
    "::",
    "é",
    "\u{202e}",
    "root",
    "{",
    "[",
    " ",
    "\u{10ffff}",
];

/// In the place of values.
const HOSTILE: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e999",
    "-1e-999",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999999999999999999999999",
    "\"\"",
    "\" \"",
    "\"-1\"",
    "\"-1h\"",
    "\"9223372036854775807\"",
    "\"9223372036s\"",
    "\"99999999999999999999h\"",
    "\"1e9\"",
    "\"\\u0000\"",
    "\"../..\"",
    "\"a/b\"",
    "\"A B\"",
    "\"root\"",
    "\"default\"",
    "\"plain\"",
    "\"auth/\"",
    "\"sys/\"",
    "\"0.0.0.0/0\"",
    "\"::/0\"",
    "\"1.2.3.4/99\"",
    "\"path \\\"*\\\" { capabilities = [\\\"sudo\\\"] }\"",
    "\"${a}\"",
    "[]",
    "[null]",
    "[[]]",
    "[\"a\",1,true]",
    "{}",
    "{\"a\":{\"b\":null}}",
    "{\"\":\"\"}",
];

#[test]
fn a_reply_is_not_taken_for_a_clean_one_when_it_is_none() {
    let message = Message::parse(b"GET /v1/a\n\n");
    let got = |status: u16, text: &str| {
        let headers = [("cache-control", "no-store"), ("content-type", "application/json")];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
        Got { status: StatusCode::from_u16(status).unwrap(), headers, text: text.to_owned() }
    };
    check(&message, &got(400, "{\"errors\":[\"no\"]}"));
    for (status, text) in
        [(500, "{\"errors\":[\"internal error\"]}"), (400, "{}"), (400, "no"), (502, ""), (503, "{\"errors\":[]}")]
    {
        let checked = panic::catch_unwind(|| check(&message, &got(status, text)));
        assert!(checked.is_err(), "{status} {text}");
    }
}

#[test]
fn mutants_are_the_same_in_every_run() {
    let mutants = Mutants::new();
    let (mut one, mut other) = (Chance(SEED), Chance(SEED));
    for _ in 0..100 {
        let message = mutants.next(&mut one);
        assert_eq!(Shown(&message).to_string(), Shown(&mutants.next(&mut other)).to_string());
    }
}
