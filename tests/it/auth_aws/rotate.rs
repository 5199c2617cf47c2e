//! `config/rotate-root`.

use leasehold::aws::sandbox::Effect;
use serde_json::json;

use super::world::World;

#[tokio::test]
async fn what_is_not_configured_is_not_rotated() {
    let world = World::bare().await;
    let refused = async || world.write("auth/aws/config/rotate-root", json!({})).await.is(400).error().to_owned();
    assert_eq!(refused().await, "can't update client config because it's unset");
    world.write("auth/aws/config/client", json!({ "secret_key": "s" })).await.is(204);
    assert_eq!(refused().await, "can't update access_key because it's unset");
    world.write("auth/aws/config/client", json!({ "access_key": "a", "secret_key": "" })).await.is(204);
    assert_eq!(refused().await, "can't update secret_key because it's unset");
}

#[tokio::test]
async fn the_new_key_is_in_use_and_the_old_one_is_gone() {
    let world = World::new().await;
    let (old, _) = world.sandbox.root_keys();
    let clock = world.clock.clone();
    let moving = async {
        loop {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            clock.advance(std::time::Duration::from_millis(250));
        }
    };
    let got = tokio::select! {
        got = world.write("auth/aws/config/rotate-root", json!({})) => got.is(200),
        _ = moving => unreachable!(),
    };
    let new = got.body["data"]["access_key"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    let config = world.read("auth/aws/config/client").await.is(200).body["data"].clone();
    assert_eq!(config["access_key"], json!(new));
    // It is good: a principal can be looked up with it.
    world.user("bob");
    let arn = format!("arn:aws:iam::{}:user/bob", world.sandbox.account());
    world.role("bob", json!({ "bound_iam_principal_arn": arn })).await;
}

#[tokio::test]
async fn a_key_that_cannot_be_made_leaves_the_old_one_in_use() {
    let world = World::new().await;
    let (old, _) = world.sandbox.root_keys();
    let refusal = leasehold::aws::sandbox::Failure::new(403, "AccessDenied", "no");
    world.sandbox.faults().every("CreateAccessKey", Effect::Refuse(refusal));
    let got = world.write("auth/aws/config/rotate-root", json!({})).await.is(500);
    assert!(got.error().contains("error calling CreateAccessKey: "), "{got:?}");
    let config = world.read("auth/aws/config/client").await.is(200).body["data"].clone();
    assert_eq!(config["access_key"], json!(old));
}
