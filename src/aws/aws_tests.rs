use std::sync::Arc;
use std::time::Duration;

use super::sandbox::{Effect, Failure, Sandbox};
use super::*;
use crate::base::time::SystemClock;
use crate::base::{Clock, Secret, Shutdown, Tasks, Ttl};

const LATER: Duration = Duration::MAX;

async fn sandbox() -> Sandbox {
    Sandbox::start(Arc::new(SystemClock::new()), &Tasks::default(), &Shutdown::new()).await.unwrap()
}

async fn client(sandbox: &Sandbox, max_retries: i64) -> Aws {
    let (access_key, secret_key) = sandbox.root_keys();
    let settings = Settings {
        access_key,
        secret_key,
        iam_endpoint: sandbox.url(),
        sts_endpoint: sandbox.url(),
        max_retries,
        ..Settings::default()
    };
    connect(&settings).await
}

async fn connect(settings: &Settings) -> Aws {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Outside::new(clock, AwsEnvironment::default()).unwrap().connect(settings).await.unwrap()
}

fn named(name: &str) -> NewUser {
    let tags = vec![("k".to_owned(), "v".to_owned())];
    NewUser { name: name.to_owned(), path: "/p/".to_owned(), boundary: None, tags }
}

fn times(sandbox: &Sandbox, action: &str) -> usize {
    sandbox.calls().iter().filter(|call| call.action == action).count()
}

#[tokio::test]
async fn a_user_is_made_shown_and_deleted() {
    let sandbox = sandbox().await;
    let aws = client(&sandbox, -1).await;
    let made = aws.create_user(&named("u"), LATER).await.unwrap();
    assert_eq!(aws.get_user(Some("u")).await.unwrap(), User { tags: vec![("k".into(), "v".into())], ..made.clone() });
    assert_eq!((made.path.as_str(), made.arn.as_str()), ("/p/", "arn:aws:iam::123456789012:user/p/u"));
    let all = aws.all_users().await.unwrap();
    assert!(all.iter().any(|user| user.id == made.id && user.tags == [("k".to_owned(), "v".to_owned())]));
    aws.delete_user("u").await.unwrap();
    assert!(aws.get_user(Some("u")).await.unwrap_err().is_absent());
    assert!(aws.ahead().unwrap().abs() <= 1);
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let sandbox = sandbox().await;
    let aws = client(&sandbox, -1).await;
    sandbox.limit_pages(1);
    sandbox.create_user("u").unwrap();
    let pair = aws.create_access_key("u", LATER).await.unwrap();
    assert_eq!(aws.access_keys("u").await.unwrap().len(), 2);
    for group in ["a", "b", "c"] {
        sandbox.create_group(group, &[], &[]).unwrap();
        aws.add_user_to_group("u", group).await.unwrap();
    }
    assert_eq!(aws.groups_of_user("u").await.unwrap(), ["a", "b", "c"]);
    aws.delete_access_key("u", &pair.id).await.unwrap();
    assert_eq!(aws.access_keys("u").await.unwrap().len(), 1);
}

