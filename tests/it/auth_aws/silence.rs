//! Whoever is asked and does not answer.

use std::time::Duration;

use futures_util::future::join_all;
use leasehold::aws::sandbox::Effect;
use leasehold::base::Clock as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::signer::Wish;
use super::world::{ACCOUNT, World};

#[tokio::test]
async fn a_silent_sts_ends_a_login_in_time_and_two_hundred_at_once_delay_nobody() {
    let world = World::new().await;
    let keys = world.user("bob");
    world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") })).await;
    world.sandbox.faults().every("GetCallerIdentity", Effect::Hang);
    let login = world.signed(&keys, &Wish::post("us-east-1"));
    let began = world.clock.elapsed();
    let logins = join_all((0..200).map(|_| world.log_in(&login)));
    let others = async {
        world.sandbox.faults().until_hanging(200).await;
        // Nothing moves the clock meanwhile: whatever waited for a silent STS would never end.
        for _ in 0..20 {
            world.read("auth/aws/role/bob").await.is(200);
            world.write("auth/token/create", json!({})).await.is(200);
        }
        world.clock.advance(Duration::from_secs(8));
    };
    let (all, ()) = tokio::join!(logins, others);
    assert!(world.clock.elapsed() <= began + Duration::from_secs(10));
    for got in all {
        let got = got.is(400);
        assert!(got.error().starts_with("error making upstream request: "), "{got:?}");
        assert_eq!(got.code(), "sts_unreachable");
    }
}

#[tokio::test]
async fn an_sts_that_fails_is_tried_again_and_then_told() {
    let world = World::new().await;
    let keys = world.user("bob");
    world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") })).await;
    world.write("auth/aws/config/client", json!({ "max_retries": 0 })).await.is(204);
    let login = world.signed(&keys, &Wish::post("us-east-1"));
    for effect in [Effect::Fail500, Effect::DropBefore] {
        world.sandbox.faults().next("GetCallerIdentity", effect);
        assert_eq!(world.log_in(&login).await.is(400).code(), "sts_unreachable");
    }
    world.log_in(&login).await.is(200);
}

#[tokio::test]
async fn an_sts_that_answers_by_drops_is_waited_for_no_longer() {
    let world = World::new().await;
    let keys = world.user("bob");
    world.role("bob", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/bob") })).await;
    let sts = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", sts.local_addr().unwrap());
    world.write("auth/aws/config/client", json!({ "sts_endpoint": url, "max_retries": 0 })).await.is(204);
    let login = world.signed(&keys, &Wish::post("us-east-1"));
    // The head comes, and the first letters of what seems to be an identity; then the end of the world, or of the connection.
    for (rest, code) in [(Rest::Never, "sts_unreachable"), (Rest::Cut, "sts_unreachable")] {
        let tokens = world.tokens().await;
        let server = async {
            let (mut client, _) = sts.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(client.read(&mut asked).await.unwrap() > 0);
            client.write_all(DROPS.as_bytes()).await.unwrap();
            match rest {
                Rest::Cut => drop(client),
                Rest::Never => {
                    // What was sent has arrived, as far as a socket tells.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    world.clock.advance(Duration::from_secs(8));
                    // The server hangs up by itself.
                    while client.read(&mut asked).await.is_ok_and(|length| length > 0) {}
                }
            }
        };
        let (got, ()) = tokio::join!(world.log_in(&login), server);
        assert_eq!(got.is(400).code(), code);
        assert_eq!(world.tokens().await, tokens);
    }
}

/// What becomes of an answer that has begun.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// Nothing more comes.
    Never,
    /// The connection ends.
    Cut,
}

const DROPS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 500\r\n\r\n\
    <GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:";

#[tokio::test]
async fn a_silent_iam_ends_a_login_with_a_wildcard() {
    let world = World::new().await;
    let keys = world.user("bob");
    world.role("all", json!({ "bound_iam_principal_arn": format!("arn:aws:iam::{ACCOUNT}:user/*") })).await;
    world.sandbox.faults().every("GetUser", Effect::Hang);
    let login = world.signed(&keys, &Wish::post("us-east-1")).role("all");
    let others = async {
        world.sandbox.faults().until_hanging(1).await;
        world.clock.advance(Duration::from_secs(8));
    };
    let (got, ()) = tokio::join!(world.log_in(&login), others);
    assert_eq!(got.is(400).code(), "iam_unreachable");
}
