//! Logins of somebody who means ill, or has it wrong: each is refused, gives no token, and reaches nobody but the endpoint that
//! was configured.

use std::net::TcpListener;
use std::time::Duration;

use leasehold::aws::sandbox::{Effect, RawReply};
use serde_json::{Value, json};

use super::signer::{BODY, Keys, Login, Wish};
use super::world::{ACCOUNT, Got, World};

/// A login that must fail: its name, and the code; empty where the text says it all.
type Case = (&'static str, Login, &'static str);

/// What the tests of this file share: a world, an honest client of it, and somebody who listens where nobody may call.
struct Stage {
    world: World,
    keys: Keys,
    canary: TcpListener,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let keys = world.user("bob");
        world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") })).await;
        world.write("auth/aws/config/client", json!({ "max_retries": 0 })).await.is(204);
        let canary = TcpListener::bind("127.0.0.1:0").unwrap();
        canary.set_nonblocking(true).unwrap();
        Self { world, keys, canary }
    }

    fn canary(&self) -> String {
        self.canary.local_addr().unwrap().to_string()
    }

    fn post(&self) -> Login {
        self.world.signed(&self.keys, &Wish::post("us-east-1")).role("bob")
    }

    fn get(&self) -> Login {
        self.world.signed(&self.keys, &Wish::presigned("us-east-1")).role("bob")
    }

    fn signed(&self, wish: &Wish) -> Login {
        self.world.signed(&self.keys, wish).role("bob")
    }

    /// All of them are refused, and whether STS was asked is as told; whoever is honest still logs in.
    async fn refuse(&self, cases: Vec<Case>, asks: bool) -> usize {
        let count = self.refuse_all(cases, asks).await;
        self.is_well().await;
        count
    }

    async fn refuse_all(&self, cases: Vec<Case>, asks: bool) -> usize {
        let count = cases.len();
        for (name, login, code) in cases {
            let (tokens, calls) = (self.world.tokens().await, self.world.sandbox.count());
            let got = self.world.log_in(&login).await;
            Self::is_refused(name, &got, code);
            assert_eq!(self.world.sandbox.count() > calls, asks, "{name}: {got:?}");
            assert_eq!(self.world.tokens().await, tokens, "{name}");
        }
        count
    }

    #[track_caller]
    fn is_refused(name: &str, got: &Got, code: &str) {
        assert!(got.status.is_client_error(), "{name}: {got:?}");
        assert!(got.body["auth"].is_null() && !got.error().is_empty(), "{name}: {got:?}");
        assert_eq!(got.code(), code, "{name}: {got:?}");
    }

    /// The server is alive, and nobody called where he may not.
    async fn is_well(&self) {
        self.world.log_in(&self.post()).await.is(200);
        let called = self.canary.accept().map_err(|error| error.kind());
        assert_eq!(called.err(), Some(std::io::ErrorKind::WouldBlock), "somebody called the canary");
    }
}

fn with_url(login: &Login, url: &str) -> Login {
    Login { url: url.to_owned(), ..login.clone() }
}

fn with_body(login: &Login, body: &str) -> Login {
    Login { body: body.to_owned(), ..login.clone() }
}

