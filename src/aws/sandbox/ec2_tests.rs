//! Instances over the wire: asked with our own client, and what the stand-in keeps of AWS's rules.

use std::sync::Arc;
use std::time::Duration;

use super::world_tests::World;
use super::{Effect, Machine};
use crate::aws::{Aws, AwsEnvironment, AwsError, Instance, Outside, Settings};
use crate::base::{Clock, Secret};

async fn client(world: &World, keys: (String, Secret<String>)) -> Aws {
    let outside = Outside::new(Arc::clone(&world.clock) as Arc<dyn Clock>, AwsEnvironment::default()).unwrap();
    let settings = Settings {
        access_key: keys.0,
        secret_key: keys.1,
        region: "eu-central-1".to_owned(),
        ec2_endpoint: world.sandbox.url(),
        max_retries: 0,
        ..Settings::default()
    };
    outside.connect(&settings).await.unwrap()
}

async fn described(world: &World, id: &str) -> Result<Arc<Instance>, AwsError> {
    client(world, world.sandbox.root_keys()).await.describe_instance(id).await
}

#[tokio::test]
async fn an_instance_is_described_as_it_was_set() {
    let world = World::new().await;
    let mut machine = Machine::running("i-0a", "ami-1");
    (machine.vpc, machine.subnet) = ("vpc-1".to_owned(), "subnet-1".to_owned());
    machine.profile = "arn:aws:iam::123456789012:instance-profile/web".to_owned();
    machine.tags.insert("a&b".to_owned(), "<c>".to_owned());
    world.sandbox.put_instance(machine.clone());
    let instance = described(&world, "i-0a").await.unwrap();
    let expected = Instance {
        id: "i-0a".to_owned(),
        state: "running".to_owned(),
        image: "ami-1".to_owned(),
        owner: "123456789012".to_owned(),
        vpc: machine.vpc,
        subnet: machine.subnet,
        profile_arn: machine.profile,
        private_dns: "ip-0a.ec2.internal".to_owned(),
        tags: machine.tags,
    };
    assert_eq!(*instance, expected);
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_told_by_its_code() {
    let world = World::new().await;
    let error = described(&world, "i-0a").await.unwrap_err();
    assert_eq!(error.code(), "InvalidInstanceID.NotFound");
    assert!(!error.request_id().is_empty());
    assert_eq!(described(&world, "i-web").await.unwrap_err().code(), "InvalidInstanceID.Malformed");
}

#[tokio::test]
async fn signatures_and_permissions_are_looked_at() {
    let world = World::new().await;
    world.sandbox.put_instance(Machine::running("i-0a", "ami-1"));
    let (id, _) = world.sandbox.root_keys();
    let error = client(&world, (id, Secret::from("wrong"))).await.describe_instance("i-0a").await.unwrap_err();
    assert_eq!(error.code(), "SignatureDoesNotMatch");
    let nobody = world.sandbox.create_user("nobody").unwrap();
    let error = client(&world, nobody).await.describe_instance("i-0a").await.unwrap_err();
    assert!(error.is_denied(), "{error}");
}

#[tokio::test]
async fn faults_strike_ec2_as_well() {
    let world = World::new().await;
    world.sandbox.put_instance(Machine::running("i-0a", "ami-1"));
    world.sandbox.faults().next("DescribeInstances", Effect::Throttle);
    assert!(described(&world, "i-0a").await.unwrap_err().is_throttled());
    world.sandbox.faults().next("DescribeInstances", Effect::Fail500);
    assert!(described(&world, "i-0a").await.unwrap_err().may_have_happened());
    world.sandbox.faults().next("DescribeInstances", Effect::Delay { by: Duration::from_millis(500) });
    let asking = described(&world, "i-0a");
    let moving = async {
        while world.sandbox.count() < 3 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            world.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    };
    let (described, ()) = tokio::join!(asking, moving);
    described.unwrap();
}
