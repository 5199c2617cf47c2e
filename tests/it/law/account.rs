//! Credentials that are of another account, or may not do what they could: nobody is given up, and what waits goes on as soon as
//! that is mended.

use std::time::Duration;

use leasehold::aws::sandbox::{Effect, Failure};
use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::client::Reply;
use super::operation::{Deed, Said};
use super::stage::on_stage;
use super::world::World;

async fn ask(world: &World, operation: Operation, path: &str, body: Value) -> Reply {
    world.finish(world.request(&world.stage.root, operation, path, body)).await
}

async fn status(world: &World) -> Value {
    ask(world, Operation::Read, "aws/status", json!({})).await.body["data"].clone()
}

#[test]
fn leases_of_another_account_wait_for_their_own_credentials_and_then_end_at_once() {
    on_stage(|stage| async move {
        let mut world = World::new(&stage, "another account".to_owned(), 1800).await;
        world.prepare(&[Deed::Revoke]).await;
        let written = ask(&world, Operation::Update, "aws/config/root", stage.roots.other_account.clone()).await;
        let warning = format!(
            "leases of this mount belong to account {} and can only be revoked with credentials of that account",
            stage.sandbox.account()
        );
        assert_eq!(written.body["warnings"], json!([warning]), "{}", written.text);
        let before = stage.sandbox.count();
        let doing = world.begin(Deed::Revoke).await;
        assert_eq!(world.complete(doing).await, Said::Refused);
        assert_eq!(stage.sandbox.count(), before, "no call is made with them");
        let shown = status(&world).await;
        assert_eq!((&shown["leases"]["other_account"], &shown["leases"]["waiting"]), (&json!(1), &json!(1)), "{shown}");
        assert_eq!(shown["oldest_failure"]["code"], "AccountMismatch", "{shown}");
        assert_eq!(shown["account"], stage.other.account(), "{shown}");
        // Hours later it is tried on, and shown to the operator.
        world.live(Duration::from_hours(3)).await;
        let shown = status(&world).await;
        assert_eq!((&shown["leases"]["irrevocable"], &shown["lane"]["state"]), (&json!(1), &json!("running")), "{shown}");
        assert_eq!(stage.sandbox.users().len(), 1);
        world.set_root(&stage.roots.first).await;
        world.live(Duration::from_secs(1)).await;
        assert!(stage.sandbox.users().is_empty(), "at once, and not when its next attempt would be");
        assert_eq!(status(&world).await["oldest_failure"], json!(null));
        world.end().await;
    });
}

#[test]
fn permissions_that_were_taken_away_put_no_lease_on_the_operators_list() {
    on_stage(|stage| async move {
        let world = World::new(&stage, "iam:DeleteUser is taken away".to_owned(), 1800).await;
        for _ in 0..12 {
            let reply = ask(&world, Operation::Read, "aws/creds/r", json!({})).await;
            assert!(reply.is_ok, "{}", reply.text);
        }
        let denied = Failure::new(403, "AccessDenied", "not authorized to perform: iam:DeleteUser");
        stage.sandbox.faults().every("DeleteUser", Effect::Refuse(denied));
        world.live(Duration::from_mins(30)).await;
        assert_eq!((stage.sandbox.users().len(), stage.sandbox.key_count()), (12, 0), "the keys are dead");
        let shown = status(&world).await;
        assert_eq!((&shown["leases"]["irrevocable"], &shown["lane"]["state"]), (&json!(0), &json!("resting")), "{shown}");
        assert!(world.store.disk.keys("lease/stuck/").is_empty());
        assert!(world.store.disk.keys("lease/failing/").len() < 5, "four at the most were taken for the lease's own fault");
        stage.sandbox.faults().clear();
        world.live(Duration::from_secs(20)).await;
        assert!(stage.sandbox.users().is_empty(), "the end of it is noticed within ten seconds");
        world.end().await;
    });
}