#[tokio::test]
async fn requests_that_are_not_what_they_should_be_never_leave() {
    let stage = Stage::new().await;
    let post = stage.post();
    let many: Vec<(String, Value)> = (0..70).map(|number| (format!("x-h{number}"), json!("x"))).collect();
    let mut crowd = post.clone();
    crowd.headers.extend(many);
    let mut twice = post.clone();
    let authorization = twice.headers.iter().find(|(name, _)| name == "authorization").unwrap().1.clone();
    twice.headers.push(("Authorization".to_owned(), authorization.clone()));
    let mut bare = post.clone();
    bare.headers.retain(|(name, _)| name != "authorization");
    let both = |text: &str| json!([text, text]);
    let doubled = |name: &str, text: &str| {
        let mut login = post.clone();
        login.headers.push((name.to_owned(), json!([text])));
        login
    };
    let no_headers = Login { headers: Vec::new(), ..post.clone() };
    let date = post.headers.iter().find(|(name, _)| name == "x-amz-date").unwrap().1[0].as_str().unwrap().to_owned();
    let cases = vec![
        ("method PUT", Login { method: "PUT".to_owned(), ..post.clone() }, ""),
        ("method get", Login { method: "get".to_owned(), ..post.clone() }, ""),
        ("no method", Login { method: String::new(), ..post.clone() }, ""),
        ("no url", with_url(&post, ""), ""),
        ("no url at all", with_url(&post, "nonsense"), ""),
        ("opaque url", with_url(&post, "https:@evil"), ""),
        ("user in the url", with_url(&post, "https://bob@sts.amazonaws.com/"), ""),
        ("host behind a user", with_url(&post, &format!("https://sts.amazonaws.com@{}/", stage.canary())), ""),
        ("fragment in the url", with_url(&post, "https://sts.amazonaws.com/#x"), ""),
        ("path in the url", with_url(&post, "https://sts.amazonaws.com/x"), ""),
        ("scheme ftp", with_url(&post, "ftp://sts.amazonaws.com/"), ""),
        ("backslash in the url", with_url(&post, "https://sts.amazonaws.com\\@evil/"), ""),
        ("line break in the url", with_url(&post, "https://sts.amazonaws.com/\r\nHost: evil"), ""),
        ("long url", with_url(&post, &format!("https://sts.amazonaws.com/?{}", "x".repeat(9000))), ""),
        ("query of a post", with_url(&post, &format!("https://sts.amazonaws.com/?{BODY}")), ""),
        ("other action", with_body(&post, "Action=GetSessionToken&Version=2011-06-15"), ""),
        ("second action", with_body(&post, "Action=GetCallerIdentity&Action=GetSessionToken&Version=2011-06-15"), ""),
        ("second action, encoded", with_body(&post, "Action=GetCallerIdentity&%41ction=AssumeRole&Version=2011-06-15"), ""),
        ("no action", with_body(&post, "Version=2011-06-15"), ""),
        ("extra key", with_body(&post, "Action=GetCallerIdentity&Version=2011-06-15&RoleArn=x"), ""),
        ("other version", with_body(&post, "Action=GetCallerIdentity&Version=2010-05-08"), ""),
        ("semicolon", with_body(&post, "Action=GetCallerIdentity;Version=2011-06-15"), ""),
        ("line break in the body", with_body(&post, "Action=GetCallerIdentity&Version=2011-06-15\r\n\r\nGET / HTTP/1.1"), ""),
        ("no body", with_body(&post, ""), ""),
        ("large body", with_body(&post, &format!("Action=GetCallerIdentity&Version={}", "1".repeat(2000))), ""),
        ("no headers", no_headers, ""),
        ("foreign X-Amz header", post.clone().header("x-amz-mallory", json!("x")), ""),
        ("nested header", post.clone().header("x", json!({ "a": { "b": ["c"] } })), ""),
        ("header in a header", post.clone().header("x", json!([["y"]])), ""),
        ("a line break in a header", post.clone().header("x", json!("y\r\nHost: evil")), ""),
        ("a nul in a header", post.clone().header("x", json!("y\0")), ""),
        ("a blank in a name", post.clone().header("x y", json!("z")), ""),
        ("a line break in a name", post.clone().header("x\r\nhost", json!("evil")), ""),
        ("an empty name", post.clone().header("", json!("x")), ""),
        ("many headers", crowd, ""),
        ("many values", post.clone().header("x", json!(["1", "2", "3", "4", "5"])), ""),
        ("huge header", post.clone().header("x", json!("y".repeat(20_000))), ""),
        ("huge headers", post.clone().header("x", json!("y".repeat(200_000))), ""),
        ("json as answer", post.clone().header("accept", json!("application/json")), ""),
        ("json as body", post.clone().header("content-type", json!("application/json")), ""),
        ("authorization twice, in either case", twice, ""),
        ("authorization with two values", post.clone().header("authorization", both(authorization[0].as_str().unwrap())), ""),
        ("no authorization", bare, ""),
        ("other service", post.clone().authorization(|text| text.replace("/sts/", "/iam/")), ""),
        ("no region", post.clone().authorization(|text| text.replace("/us-east-1/", "//")), ""),
        ("short scope", post.clone().authorization(|text| text.replace("/us-east-1/sts/aws4_request", "")), ""),
        ("other algorithm", post.clone().authorization(|text| text.replace("HMAC-SHA256", "ECDSA-P256-SHA256")), ""),
        ("two lists of signed headers", post.clone().authorization(|text| format!("{text}, SignedHeaders=host")), ""),
        ("another field", post.clone().authorization(|text| format!("{text}, Foo=bar")), ""),
        ("host unsigned", post.clone().authorization(|text| text.replace(";host;", ";")), "host_unsigned"),
        ("two dates", post.clone().header("x-amz-date", both(&date)), ""),
        ("two dates in either case", doubled("X-Amz-Date", &date), ""),
        ("a host with a line break", post.clone().header("Host", json!("sts.amazonaws.com\r\nX: y")), ""),
    ];
    assert_eq!(stage.refuse(cases, false).await, 53);
}