#[tokio::test]
async fn policies_of_groups_are_decoded() {
    let sandbox = sandbox().await;
    let aws = client(&sandbox, -1).await;
    let document =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::bucket/a+b %25/*"}]}"#;
    let inline = [("p", document), ("q", document)];
    sandbox.create_group("g", &["arn:aws:iam::aws:policy/AdministratorAccess"], &inline).unwrap();
    sandbox.limit_pages(1);
    let expected = inline.map(|(name, document)| Inline { name: name.into(), document: document.into() });
    assert_eq!(aws.group_policies("g").await.unwrap(), expected);
    assert_eq!(aws.attached_group_policies("g").await.unwrap(), ["arn:aws:iam::aws:policy/AdministratorAccess"]);
}

#[tokio::test]
async fn what_may_be_asked_twice_is_repeated_as_often_as_configured() {
    let sandbox = sandbox().await;
    sandbox.create_user("u").unwrap();
    for (max_retries, calls) in [(0, 1), (1, 2)] {
        let before = times(&sandbox, "GetUser");
        sandbox.faults().every("GetUser", Effect::Fail500);
        let error = client(&sandbox, max_retries).await.get_user(Some("u")).await.unwrap_err();
        assert!(error.may_have_happened(), "{error}");
        assert_eq!(times(&sandbox, "GetUser") - before, calls);
        sandbox.faults().clear();
    }
    sandbox.faults().next("GetUser", Effect::DropBefore);
    client(&sandbox, -1).await.get_user(Some("u")).await.unwrap();
}

#[tokio::test]
async fn what_creates_is_sent_once() {
    for effect in [Effect::DropBefore, Effect::ExecuteThenDropReply, Effect::Fail500, Effect::ExecuteThen500] {
        let sandbox = sandbox().await;
        let aws = client(&sandbox, 5).await;
        sandbox.faults().next("CreateUser", effect.clone());
        let error = aws.create_user(&named("u"), LATER).await.unwrap_err();
        assert!(error.may_have_happened(), "{effect:?}: {error}");
        sandbox.create_user("v").unwrap();
        sandbox.faults().next("CreateAccessKey", effect.clone());
        assert!(aws.create_access_key("v", LATER).await.unwrap_err().may_have_happened());
        assert_eq!((times(&sandbox, "CreateUser"), times(&sandbox, "CreateAccessKey")), (1, 1), "{effect:?}");
    }
}

#[tokio::test]
async fn a_refusal_has_code_message_status_and_action() {
    let sandbox = sandbox().await;
    sandbox.faults().next("CreateUser", Effect::Refuse(Failure::new(403, "AccessDenied", "not you")));
    let error = client(&sandbox, -1).await.create_user(&named("u"), LATER).await.unwrap_err();
    let AwsError::Refused(refusal) = &error else { panic!("{error}") };
    assert_eq!((refusal.action, refusal.code.as_str(), refusal.status), ("iam:CreateUser", "AccessDenied", 403));
    assert_eq!(error.to_string(), "AccessDenied: not you");
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let settings = Settings {
        access_key: "AKIA".to_owned(),
        secret_key: "s".into(),
        iam_endpoint: "http://127.0.0.1:1".to_owned(),
        max_retries: 0,
        ..Settings::default()
    };
    let aws = connect(&settings).await;
    for error in [aws.create_user(&named("u"), LATER).await.unwrap_err(), aws.get_user(None).await.unwrap_err()] {
        assert!(matches!(error, AwsError::Unsent { why: Unsent::Connection, .. }), "{error}");
        assert!(error.is_of_account() && !error.may_have_happened());
    }
}

#[tokio::test]
async fn an_sts_that_does_not_answer_is_passed_over() {
    let sandbox = sandbox().await;
    let (access_key, secret_key) = sandbox.root_keys();
    let settings = Settings {
        access_key,
        secret_key,
        sts_endpoint: "http://127.0.0.1:1".to_owned(),
        sts_region: "eu-west-1".to_owned(),
        sts_fallback_endpoints: vec![sandbox.url()],
        sts_fallback_regions: vec!["us-east-1".to_owned()],
        max_retries: 0,
        ..Settings::default()
    };
    let aws = connect(&settings).await;
    assert!(aws.known_identity().is_none());
    let identity = aws.identity().await.unwrap().clone();
    assert_eq!((identity.account.as_str(), identity.partition.as_str()), ("123456789012", "aws"));
    let session = aws.session_token(Ttl::seconds(900), "", &Secret::default()).await.unwrap();
    assert!(session.access_key.starts_with("ASIA"));
    assert_eq!(times(&sandbox, "GetCallerIdentity"), 1);
}

#[tokio::test]
async fn things_of_others_are_listed_and_removed() {
    let sandbox = sandbox().await;
    let aws = client(&sandbox, -1).await;
    sandbox.create_user("u").unwrap();
    sandbox.prepare("CreateLoginProfile", &[("UserName", "u"), ("Password", "correct-Horse-7")]).unwrap();
    let serial = sandbox.give_mfa_device("u", "phone").unwrap();
    assert_eq!(
        aws.foreigners("u", ForeignKind::MfaDevice).await.unwrap(),
        [Foreigner { kind: ForeignKind::MfaDevice, id: serial }]
    );
    for kind in ForeignKind::ALL {
        for foreigner in aws.foreigners("u", kind).await.unwrap() {
            aws.remove_foreigner("u", &foreigner).await.unwrap();
        }
    }
    let user = sandbox.user("u").unwrap();
    assert_eq!((user.has_login, user.attachments), (false, 0));
}
