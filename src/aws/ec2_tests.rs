//! How questions on instances are joined, bounded and answered.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::aws::sandbox::{Effect, Failure, Machine, Sandbox};
use crate::aws::{AwsEnvironment, Outside, Settings};
use crate::base::time::ManualClock;
use crate::base::{Clock, Shutdown, Tasks, Timestamp};

struct World {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    aws: Aws,
    tasks: Tasks,
}

async fn world() -> World {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_800_000_000)));
    let (tasks, shutdown) = (Tasks::default(), Shutdown::new());
    let sandbox = Sandbox::start(Arc::clone(&clock) as Arc<dyn Clock>, &tasks, &shutdown).await.unwrap();
    let outside = Outside::new(Arc::clone(&clock) as Arc<dyn Clock>, AwsEnvironment::default()).unwrap();
    let (access_key, secret_key) = sandbox.root_keys();
    let settings = Settings {
        access_key,
        secret_key,
        region: "eu-central-1".to_owned(),
        ec2_endpoint: sandbox.url(),
        max_retries: -1,
        ..Settings::default()
    };
    let aws = outside.connect(&settings).await.unwrap();
    World { sandbox, clock, aws, tasks }
}

impl World {
    fn put(&self, count: usize) {
        (0..count).for_each(|n| self.sandbox.put_instance(Machine::running(&format!("i-{n:04x}"), "ami-1")));
    }

    /// Lets time pass until the work is done; how much has passed. Whatever is on its way over the loopback arrives between
    /// two steps of the clock.
    async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> (T, Duration) {
        let began = self.clock.elapsed();
        let work = self.tasks.spawn(work);
        while !work.is_finished() {
            for _ in 0..3 {
                self.breathe().await;
            }
            self.clock.advance(Duration::from_millis(50));
        }
        (work.await.unwrap(), self.clock.elapsed().saturating_sub(began))
    }

    /// There and back again, with something that is no call.
    async fn breathe(&self) {
        let address = self.sandbox.url();
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
    }
}

#[tokio::test]
async fn two_hundred_questions_on_one_instance_take_two_calls() {
    let world = world().await;
    world.put(1);
    world.sandbox.faults().every("DescribeInstances", Effect::ExecuteThenHang);
    let ask = || {
        let aws = world.aws.clone();
        world.tasks.spawn(async move { aws.describe_instance("i-0000").await })
    };
    let first = ask();
    world.sandbox.faults().until_hanging(1).await;
    let rest: Vec<_> = (0..199).map(|_| ask()).collect();
    while world.aws.ec2().desk.waits() < 199 {
        tokio::task::yield_now().await;
    }
    world.sandbox.faults().release();
    assert!(first.await.unwrap().is_ok());
    world.sandbox.faults().until_hanging(1).await;
    world.sandbox.faults().release();
    for answer in join_all(rest).await {
        assert_eq!(answer.unwrap().unwrap().id, "i-0000");
    }
    assert_eq!(world.sandbox.count(), 2);
}

#[tokio::test]
async fn many_ids_go_into_one_call_and_unknown_ones_are_refused_alone() {
    let world = world().await;
    world.put(150);
    world.sandbox.faults().next("DescribeInstances", Effect::ExecuteThenHang);
    let ask = |id: String| {
        let aws = world.aws.clone();
        world.tasks.spawn(async move { aws.describe_instance(&id).await })
    };
    let first = ask("i-0000".to_owned());
    world.sandbox.faults().until_hanging(1).await;
    let known: Vec<_> = (0..150).map(|n| ask(format!("i-{n:04x}"))).collect();
    let unknown: Vec<_> = ["i-ffff", "i-000", "i-web"].into_iter().map(|id| ask(id.to_owned())).collect();
    while world.aws.ec2().desk.waits() < 153 {
        tokio::task::yield_now().await;
    }
    world.sandbox.faults().release();
    first.await.unwrap().unwrap();
    for (n, answer) in join_all(known).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap().id, format!("i-{n:04x}"));
    }
    for answer in join_all(unknown).await {
        assert!(answer.unwrap().unwrap_err().code().starts_with("InvalidInstanceID."));
    }
    // One for the first, two for those that are there, and again without those that are not.
    assert!(world.sandbox.count() <= 6, "{}", world.sandbox.count());
}