#[tokio::test]
async fn presigned_requests_that_are_not_what_they_should_be_never_leave() {
    let stage = Stage::new().await;
    let (post, get) = (stage.post(), stage.get());
    let authorization = post.headers.iter().find(|(name, _)| name == "authorization").unwrap().1.clone();
    let cases = vec![
        ("get without action", with_url(&get, &get.url.replace("Action=GetCallerIdentity&", "")), ""),
        ("get with two actions", with_url(&get, &get.url.replace("Action=", "Action=GetCallerIdentity&Action=")), ""),
        ("get of another action", with_url(&get, &get.url.replace("GetCallerIdentity", "GetSessionToken")), ""),
        ("get with a body", with_body(&get, BODY), ""),
        ("get with a foreign key", with_url(&get, &format!("{}&Foo=bar", get.url)), ""),
        ("get with a foreign X-Amz key", with_url(&get, &format!("{}&X-Amz-Mallory=x", get.url)), ""),
        ("get with two signatures", with_url(&get, &format!("{}&X-Amz-Signature=00", get.url)), ""),
        ("get with a signature in either case", with_url(&get, &format!("{}&x-amz-signature=00", get.url)), ""),
        ("get for a week", with_url(&get, &get.url.replace("X-Amz-Expires=900", "X-Amz-Expires=604800")), ""),
        ("get for no time", with_url(&get, &get.url.replace("X-Amz-Expires=900", "X-Amz-Expires=0")), ""),
        ("get that is signed twice", get.clone().header("authorization", authorization.clone()), ""),
        ("get of no region", with_url(&get, &get.url.replace("us-east-1%2Fsts", "%2Fsts")), ""),
    ];
    assert_eq!(stage.refuse(cases, false).await, 12);
}

#[tokio::test]
async fn a_login_for_another_server_never_leaves() {
    let stage = Stage::new().await;
    let id = "x-vault-aws-iam-server-id";
    stage.world.write("auth/aws/config/client", json!({ "iam_server_id_header_value": "vault.example.com" })).await.is(204);
    let (post, get) = (stage.post(), stage.get());
    let ours = |wish: Wish| stage.signed(&wish.header(id, "vault.example.com"));
    let cases = vec![
        ("no id", post.clone(), "server_id_missing"),
        ("no id in a presigned request", get.clone(), "server_id_missing"),
        ("another id", stage.signed(&Wish::post("us-east-1").header(id, "dev.example.com")), "server_id_mismatch"),
        ("an id in other letters", stage.signed(&Wish::post("us-east-1").header(id, "VAULT.example.com")), "server_id_mismatch"),
        ("an id that was added", post.clone().header(id, json!("vault.example.com")), "server_id_unsigned"),
        (
            "an id that was added in capitals",
            post.clone().header(&id.to_uppercase(), json!("vault.example.com")),
            "server_id_unsigned",
        ),
        ("an id that was added to a presigned request", get.header(id, json!("vault.example.com")), "server_id_unsigned"),
        ("our id beside another", ours(Wish::post("us-east-1")).header(&id.to_uppercase(), json!("x")), "server_id_mismatch"),
        (
            "an id whose name is part of a signed one",
            post.header(id, json!("vault.example.com"))
                .authorization(|text| text.replace(";host;", ";host;x-x-vault-aws-iam-server-id;")),
            "server_id_unsigned",
        ),
    ];
    let count = stage.refuse_all(cases, false).await;
    assert_eq!(count, 9);
    stage.world.log_in(&ours(Wish::post("us-east-1"))).await.is(200);
}

