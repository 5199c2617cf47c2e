//! STS by its official client: identities, temporary keys and their ends; signatures.

use std::time::Duration;

use aws_sdk_sts::types::Credentials;

use super::world_tests::{Keys, READ, World, refusal};

impl From<Credentials> for Keys {
    fn from(credentials: Credentials) -> Self {
        assert!(credentials.access_key_id.starts_with("ASIA"));
        Self(credentials.access_key_id, credentials.secret_access_key, Some(credentials.session_token))
    }
}

#[tokio::test]
async fn the_administrator_is_known_by_its_keys() {
    let world = World::new().await;
    let identity = world.sts().get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn.as_deref(), Some("arn:aws:iam::123456789012:user/leasehold-admin"));
    assert_eq!(identity.account.as_deref(), Some(world.sandbox.account()));
    assert!(identity.user_id.unwrap().starts_with("AIDA"));
}

#[tokio::test]
async fn wrong_secrets_and_unknown_keys_are_told_apart() {
    let world = World::new().await;
    let (id, _) = world.sandbox.root_keys();
    assert_eq!(world.who(&Keys(id, "wrong".to_owned(), None)).await, "SignatureDoesNotMatch");
    assert_eq!(world.who(&Keys("AKIAAAAAAAAAAAAAAAAA".to_owned(), "wrong".to_owned(), None)).await, "InvalidClientTokenId");
}

#[tokio::test]
async fn old_signatures_are_refused() {
    let world = World::new().await;
    let other = World::new().await;
    other.clock.advance(Duration::from_secs(15 * 60 + 1));
    // Signed at the time of one clock, verified at that of the other.
    let keys = Keys::from(other.sandbox.create_user("app").unwrap());
    let call = world.sts_as(&keys).get_caller_identity().customize();
    let config = aws_sdk_sts::Config::builder().endpoint_url(other.sandbox.url());
    assert_eq!(refusal(call.config_override(config).send()).await, "RequestExpired");
}

#[tokio::test]
async fn a_role_is_assumed_until_its_session_ends() {
    let world = World::new().await;
    let role = world.sandbox.create_role("deploy", None, &[]).unwrap();
    let reply =
        world.sts().assume_role().role_arn(&role).role_session_name("build-7").duration_seconds(900).send().await.unwrap();
    let user = reply.assumed_role_user.unwrap();
    assert_eq!(user.arn, "arn:aws:sts::123456789012:assumed-role/deploy/build-7");
    assert!(user.assumed_role_id.starts_with("AROA") && user.assumed_role_id.ends_with(":build-7"));
    let keys = Keys::from(reply.credentials.unwrap());
    assert_eq!(world.who(&keys).await, user.arn);
    world.clock.advance(Duration::from_secs(899));
    assert_eq!(world.who(&keys).await, user.arn);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.who(&keys).await, "ExpiredToken");
}

#[tokio::test]
async fn temporary_keys_need_their_own_token() {
    let world = World::new().await;
    let session = world.sts().get_session_token().send().await.unwrap().credentials.unwrap();
    let Keys(id, secret, _) = Keys::from(session);
    assert_eq!(world.who(&Keys(id.clone(), secret.clone(), None)).await, "InvalidClientTokenId");
    assert_eq!(world.who(&Keys(id, secret, Some("other".to_owned()))).await, "InvalidClientTokenId");
    let (id, secret) = world.sandbox.root_keys();
    assert_eq!(world.who(&Keys(id, secret.expose().clone(), Some("other".to_owned()))).await, "InvalidClientTokenId");
}