#[tokio::test]
async fn an_answer_is_never_older_than_the_question() {
    let world = world().await;
    world.put(1);
    assert_eq!(world.aws.describe_instance("i-0000").await.unwrap().state, "running");
    let mut stopped = Machine::running("i-0000", "ami-1");
    stopped.state = "stopped".to_owned();
    world.sandbox.put_instance(stopped);
    assert_eq!(world.aws.describe_instance("i-0000").await.unwrap().state, "stopped");
}

#[tokio::test]
async fn a_silent_ec2_is_given_up_within_ten_seconds_by_all_who_ask() {
    let world = world().await;
    world.put(1);
    world.sandbox.faults().every("DescribeInstances", Effect::Hang);
    let aws = world.aws.clone();
    let (answers, passed) = world
        .run(async move {
            join_all((0..200).map(|n| {
                let aws = aws.clone();
                async move { aws.describe_instance(&format!("i-{n:04x}")).await }
            }))
            .await
        })
        .await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(AwsError::may_have_happened)));
    assert!(passed < Duration::from_secs(10), "{passed:?}");
    assert!(world.sandbox.count() < 10, "{}", world.sandbox.count());
}

#[tokio::test]
async fn who_leaves_while_he_calls_for_others_leaves_them_to_themselves() {
    let world = world().await;
    world.put(1);
    world.sandbox.faults().next("DescribeInstances", Effect::Hang);
    let ask = || {
        let aws = world.aws.clone();
        world.tasks.spawn(async move { aws.describe_instance("i-0000").await })
    };
    let caller = ask();
    world.sandbox.faults().until_hanging(1).await;
    let waiting = ask();
    while world.aws.ec2().desk.waits() < 1 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert_eq!(waiting.await.unwrap().unwrap().id, "i-0000");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_a_refusal_is_not() {
    let world = world().await;
    world.put(1);
    world.sandbox.faults().next("DescribeInstances", Effect::DropBefore);
    let aws = world.aws.clone();
    let (answer, _) = world.run(async move { aws.describe_instance("i-0000").await }).await;
    answer.unwrap();
    assert_eq!(world.sandbox.count(), 2);
    let denied = Failure::new(403, "UnauthorizedOperation", "You are not authorized");
    world.sandbox.faults().every("DescribeInstances", Effect::Refuse(denied));
    let error = world.aws.describe_instance("i-0000").await.unwrap_err();
    assert!(error.is_denied());
    assert_eq!(world.sandbox.count(), 3);
}

#[tokio::test]
async fn throttling_is_waited_out_within_the_time() {
    let world = world().await;
    world.put(1);
    world.sandbox.faults().every("DescribeInstances", Effect::Throttle);
    let aws = world.aws.clone();
    let (answer, passed) = world.run(async move { aws.describe_instance("i-0000").await }).await;
    let error = answer.unwrap_err();
    assert!(error.is_throttled() && error.retry_after().is_some(), "{error}");
    assert!(passed < Duration::from_secs(10), "{passed:?}");
}

#[tokio::test]
async fn a_region_that_is_none_is_asked_nowhere() {
    assert_eq!(of_region("cn-north-1").unwrap(), "https://ec2.cn-north-1.amazonaws.com.cn");
    assert_eq!(of_region("us-gov-west-1").unwrap(), "https://ec2.us-gov-west-1.amazonaws.com");
    for region in ["", "evil.example/#", "a b", "-x", "EU"] {
        assert_eq!(of_region(region), None, "{region}");
    }
}