#[tokio::test]
async fn without_an_endpoint_of_the_operators_only_the_regions_own_sts_is_asked() {
    let stage = Stage::new().await;
    stage.world.write("auth/aws/config/client", json!({ "sts_endpoint": "" })).await.is(204);
    let region = "region_scope";
    for (name, wish, code) in [
        ("another host", Wish::post("us-east-1").url("https://evil.example/"), region),
        ("a region in another's name", Wish::post("us-east-1").url("https://sts.us-east-1.amazonaws.com.evil.example/"), region),
        ("another region's host", Wish::post("us-east-1").url("https://sts.us-west-2.amazonaws.com/"), region),
        ("the global host for another region", Wish::post("us-west-2").url("https://sts.amazonaws.com/"), region),
        ("another partition's host", Wish::post("cn-north-1").url("https://sts.cn-north-1.amazonaws.com/"), region),
        ("a dot at the end", Wish::post("us-east-1").url("https://sts.amazonaws.com./"), region),
        ("the metadata service", Wish::post("us-east-1").url("https://169.254.169.254/"), region),
        ("an address", Wish::post("us-east-1").url("https://[::1]/"), region),
        ("another port", Wish::post("us-east-1").url(&format!("https://{}/", stage.canary())), ""),
        ("a port of STS", Wish::post("us-east-1").url("https://sts.amazonaws.com:8443/"), ""),
        ("plain http", Wish::post("us-east-1").url(&format!("http://{}/", stage.canary())), ""),
        ("a region that is none", Wish { region: "mars-1".to_owned(), ..Wish::post("us-east-1") }, region),
        ("a region with a host in it", Wish { region: "evil.example#".to_owned(), ..Wish::post("us-east-1") }, region),
        ("a region with a host before it", Wish { region: "x@evil.example".to_owned(), ..Wish::post("us-east-1") }, region),
        (
            "a presigned request to another host",
            Wish::presigned("us-east-1").url(&format!("https://evil.example/?{BODY}")),
            region,
        ),
    ] {
        let calls = stage.world.sandbox.count();
        let got = stage.world.log_in(&stage.signed(&wish)).await;
        Stage::is_refused(name, &got, code);
        assert_eq!(stage.world.sandbox.count(), calls, "{name}");
    }
    let url = stage.world.sandbox.url();
    stage.world.write("auth/aws/config/client", json!({ "sts_endpoint": url })).await.is(204);
    stage.is_well().await;
}

#[tokio::test]
async fn what_sts_refuses_is_refused_by_its_name() {
    let stage = Stage::new().await;
    let (post, keys) = (stage.post(), &stage.keys);
    let wrong = Keys { secret: "wrong".to_owned(), ..keys.clone() };
    let unknown = Keys { id: "AKIAUNKNOWNUNKNOWN00".to_owned(), ..keys.clone() };
    let strange = Keys { token: Some("strange".to_owned()), ..keys.clone() };
    let wish = Wish::post("us-east-1");
    let cases = vec![
        ("another secret", stage.world.signed(&wrong, &wish).role("bob"), "client_signature"),
        ("another key", stage.world.signed(&unknown, &wish).role("bob"), "client_key_unknown"),
        ("a session token of nobody", stage.world.signed(&strange, &wish).role("bob"), "client_key_unknown"),
        ("the host was changed", with_url(&post, "https://evil.example/"), "client_signature"),
        (
            "the host was changed, and the header Host was not",
            with_url(&post, "https://evil.example/").header("Host", json!("sts.us-east-1.amazonaws.com")),
            "client_signature",
        ),
        ("the port was changed", with_url(&post, "https://sts.amazonaws.com:8443/"), "client_signature"),
        (
            "a header was changed",
            post.clone().header("content-type", json!("application/x-www-form-urlencoded")),
            "client_signature",
        ),
        ("the region was changed", post.clone().authorization(|text| text.replace("us-east-1", "us-west-2")), "client_signature"),
        ("the body was changed", with_body(&post, "Action=GetCallerIdentity"), "client_signature"),
        (
            "a parameter was changed",
            with_url(&stage.get(), &stage.get().url.replace("Expires=900", "Expires=800")),
            "client_signature",
        ),
    ];
    let cases: Vec<Case> = cases.into_iter().filter(|(name, ..)| *name != "the body was changed").collect();
    stage.refuse(cases, true).await;
    // Without its version STS does not know the action.
    let got = stage.world.log_in(&with_body(&post, "Action=GetCallerIdentity")).await;
    Stage::is_refused("the body was changed", &got, "sts_reply_invalid");
    let (old, presigned) = (stage.post(), stage.get());
    stage.world.clock.advance(Duration::from_mins(16));
    stage.refuse(vec![("a replay after 15 minutes", old, "clock_skew"), ("an old URL", presigned, "clock_skew")], true).await;
    let future = Wish::post("us-east-1").signed(keys, stage.world.now() + Duration::from_hours(1)).role("bob");
    stage.refuse(vec![("a request of tomorrow", future, "clock_skew")], true).await;
    stage.world.sandbox.create_role("web", None, &[]).unwrap();
    let session = stage.world.assume("web", "session").await;
    stage.world.clock.advance(Duration::from_hours(13));
    let expired = stage.world.signed(&session, &wish).role("bob");
    stage.refuse(vec![("credentials of yesterday", expired, "client_credentials_expired")], true).await;
}