#[tokio::test]
async fn assuming_a_role_against_the_rules_is_refused() {
    let world = World::new().await;
    let role = world.sandbox.create_role("deploy", None, &[]).unwrap();
    let assume = |arn: &str, name: &str| world.sts().assume_role().role_arn(arn).role_session_name(name);
    assert_eq!(refusal(assume("arn:aws:iam::123456789012:role/none", "session").send()).await, "AccessDenied");
    assert_eq!(refusal(assume(&role, "a").send()).await, "ValidationError");
    assert_eq!(refusal(assume(&role, "a b").send()).await, "ValidationError");
    assert_eq!(refusal(assume(&role, "session").duration_seconds(899).send()).await, "ValidationError");
    assert_eq!(refusal(assume(&role, "session").duration_seconds(43_201).send()).await, "ValidationError");
    assert_eq!(refusal(assume(&role, "session").policy("{}").send()).await, "MalformedPolicyDocument");
    let stranger = world.sts_as(&world.sandbox.create_user("app").unwrap().into());
    assert_eq!(refusal(stranger.assume_role().role_arn(&role).role_session_name("session").send()).await, "AccessDenied");
}

#[tokio::test]
async fn a_role_may_trust_one_user_with_an_external_id() {
    let world = World::new().await;
    let keys = Keys::from(world.sandbox.create_user("app").unwrap());
    let trust = r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole",
        "Principal":{"AWS":"arn:aws:iam::123456789012:user/app"},"Condition":{"StringEquals":{"sts:ExternalId":"x-1"}}}}"#;
    let role = world.sandbox.create_role("partner", Some(trust), &[]).unwrap();
    let assume = || world.sts_as(&keys).assume_role().role_arn(&role).role_session_name("session");
    assert_eq!(refusal(assume().send()).await, "AccessDenied");
    assume().external_id("x-1").send().await.unwrap();
}

#[tokio::test]
async fn a_role_of_administrators_may_call_iam_unless_narrowed() {
    let world = World::new().await;
    let role = world.sandbox.create_role("admin", None, &["arn:aws:iam::aws:policy/AdministratorAccess"]).unwrap();
    let assume = || world.sts().assume_role().role_arn(&role).role_session_name("session");
    let keys = assume().send().await.unwrap().credentials.unwrap().into();
    world.iam_as(&keys).create_user().user_name("app").send().await.unwrap();
    let narrowed = assume().policy(READ).send().await.unwrap().credentials.unwrap().into();
    assert_eq!(refusal(world.iam_as(&narrowed).create_user().user_name("app-2").send()).await, "AccessDenied");
    let chained = world.sts_as(&keys).assume_role().role_arn(&role).role_session_name("again").duration_seconds(3601);
    assert_eq!(refusal(chained.send()).await, "ValidationError");
}

#[tokio::test]
async fn federated_sessions_know_their_name_and_nothing_of_iam() {
    let world = World::new().await;
    let federate = |name: &str| world.sts().get_federation_token().name(name);
    assert_eq!(refusal(federate("a").send()).await, "ValidationError");
    assert_eq!(refusal(federate(&"x".repeat(33)).send()).await, "ValidationError");
    let reply = federate("build").policy(READ).duration_seconds(900).send().await.unwrap();
    let keys = Keys::from(reply.credentials.unwrap());
    assert_eq!(reply.federated_user.unwrap().federated_user_id, "123456789012:build");
    assert_eq!(world.who(&keys).await, "arn:aws:sts::123456789012:federated-user/build");
    assert_eq!(refusal(world.iam_as(&keys).list_users().send()).await, "InvalidClientTokenId");
    assert_eq!(refusal(world.sts_as(&keys).get_federation_token().name("again").send()).await, "AccessDenied");
}

#[tokio::test]
async fn sessions_end_with_their_user() {
    let world = World::new().await;
    let user = Keys::from(world.sandbox.create_user("app").unwrap());
    let session = world.sts_as(&user).get_session_token().send().await.unwrap().credentials.unwrap();
    let session = Keys::from(session);
    assert_eq!(world.who(&session).await, "arn:aws:iam::123456789012:user/app");
    assert_eq!(refusal(world.sts_as(&session).get_session_token().send()).await, "AccessDenied");
    world.sandbox.remove_user("app");
    world.sandbox.create_user("app").unwrap();
    assert_eq!(world.who(&session).await, "InvalidClientTokenId");
}
