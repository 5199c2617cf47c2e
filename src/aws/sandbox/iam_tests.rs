//! IAM by its official client: users, keys, policies, groups; what is refused, and how lists are paged.

use aws_sdk_iam::types::{StatusType, Tag};

use super::world_tests::{Keys, READ, READ_ONLY, START, World, refusal};

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test]
async fn a_user_is_created_as_asked_and_shown_with_its_tags_and_boundary() {
    let world = World::new().await;
    let iam = world.iam();
    let create = iam.create_user().user_name("app-1").path("/vault/").permissions_boundary(READ_ONLY);
    let created = create.tags(tag("team", "a+b@c")).tags(tag("empty", "")).send().await.unwrap().user.unwrap();
    assert_eq!(created.arn, "arn:aws:iam::123456789012:user/vault/app-1");
    assert!(created.user_id.starts_with("AIDA") && created.user_id.len() == 21);
    let shown = iam.get_user().user_name("app-1").send().await.unwrap().user.unwrap();
    assert_eq!(shown, created);
    assert_eq!(shown.tags(), [tag("empty", ""), tag("team", "a+b@c")]);
    assert_eq!(shown.permissions_boundary.unwrap().permissions_boundary_arn.as_deref(), Some(READ_ONLY));
    assert_eq!(shown.create_date.secs(), i64::try_from(START.seconds()).unwrap());
    let tags = iam.list_user_tags().user_name("app-1").send().await.unwrap();
    assert_eq!((tags.tags.len(), tags.is_truncated), (2, false));
    let view = world.sandbox.user("app-1").unwrap();
    assert_eq!((view.boundary.as_deref(), view.path.as_str()), (Some(READ_ONLY), "/vault/"));
    assert_eq!(world.sandbox.users(), ["app-1"]);
}

#[tokio::test]
async fn creating_what_exists_is_refused_whatever_its_case() {
    let world = World::new().await;
    world.iam().create_user().user_name("app").send().await.unwrap();
    assert_eq!(refusal(world.iam().create_user().user_name("app").send()).await, "EntityAlreadyExists");
    assert_eq!(refusal(world.iam().create_user().user_name("App").send()).await, "EntityAlreadyExists");
}

#[tokio::test]
async fn names_tags_and_boundaries_against_the_rules_create_nothing() {
    let world = World::new().await;
    let create = || world.iam().create_user();
    assert_eq!(refusal(create().user_name("a/b").send()).await, "ValidationError");
    assert_eq!(refusal(create().user_name("x".repeat(65)).send()).await, "ValidationError");
    assert_eq!(refusal(create().user_name("u").path("vault").send()).await, "ValidationError");
    assert_eq!(refusal(create().user_name("u").tags(tag("aws:x", "")).send()).await, "InvalidInput");
    let boundary = "arn:aws:iam::123456789012:policy/none";
    assert_eq!(refusal(create().user_name("u").permissions_boundary(boundary).send()).await, "NoSuchEntity");
    let tags = (0..51).map(|n| tag(&format!("k{n}"), "")).collect();
    assert_eq!(refusal(create().user_name("u").set_tags(Some(tags)).send()).await, "ValidationError");
    assert!(world.sandbox.users().is_empty());
}

#[tokio::test]
async fn the_caller_is_shown_where_no_user_is_named() {
    let world = World::new().await;
    let user = world.iam().get_user().send().await.unwrap().user.unwrap();
    assert_eq!(user.user_name, "leasehold-admin");
    let keys = world.iam().list_access_keys().send().await.unwrap();
    assert_eq!(keys.access_key_metadata[0].access_key_id.as_deref(), Some(world.sandbox.root_keys().0.as_str()));
}

#[tokio::test]
async fn a_user_has_two_keys_at_the_most() {
    let world = World::new().await;
    let iam = world.iam();
    iam.create_user().user_name("app").send().await.unwrap();
    for _ in 0..2 {
        let key = iam.create_access_key().user_name("app").send().await.unwrap().access_key.unwrap();
        assert!(key.access_key_id.starts_with("AKIA") && key.access_key_id.len() == 20);
        assert_eq!((key.secret_access_key.len(), key.status), (40, StatusType::Active));
    }
    assert_eq!(refusal(iam.create_access_key().user_name("app").send()).await, "LimitExceeded");
    assert_eq!(refusal(iam.create_access_key().user_name("nobody").send()).await, "NoSuchEntity");
    let key = world.sandbox.user("app").unwrap().keys.into_keys().next().unwrap();
    iam.delete_access_key().user_name("app").access_key_id(&key).send().await.unwrap();
    assert_eq!(refusal(iam.delete_access_key().user_name("app").access_key_id(&key).send()).await, "NoSuchEntity");
    assert_eq!(iam.list_access_keys().user_name("app").send().await.unwrap().access_key_metadata.len(), 1);
}

