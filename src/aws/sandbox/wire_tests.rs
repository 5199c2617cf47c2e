//! The edge of the stand-in, byte for byte: what is no call, what is too large, what goes by GET.

use ring::{digest, hmac};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world_tests::World;
use crate::base::Clock as _;

const VERSION: &str = "Version=2011-06-15";

/// Sends `request`, says that the connection ends, and returns all of the answer.
async fn send(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.sandbox.inner.address).await.unwrap();
    // The stand-in may answer before it has read all.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn is(answer: &str, status: &str, code: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(&format!("<Code>{code}</Code>"))
}

#[tokio::test]
async fn what_is_no_call_is_refused() {
    let world = World::new().await;
    assert!(is(&send(&world, &post("/", "")).await, "400", "MissingAction"));
    assert!(is(&send(&world, &post("/", "Action=GetUser&Version=2020-01-01")).await, "400", "InvalidAction"));
    assert!(is(&send(&world, &post("/bucket", "Action=GetUser")).await, "404", "NotFound"));
    assert!(is(&send(&world, &post("/", "Action=%ff")).await, "400", "MalformedQueryString"));
    assert!(is(&send(&world, "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await, "405", "MethodNotAllowed"));
    assert_eq!(world.sandbox.count(), 0);
}

#[tokio::test]
async fn unsigned_calls_are_refused() {
    let world = World::new().await;
    let answer = send(&world, &post("/", &format!("Action=GetCallerIdentity&{VERSION}"))).await;
    assert!(is(&answer, "403", "MissingAuthenticationToken"), "{answer}");
    assert!(answer.contains("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"));
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let world = World::new().await;
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", 1024 * 1024 + 1);
    assert!(is(&send(&world, &head).await, "413", "RequestEntityTooLarge"));
}

#[tokio::test]
async fn calls_by_get_and_with_a_foreign_host_are_answered() {
    let world = World::new().await;
    let target = "Action=GetCallerIdentity&Version=2011-06-15";
    let now = world.clock.precise();
    let (date, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
    let canonical = format!(
        "GET\n/\n{target}\nhost:sts.amazonaws.com\nx-amz-date:{time}\n\nhost;x-amz-date\n{}",
        hex::encode(digest::digest(&digest::SHA256, b""))
    );
    let scope = format!("{date}/us-east-1/sts/aws4_request");
    let hash = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
    let (id, secret) = world.sandbox.root_keys();
    let mut key = format!("AWS4{}", secret.expose()).into_bytes();
    for part in [date.as_str(), "us-east-1", "sts", "aws4_request"] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    let message = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let signature = hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), message.as_bytes()));
    let request = format!(
        "GET /?{target} HTTP/1.1\r\nHost: sts.amazonaws.com\r\nConnection: close\r\nX-Amz-Date: {time}\r\nAuthorization: \
         AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}\r\n\r\n"
    );
    let answer = send(&world, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("<GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/leasehold-admin</Arn>"), "{answer}");
}
