//! Whoever is asked and does not answer.

use std::time::Duration;

use futures_util::future::join_all;
use leasehold::aws::sandbox::Effect;
use leasehold::base::Clock as _;
use serde_json::json;

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