#[tokio::test]
async fn keys_work_until_they_are_inactive_deleted_or_their_user_is_gone() {
    let world = World::new().await;
    let keys = Keys::from(world.sandbox.create_user("app").unwrap());
    assert_eq!(world.who(&keys).await, "arn:aws:iam::123456789012:user/app");
    let update = |status| world.iam().update_access_key().user_name("app").access_key_id(&keys.0).status(status).send();
    update(StatusType::Inactive).await.unwrap();
    assert_eq!(world.who(&keys).await, "InvalidClientTokenId");
    update(StatusType::Active).await.unwrap();
    assert_eq!(world.who(&keys).await, "arn:aws:iam::123456789012:user/app");
    assert!(world.sandbox.remove_user("app"));
    assert_eq!(world.who(&keys).await, "InvalidClientTokenId");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_known() {
    let world = World::new().await;
    let keys = Keys::from(world.sandbox.create_user("app").unwrap());
    let used = || world.iam().get_access_key_last_used().access_key_id(&keys.0).send();
    assert_eq!(used().await.unwrap().access_key_last_used.unwrap().service_name, "N/A");
    world.who(&keys).await;
    let reply = used().await.unwrap();
    let last = reply.access_key_last_used.unwrap();
    assert_eq!(
        (reply.user_name.as_deref(), last.service_name.as_str(), last.region.as_str()),
        (Some("app"), "sts", "eu-central-1")
    );
    assert!(last.last_used_date.is_some());
}

#[tokio::test]
async fn an_ordinary_user_may_only_look_at_itself() {
    let world = World::new().await;
    let iam = world.iam_as(&world.sandbox.create_user("app").unwrap().into());
    assert_eq!(iam.get_user().send().await.unwrap().user.unwrap().user_name, "app");
    iam.get_user().user_name("app").send().await.unwrap();
    assert_eq!(refusal(iam.get_user().user_name("leasehold-admin").send()).await, "AccessDenied");
    assert_eq!(refusal(iam.create_user().user_name("other").send()).await, "AccessDenied");
    assert_eq!(refusal(iam.list_users().send()).await, "AccessDenied");
}

#[tokio::test]
async fn administrators_may_do_everything_unless_a_boundary_holds_them() {
    let world = World::new().await;
    let keys = Keys::from(world.sandbox.create_user("boss").unwrap());
    world.sandbox.create_group("admins", &["arn:aws:iam::aws:policy/AdministratorAccess"], &[]).unwrap();
    world.iam().add_user_to_group().user_name("boss").group_name("admins").send().await.unwrap();
    world.iam_as(&keys).create_user().user_name("app").send().await.unwrap();
    world.iam().put_user_permissions_boundary().user_name("boss").permissions_boundary(READ_ONLY).send().await.unwrap();
    assert_eq!(refusal(world.iam_as(&keys).create_user().user_name("app-2").send()).await, "AccessDenied");
    world.iam().delete_user_permissions_boundary().user_name("boss").send().await.unwrap();
    assert_eq!(refusal(world.iam().delete_user_permissions_boundary().user_name("boss").send()).await, "NoSuchEntity");
}

#[tokio::test]
async fn a_user_is_deleted_only_once_nothing_hangs_on_it() {
    let world = World::new().await;
    let (iam, name) = (world.iam(), "app");
    let (key, _) = world.sandbox.create_user(name).unwrap();
    world.sandbox.create_group("readers", &[], &[]).unwrap();
    iam.add_user_to_group().user_name(name).group_name("readers").send().await.unwrap();
    iam.attach_user_policy().user_name(name).policy_arn(READ_ONLY).send().await.unwrap();
    iam.put_user_policy().user_name(name).policy_name("inline").policy_document(READ).send().await.unwrap();
    let delete = || async { refusal(iam.delete_user().user_name(name).send()).await };
    assert_eq!(delete().await, "DeleteConflict");
    iam.detach_user_policy().user_name(name).policy_arn(READ_ONLY).send().await.unwrap();
    assert_eq!(delete().await, "DeleteConflict");
    iam.delete_user_policy().user_name(name).policy_name("inline").send().await.unwrap();
    assert_eq!(delete().await, "DeleteConflict");
    iam.remove_user_from_group().user_name(name).group_name("readers").send().await.unwrap();
    assert_eq!(delete().await, "DeleteConflict");
    iam.delete_access_key().user_name(name).access_key_id(key).send().await.unwrap();
    iam.delete_user().user_name(name).send().await.unwrap();
    assert_eq!(delete().await, "NoSuchEntity");
    assert!(world.sandbox.users().is_empty());
    assert!(iam.get_group().group_name("readers").send().await.unwrap().users.is_empty());
}

#[tokio::test]
async fn policies_of_a_user_are_attached_shown_and_limited() {
    let world = World::new().await;
    let (iam, name) = (world.iam(), "app");
    iam.create_user().user_name(name).send().await.unwrap();
    let attach = |arn: &str| iam.attach_user_policy().user_name(name).policy_arn(arn).send();
    assert_eq!(refusal(attach("arn:aws:iam::123456789012:policy/none")).await, "NoSuchEntity");
    assert_eq!(refusal(attach("no-arn-at-all-but-long-enough")).await, "InvalidInput");
    for n in 0..10 {
        attach(&format!("arn:aws:iam::aws:policy/P{n}")).await.unwrap();
    }
    attach("arn:aws:iam::aws:policy/P0").await.unwrap();
    assert_eq!(refusal(attach("arn:aws:iam::aws:policy/P10")).await, "LimitExceeded");
    assert_eq!(iam.list_attached_user_policies().user_name(name).send().await.unwrap().attached_policies().len(), 10);
    let put = |text: &str| iam.put_user_policy().user_name(name).policy_name("p").policy_document(text).send();
    assert_eq!(refusal(put("{}")).await, "MalformedPolicyDocument");
    assert_eq!(refusal(put(&READ.replace("s3:Get*", &"s3:".repeat(800)))).await, "LimitExceeded");
    put(READ).await.unwrap();
    let shown = iam.get_user_policy().user_name(name).policy_name("p").send().await.unwrap().policy_document;
    assert_eq!(percent_encoding::percent_decode_str(&shown).decode_utf8().unwrap(), READ);
    assert!(!shown.contains('{') && !shown.contains('"'));
    assert_eq!(iam.list_user_policies().user_name(name).send().await.unwrap().policy_names, ["p"]);
    assert_eq!(refusal(iam.get_user_policy().user_name(name).policy_name("q").send()).await, "NoSuchEntity");
    assert_eq!(refusal(iam.detach_user_policy().user_name(name).policy_arn(READ_ONLY).send()).await, "NoSuchEntity");
}

#[tokio::test]
async fn groups_have_policies_and_members() {
    let world = World::new().await;
    let iam = world.iam();
    let own = world.sandbox.create_policy("own", READ).unwrap();
    world.sandbox.create_group("readers", &[READ_ONLY, &own], &[("inline", READ)]).unwrap();
    iam.create_user().user_name("app").send().await.unwrap();
    assert_eq!(refusal(iam.add_user_to_group().user_name("app").group_name("none").send()).await, "NoSuchEntity");
    iam.add_user_to_group().user_name("app").group_name("readers").send().await.unwrap();
    let groups = iam.list_groups_for_user().user_name("app").send().await.unwrap().groups;
    assert_eq!(groups.iter().map(|group| group.group_name.as_str()).collect::<Vec<_>>(), ["readers"]);
    let attached = iam.list_attached_group_policies().group_name("readers").send().await.unwrap();
    assert_eq!(attached.attached_policies().len(), 2);
    assert_eq!(iam.list_group_policies().group_name("readers").send().await.unwrap().policy_names, ["inline"]);
    let text = iam.get_group_policy().group_name("readers").policy_name("inline").send().await.unwrap().policy_document;
    assert_eq!(percent_encoding::percent_decode_str(&text).decode_utf8().unwrap(), READ);
    assert_eq!(iam.get_policy().policy_arn(&own).send().await.unwrap().policy.unwrap().attachment_count, Some(1));
    let version = iam.get_policy_version().policy_arn(&own).version_id("v1").send().await.unwrap().policy_version.unwrap();
    assert!(version.is_default_version);
    assert_eq!(refusal(iam.delete_group().group_name("readers").send()).await, "DeleteConflict");
    assert_eq!(refusal(iam.create_group().group_name("Readers").send()).await, "EntityAlreadyExists");
}

#[tokio::test]
async fn lists_come_in_pages_that_lack_and_repeat_nobody() {
    let world = World::new().await;
    for n in 0..25 {
        world.sandbox.prepare("CreateUser", &[("UserName", &format!("user-{n:02}"))]).unwrap();
    }
    let first = world.iam().list_users().max_items(10).send().await.unwrap();
    assert_eq!((first.users.len(), first.is_truncated, first.marker.is_some()), (10, true, true));
    assert_eq!(world.listed_users().await.len(), 26);
    world.sandbox.limit_pages(1);
    let mut names = world.listed_users().await;
    names.retain(|name| name != "leasehold-admin");
    assert_eq!(names, world.sandbox.users());
    assert_eq!(refusal(world.iam().list_users().marker("?").send()).await, "InvalidInput");
    assert_eq!(refusal(world.iam().list_users().max_items(1001).send()).await, "ValidationError");
}

#[tokio::test]
async fn the_account_is_told_with_tags_and_boundaries() {
    let world = World::new().await;
    let iam = world.iam();
    for n in 0..3 {
        let create = iam.create_user().user_name(format!("app-{n}")).permissions_boundary(READ_ONLY);
        create.tags(tag("n", &n.to_string())).send().await.unwrap();
    }
    world.sandbox.create_group("readers", &[], &[]).unwrap();
    iam.add_user_to_group().user_name("app-1").group_name("readers").send().await.unwrap();
    iam.put_user_policy().user_name("app-1").policy_name("p").policy_document(READ).send().await.unwrap();
    world.sandbox.limit_pages(2);
    let mut users = Vec::new();
    let details = iam.get_account_authorization_details().filter(aws_sdk_iam::types::EntityType::User);
    let mut pages = details.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.group_detail_list().is_empty());
        users.extend(page.user_detail_list.unwrap());
    }
    let names: Vec<_> = users.iter().map(|user| user.user_name.as_deref().unwrap()).collect();
    assert_eq!(names, ["app-0", "app-1", "app-2", "leasehold-admin"]);
    assert_eq!(users[1].group_list(), ["readers"]);
    assert_eq!(users[1].tags(), [tag("n", "1")]);
    assert_eq!(users[1].user_policy_list().len(), 1);
    assert!(users[1].permissions_boundary.is_some());
}

