//! Groups, within each other, and joined and left by logins.

use leasehold::policy::Operation;
use serde_json::{Value, json};

use super::world::{World, text};

#[tokio::test]
async fn members_have_what_groups_around_theirs_are_given_at_once() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.lets_read(name, &format!("kv/{name}")).await;
    }
    let (token, entity) = world.token("one", "bob").await;
    assert_eq!(world.capabilities(&token, "kv/a").await, json!(["deny"]));
    let inner = world.made("identity/group", json!({ "name": "inner", "member_entity_ids": [entity], "policies": "a" })).await;
    let middle = world.made("identity/group", json!({ "name": "middle", "member_group_ids": [inner] })).await;
    let outer = world.made("identity/group", json!({ "name": "outer", "member_group_ids": middle, "policies": ["B"] })).await;
    assert_eq!(world.capabilities(&token, "kv/a").await, json!(["read"]));
    assert_eq!(world.capabilities(&token, "kv/b").await, json!(["read"]));
    world.write(&format!("identity/group/id/{outer}"), json!({ "policies": ["c"] })).await.is(204);
    assert_eq!(world.capabilities(&token, "kv/b").await, json!(["deny"]));
    assert_eq!(world.capabilities(&token, "kv/c").await, json!(["read"]));
    let shown = world.ask(&token, Operation::Read, "auth/token/lookup-self", Value::Null).await;
    assert_eq!(shown.data()["identity_policies"], json!(["a", "c"]));
    assert_eq!(shown.data()["policies"], json!(["default"]));
    let shown = world.read(&format!("identity/entity/id/{entity}")).await;
    assert_eq!(shown.data()["direct_group_ids"], json!([inner]));
    assert_eq!(shown.data()["inherited_group_ids"], json!([middle, outer]));
    assert_eq!(shown.data()["group_ids"], json!([inner, middle, outer]));
    // Out of the middle, out of all around it.
    world.write(&format!("identity/group/id/{middle}"), json!({ "member_group_ids": [] })).await.is(204);
    assert_eq!(world.capabilities(&token, "kv/c").await, json!(["deny"]));
    assert_eq!(world.capabilities(&token, "kv/a").await, json!(["read"]));
    world.delete(&format!("identity/group/id/{inner}")).await.is(204);
    assert_eq!(world.capabilities(&token, "kv/a").await, json!(["deny"]));
    assert!(world.keys("identity/group-member/").is_empty());
    assert!(world.keys("identity/group-gone/").is_empty());
}

#[tokio::test]
async fn a_group_is_in_itself_by_no_way() {
    let world = World::new().await;
    let mut chain = Vec::new();
    for name in ["a", "b", "c"] {
        let within = json!({ "name": name, "member_group_ids": chain.last().map(|id: &String| vec![id.clone()]) });
        chain.push(world.made("identity/group", within).await);
    }
    let [first, _, last] = chain.as_slice() else { panic!("three groups") };
    let path = format!("identity/group/id/{first}");
    let refused = world.write(&path, json!({ "member_group_ids": [last] })).await;
    refused.refused(400, &format!("cyclic relationship detected for member group ID \"{last}\""));
    let refused = world.write(&path, json!({ "member_group_ids": [first] })).await;
    refused.refused(400, &format!("member group ID \"{first}\" is same as the ID of the group"));
    world.write(&path, json!({ "member_group_ids": ["x"] })).await.refused(400, "invalid member group ID \"x\"");
    world.write(&path, json!({ "member_entity_ids": ["x"] })).await.refused(400, "invalid entity ID \"x\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_at_once_close_no_circle() {
    let world = World::new().await;
    for _ in 0..10 {
        let (b, d) = (world.made("identity/group", json!({})).await, world.made("identity/group", json!({})).await);
        let a = world.made("identity/group", json!({ "member_group_ids": [b] })).await;
        let c = world.made("identity/group", json!({ "member_group_ids": [d] })).await;
        let (one, other) = (format!("identity/group/id/{b}"), format!("identity/group/id/{d}"));
        let (one, other) = tokio::join!(
            world.write(&one, json!({ "member_group_ids": [c] })),
            world.write(&other, json!({ "member_group_ids": [a] }))
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 400]);
    }
}