#[tokio::test]
async fn a_forged_reply_is_no_identity() {
    let stage = Stage::new().await;
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/bob");
    let id = stage.world.sandbox.user("bob").unwrap().id;
    let result = format!(
        "<GetCallerIdentityResult><Arn>{arn}</Arn><UserId>{id}</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
    );
    let root = |inside: &str| {
        format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{inside}</GetCallerIdentityResponse>"
        )
    };
    let honest = root(&result);
    let raw = |status: u16, content_type: &str, body: String| RawReply {
        status,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: body.into_bytes(),
    };
    let xml = |body: String| raw(200, "text/xml", body);
    stage.world.sandbox.faults().next("GetCallerIdentity", Effect::Raw(xml(honest.clone())));
    stage.world.log_in(&stage.post()).await.is(200);
    let mut packed = xml(honest.clone());
    packed.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    let mut away = raw(302, "text/xml", String::new());
    away.headers.push(("location".to_owned(), format!("http://{}/", stage.canary())));
    let error =
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Code>X</Code></Error></ErrorResponse>";
    let invalid = "sts_reply_invalid";
    for (name, reply, code) in [
        ("two results", xml(root(&format!("{result}{result}"))), invalid),
        ("two results, one of them empty", xml(root(&format!("{result}<GetCallerIdentityResult/>"))), invalid),
        ("an entity", xml(honest.replace("user/bob", "user/&bob;")), invalid),
        ("a document type", xml(format!("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]>{honest}")), invalid),
        ("another namespace", xml(honest.replace("2011-06-15", "2011-06-16")), invalid),
        ("no namespace", xml(honest.replace(" xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"", "")), invalid),
        ("an error under 200", xml(format!("<?xml version=\"1.0\"?>{error}")), invalid),
        ("an honest body under 403", raw(403, "text/xml", honest.clone()), invalid),
        ("a truncated reply", xml(honest[..honest.len() - 20].to_owned()), invalid),
        ("junk before it", xml(format!("junk{honest}")), invalid),
        ("junk behind it", xml(format!("{honest}junk")), invalid),
        ("another document behind it", xml(format!("{honest}{honest}")), invalid),
        ("a comment", xml(honest.replace("<Arn>", "<!-- --><Arn>")), invalid),
        ("no account", xml(honest.replace(&format!("<Account>{ACCOUNT}</Account>"), "")), invalid),
        ("another account beside the ARN", xml(honest.replace(&format!("<Account>{ACCOUNT}"), "<Account>1")), invalid),
        ("html", raw(200, "text/html", honest.clone()), invalid),
        ("XML with a parameter", raw(200, "text/xml; charset=utf-8", honest.clone()), invalid),
        ("json", raw(200, "application/json", "{\"GetCallerIdentityResponse\":{}}".to_owned()), invalid),
        ("nothing", xml(String::new()), invalid),
        ("compressed", packed, invalid),
        ("a redirect", away, invalid),
        ("too much", xml(root(&format!("{result}<x>{}</x>", "y".repeat(100_000)))), "sts_unreachable"),
        ("a failure", raw(500, "text/xml", error.to_owned()), "sts_unreachable"),
        ("too many calls", raw(429, "text/xml", error.to_owned()), "sts_unreachable"),
        ("the root of the account", xml(honest.replace("user/bob", "root")), ""),
        ("a federated user", xml(honest.replace("user/bob", "federated-user/bob")), ""),
        ("an instance profile", xml(honest.replace("user/bob", "instance-profile/bob")), ""),
    ] {
        stage.world.sandbox.faults().next("GetCallerIdentity", Effect::Raw(reply));
        let got = stage.world.log_in(&stage.post()).await;
        Stage::is_refused(name, &got, code);
    }
    stage.is_well().await;
}

#[tokio::test]
async fn what_a_client_says_of_its_connection_is_not_sent_on() {
    let stage = Stage::new().await;
    let login = stage
        .post()
        .header("Content-Length", json!("5"))
        .header("Transfer-Encoding", json!("chunked"))
        .header("Connection", json!("upgrade"))
        .header("Upgrade", json!("h2c"))
        .header("TE", json!("trailers"))
        .header("Expect", json!("100-continue"))
        .header("Proxy-Authorization", json!("x"))
        .header("Accept-Encoding", json!("gzip"))
        .header("Host", json!("evil.example"));
    stage.world.log_in(&login).await.is(200);
    stage.is_well().await;
}

#[tokio::test]
async fn a_role_of_the_same_name_in_another_account_stays_outside_with_a_warm_cache() {
    let stage = Stage::new().await;
    let world = &stage.world;
    let second = world.sandbox.second_account();
    world.sandbox.create_role("web", None, &[]).unwrap();
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:root"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    second.create_role("web", Some(&trust), &[]).unwrap();
    world.role("all", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:role/*") })).await;
    let ours = world.assume("web", "s-1").await;
    world.clock.advance(Duration::from_secs(1));
    let theirs = world.assume_in(second.account(), "web", "s-1").await;
    let wish = Wish::post("us-east-1");
    // Our own client has answered for this account: it must not for the other.
    world.log_in(&world.signed(&ours, &wish).role("all")).await.is(200);
    let got = world.log_in(&world.signed(&theirs, &wish).role("all")).await;
    Stage::is_refused("another account", &got, "account_not_bound");
    assert!(got.error().contains("unable to fetch client for account ID"), "{got:?}");
    // Nor by its name or its id, whoever resolves them.
    world.role("web", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:role/web") })).await;
    world.log_in(&world.signed(&ours, &wish).role("web")).await.is(200);
    let got = world.log_in(&world.signed(&theirs, &wish).role("web")).await;
    Stage::is_refused("another account by name", &got, "principal_not_bound");
}

#[tokio::test]
async fn who_is_not_bound_stays_outside() {
    let stage = Stage::new().await;
    let world = &stage.world;
    let eve = world.user("eve");
    world.sandbox.create_role("web", None, &[]).unwrap();
    let session = world.assume("web", "s-1").await;
    let wish = Wish::post("us-east-1");
    let bound = |arn: String| json!({ "bound_iam_principal_arn": arn });
    world.role("names", bound(format!("arn:aws:sts::{ACCOUNT}:assumed-role/web/*"))).await;
    world.role("star", bound("*".to_owned())).await;
    world.role("middle", bound("arn:aws:iam::*:user/b*".to_owned())).await;
    world.role("i", json!({ "auth_type": "ec2", "bound_ami_id": "ami-1" })).await;
    world
        .role(
            "far",
            json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/*"), "token_bound_cidrs": "10.0.0.0/8" }),
        )
        .await;
    let as_bob = |role: &str| world.signed(&stage.keys, &wish).role(role);
    for (name, login, code) in [
        ("somebody else", world.signed(&eve, &wish).role("bob"), "principal_not_bound"),
        ("a wildcard on names of assumed roles", world.signed(&session, &wish).role("names"), "principal_not_bound"),
        ("a lone wildcard", as_bob("star"), "principal_not_bound"),
        ("a wildcard in the middle", as_bob("middle"), "principal_not_bound"),
        ("a role that is none", as_bob("nobody"), ""),
        ("a role with a slash", as_bob("../bob"), ""),
        ("a role of instances", as_bob("i"), ""),
        ("no role", world.signed(&eve, &wish), ""),
    ] {
        Stage::is_refused(name, &world.log_in(&login).await, code);
    }
    let got = world.log_in(&as_bob("far")).await.is(403);
    assert_eq!((got.error(), got.code()), ("permission denied", "cidr"));
    // Whoever has the name now is somebody else.
    let before = world.sandbox.user("bob").unwrap().id;
    world.sandbox.remove_user("bob");
    let bob = world.user("bob");
    let after = world.sandbox.user("bob").unwrap().id;
    let got = world.log_in(&world.signed(&bob, &wish).role("bob")).await;
    Stage::is_refused("a principal made anew", &got, "principal_recreated");
    let advice = got.body["errors"][1].as_str().unwrap();
    assert!(advice.contains(&before) && advice.contains(&after), "{advice}");
    world.role("bob", bound(format!("arn:aws:iam::{ACCOUNT}:user/bob"))).await;
    world.log_in(&world.signed(&bob, &wish).role("bob")).await.is(200);
}