#[tokio::test]
async fn the_account_is_told_in_pages_across_its_kinds() {
    let world = World::new().await;
    world.sandbox.create_group("readers", &[READ_ONLY], &[("p", READ)]).unwrap();
    world.sandbox.create_role("deploy", None, &[]).unwrap();
    world.sandbox.create_policy("own", READ).unwrap();
    world.sandbox.limit_pages(1);
    let mut pages = world.iam().get_account_authorization_details().into_paginator().send();
    let (mut pages_seen, mut found) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        pages_seen += 1;
        found.extend(page.user_detail_list().iter().filter_map(|user| user.arn.clone()));
        found.extend(page.group_detail_list().iter().filter_map(|group| group.arn.clone()));
        found.extend(page.role_detail_list().iter().filter_map(|role| role.arn.clone()));
        found.extend(page.policies().iter().filter_map(|policy| policy.arn.clone()));
    }
    let account = |what: &str| format!("arn:aws:iam::123456789012:{what}");
    let expected = ["user/leasehold-admin", "group/readers", "role/deploy", "policy/own"].map(account);
    assert_eq!((pages_seen, found.as_slice()), (4, expected.as_slice()));
}

#[tokio::test]
async fn tags_are_changed_one_by_one() {
    let world = World::new().await;
    let iam = world.iam();
    iam.create_user().user_name("app").tags(tag("a", "1")).send().await.unwrap();
    iam.tag_user().user_name("app").tags(tag("a", "2")).tags(tag("b", "3")).send().await.unwrap();
    iam.untag_user().user_name("app").tag_keys("b").send().await.unwrap();
    assert_eq!(world.sandbox.user("app").unwrap().tags, [("a".to_owned(), "2".to_owned())].into());
}

#[tokio::test]
async fn what_is_not_spoken_is_refused() {
    let world = World::new().await;
    assert_eq!(refusal(world.iam().get_account_summary().send()).await, "InvalidAction");
}