#[tokio::test]
async fn logins_join_and_leave_the_external_groups_of_their_mount() {
    let world = World::new().await;
    let (one, two) = (world.accessor("one").await, world.accessor("two").await);
    let external = async |name: &str, accessor: &str| {
        let group = json!({ "name": name, "type": "external", "policies": [name] });
        let group = world.made("identity/group", group).await;
        let alias = json!({ "name": name, "mount_accessor": accessor, "canonical_id": group });
        world.made("identity/group-alias", alias).await;
        group
    };
    let (devs, ops) = (external("devs", &one).await, external("ops", &one).await);
    let other = external("other", &two).await;
    let auth = world.log_in("two", json!({ "name": "bob", "groups": ["other", "unknown"] })).await;
    let entity = text(&auth["entity_id"]);
    assert_eq!(auth["identity_policies"], json!(["other"]));
    let alias = json!({ "name": "bob", "mount_accessor": one, "canonical_id": entity });
    world.made("identity/entity-alias", alias).await;
    let auth = world.log_in("one", json!({ "name": "bob", "groups": ["DEVS"] })).await;
    assert_eq!((auth["entity_id"].clone(), auth["identity_policies"].clone()), (json!(entity), json!(["devs", "other"])));
    let token = text(&auth["client_token"]);
    let auth = world.log_in("one", json!({ "name": "bob", "groups": ["ops"] })).await;
    assert_eq!(auth["identity_policies"], json!(["ops", "other"]));
    // The token of before is of the same person.
    let shown = world.ask(&token, Operation::Read, "auth/token/lookup-self", Value::Null).await;
    assert_eq!(shown.data()["identity_policies"], json!(["ops", "other"]));
    for (group, members) in [(&devs, Value::Null), (&ops, json!([entity])), (&other, json!([entity]))] {
        assert_eq!(world.read(&format!("identity/group/id/{group}")).await.data()["member_entity_ids"], members);
    }
    world.log_in("one", json!({ "name": "bob" })).await;
    assert_eq!(world.read(&format!("identity/group/id/{ops}")).await.data()["member_entity_ids"], Value::Null);
    assert_eq!(world.read(&format!("identity/group/id/{other}")).await.data()["member_entity_ids"], json!([entity]));
}

#[tokio::test]
async fn an_external_group_may_be_in_an_internal_one_and_holds_nothing_by_hand() {
    let world = World::new().await;
    let accessor = world.accessor("one").await;
    let (_, entity) = world.token("one", "bob").await;
    let devs = json!({ "name": "devs", "type": "external" });
    let devs = world.made("identity/group", devs).await;
    world.made("identity/group-alias", json!({ "name": "devs", "mount_accessor": accessor, "canonical_id": devs })).await;
    world.made("identity/group", json!({ "name": "all", "member_group_ids": [devs], "policies": ["p"] })).await;
    let auth = world.log_in("one", json!({ "name": "bob", "groups": ["devs"] })).await;
    assert_eq!(auth["identity_policies"], json!(["p"]));
    let path = format!("identity/group/id/{devs}");
    for (change, text) in [
        (json!({ "member_entity_ids": [entity] }), "member entities can't be set manually for external groups"),
        (json!({ "member_group_ids": [devs] }), "member groups can't be set for external groups"),
        (json!({ "type": "internal" }), "group type cannot be changed"),
        (json!({ "type": "cosmic" }), "invalid group type \"cosmic\""),
        (json!({ "policies": ["Root"] }), "policies cannot contain root"),
        (json!({ "name": "ALL" }), "group name is already in use"),
        (
            json!({ "metadata": { "vault-x": "1" } }),
            "invalid group metadata: key \"vault-x\" begins with \"vault-\", which is reserved",
        ),
    ] {
        world.write(&path, change).await.refused(400, text);
    }
    world.write("identity/group/id/x", json!({})).await.refused(400, "invalid group ID");
}

#[tokio::test]
async fn a_group_reads_as_it_was_written() {
    let world = World::new().await;
    let group = world.made("identity/group", json!({ "name": "Team", "metadata": { "k": "v" } })).await;
    let shown = world.read("identity/group/name/tEAM").await;
    let shown = shown.data();
    assert_eq!(shown["id"], json!(group));
    for (field, expected) in [
        ("name", json!("Team")),
        ("type", json!("internal")),
        ("metadata", json!({ "k": "v" })),
        ("member_entity_ids", Value::Null),
        ("member_group_ids", Value::Null),
        ("parent_group_ids", Value::Null),
        ("alias", json!({})),
        ("modify_index", json!(1)),
        ("namespace_id", json!("root")),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    let listed = world.list("identity/group/name/").await;
    assert_eq!(listed.data()["keys"], json!(["Team"]));
    assert_eq!(listed.data()["key_info"][&group], json!({ "name": "Team", "num_member_entities": 0, "num_parent_groups": 0 }));
    assert_eq!(world.write("identity/lookup/group", json!({ "name": "team" })).await.data()["id"], json!(group));
    world.write("identity/lookup/group", json!({ "id": "x" })).await.is(204);
    world.delete("identity/group/name/TEAM").await.is(204);
    world.delete("identity/group/name/TEAM").await.is(204);
    world.read(&format!("identity/group/id/{group}")).await.is(404);
    world.list("identity/group/id/").await.is(404);
}

#[tokio::test]
async fn a_group_alias_belongs_to_one_external_group() {
    let world = World::new().await;
    let (accessor, token) = (world.accessor("one").await, world.accessor("token").await);
    let internal = world.made("identity/group", json!({ "name": "in" })).await;
    let path = "identity/group-alias";
    for (data, text) in [
        (json!({ "mount_accessor": accessor }), "missing alias name".to_owned()),
        (json!({ "name": "x" }), "missing mount_accessor".to_owned()),
        (json!({ "name": "x", "mount_accessor": "y" }), "invalid mount accessor \"y\"".to_owned()),
        (
            json!({ "name": "x", "mount_accessor": accessor, "canonical_id": "z" }),
            "invalid group ID given in 'canonical_id'".to_owned(),
        ),
        (
            json!({ "name": "x", "mount_accessor": accessor, "canonical_id": internal }),
            "alias can't be set on an internal group".to_owned(),
        ),
    ] {
        world.write(path, data).await.refused(400, &text);
    }
    assert!(!token.is_empty());
    let made = world.write(path, json!({ "name": "devs", "mount_accessor": accessor })).await;
    let (alias, group) = (text(&made.data()["id"]), text(&made.data()["canonical_id"]));
    assert_eq!(world.read(&format!("identity/group/id/{group}")).await.data()["type"], json!("external"));
    let second = world.made("identity/group", json!({ "type": "external" })).await;
    let taken = json!({ "name": "DEVS", "mount_accessor": accessor, "canonical_id": second });
    world.write(path, taken).await.refused(400, "combination of mount and group alias name is already in use");
    // By its id it moves.
    let moved = json!({ "name": "devs", "mount_accessor": accessor, "canonical_id": second });
    let moved = world.write(&format!("{path}/id/{alias}"), moved).await;
    assert_eq!(moved.data(), &json!({ "id": alias, "canonical_id": second }));
    assert_eq!(world.read(&format!("identity/group/id/{group}")).await.data()["alias"], json!({}));
    let found = json!({ "alias_name": "Devs", "alias_mount_accessor": accessor });
    assert_eq!(world.write("identity/lookup/group", found).await.data()["id"], json!(second));
    assert_eq!(world.list(&format!("{path}/id/")).await.data()["keys"], json!([alias]));
    world.delete(&format!("{path}/id/{alias}")).await.is(204);
    world.read(&format!("{path}/id/{alias}")).await.is(404);
    world.read(&format!("identity/group/id/{second}")).await.is(200);
}
