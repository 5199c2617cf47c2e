//! Role tags: made, shown by an instance, and denied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::rig::{IMAGE, INSTANCE, Scene, is};
use crate::aws::sandbox::Machine;
use crate::base::Ttl;

async fn scene(more: Value) -> Scene {
    let scene = Scene::new(json!({ "role_tag": "VaultRole", "token_policies": "a,b", "token_max_ttl": "100h" })).await;
    scene.role("web", more).await;
    scene
}

async fn tag(scene: &Scene, data: Value) -> String {
    let made = scene.bench.post("role/web/tag", data).await;
    assert_eq!((made.status, made.data["tag_key"].as_str()), (200, Some("VaultRole")), "{made:?}");
    made.text("tag_value")
}

fn wear(scene: &Scene, value: &str) {
    let mut machine = Machine::running(INSTANCE, IMAGE);
    machine.tags.insert("VaultRole".to_owned(), value.to_owned());
    scene.sandbox.put_instance(machine);
}

#[tokio::test]
async fn a_tag_narrows_what_a_login_gets() {
    let scene = scene(json!({})).await;
    wear(&scene, &tag(&scene, json!({ "policies": "a", "max_ttl": "10h", "instance_id": "I-0A" })).await);
    let grant = scene.login(json!({})).await.unwrap();
    assert_eq!((grant.policies, grant.max_ttl), (vec!["a".to_owned()], Ttl::hours(10)));
    assert_eq!(grant.metadata.unwrap()["role_tag_max_ttl"], "10h0m0s");
    let renewal = scene.bench.renew(grant.internal).await.unwrap();
    assert_eq!(renewal.max_ttl, Ttl::hours(10));
    // One that says nothing gives what the role gives.
    wear(&scene, &tag(&scene, json!({})).await);
    let grant = scene.login(json!({ "role": "WEB" })).await.unwrap();
    assert_eq!((grant.policies.len(), grant.max_ttl), (2, Ttl::hours(100)));
}

#[tokio::test]
async fn a_tag_that_does_not_do_logs_nobody_in() {
    let scene = scene(json!({})).await;
    scene.role("dev", json!({ "role_tag": "VaultRole", "token_policies": "a" })).await;
    let told = scene.refused(json!({})).await;
    assert!(is(&told, "role_tag", "missing tag with key \"VaultRole\" on the instance"), "{told:?}");
    let good = tag(&scene, json!({ "policies": "a" })).await;
    let other = scene.bench.post("role/dev/tag", json!({})).await.text("tag_value");
    let elsewhere = tag(&scene, json!({ "instance_id": "i-0b" })).await;
    let wide = tag_with_warning(&scene).await;
    for (value, text) in [
        (String::new(), "missing tag with key"),
        ("x".to_owned(), "invalid tag"),
        (good.replace("v1:", "v2:"), "invalid role tag version"),
        (good.replace("p=a", "p=a,b"), "role tag signature verification failed"),
        (good.replace("r=web", "r=gone"), "entry not found for \"gone\""),
        (good.replace("r=web", "r=dev"), "role tag signature verification failed"),
        (other, "role on the tag is not matching the role supplied"),
        (elsewhere, "role tag is being used by an unauthorized instance"),
        (wide, "policies on the role tag must be subset of policies on the role"),
    ] {
        wear(&scene, &value);
        let told = scene.refused(json!({})).await;
        assert!(is(&told, "role_tag", text), "{value}: {told:?}");
    }
    assert_eq!(scene.bench.tokens_made(), 0);
}

async fn tag_with_warning(scene: &Scene) -> String {
    let made =
        scene.bench.post("role/web/tag", json!({ "policies": "a,root", "max_ttl": "200h", "allow_instance_migration": true }));
    let made = made.await;
    let begins = ["Policies on the tag are not a subset", "Role does not allow instance migration", "Given max TTL of 720000 is"];
    assert_eq!(made.warnings.len(), 3, "{:?}", made.warnings);
    for (warning, begin) in made.warnings.iter().zip(begins) {
        assert!(warning.starts_with(begin), "{warning}");
    }
    made.text("tag_value")
}

#[tokio::test]
async fn a_tag_may_let_its_instances_in_once_only() {
    let scene = scene(json!({})).await;
    wear(&scene, &tag(&scene, json!({ "disallow_reauthentication": true })).await);
    scene.login(json!({})).await.unwrap();
    wear(&scene, &tag(&scene, json!({})).await);
    assert_eq!(scene.refused(json!({})).await.0, "reauthentication_disabled");
}

#[tokio::test]
async fn tags_are_made_for_roles_that_want_them() {
    let scene = Scene::new(json!({})).await;
    scene.bench.post("role/web/tag", json!({})).await.is_error(400, "tag creation is not enabled for this role");
    scene.bench.post("role/none/tag", json!({})).await.is_error(400, "entry not found for role none");
    scene.role("web", json!({ "role_tag": "VaultRole" })).await;
    let both = json!({ "allow_instance_migration": true, "disallow_reauthentication": true });
    let text = "cannot set both disallow_reauthentication and allow_instance_migration";
    scene.bench.post("role/web/tag", both).await.is_error(400, text);
    let long = json!({ "policies": "p".repeat(255) });
    scene.bench.post("role/web/tag", long).await.is_error(400, "role tag 'value' exceeding the limit of 255 characters");
}

#[tokio::test]
async fn a_denied_tag_counts_no_more_until_it_is_allowed_again() {
    let scene = scene(json!({})).await;
    let value = tag(&scene, json!({ "policies": "a" })).await;
    wear(&scene, &value);
    scene.login(json!({})).await.unwrap();
    scene.bench.post(&format!("roletag-denylist/{}", BASE64.encode(&value)), json!({})).await.is_empty();
    let told = scene.refused(json!({})).await;
    assert!(is(&told, "role_tag", "role tag is deny listed"));
    for path in [format!("roletag-denylist/{value}"), format!("roletag-blacklist/{}", BASE64.encode(&value))] {
        let shown = scene.bench.get(&path).await;
        // The longest of the three is the mount's.
        assert!(shown.text("expiration_time") > shown.text("creation_time"));
    }
    assert_eq!(scene.bench.list("roletag-blacklist").await.data["keys"], json!([value]));
    let before = scene.bench.get(&format!("roletag-denylist/{value}")).await;
    scene.bench.rig.advance(Ttl::hours(1));
    scene.bench.post(&format!("roletag-blacklist/{value}"), json!({})).await.is_empty();
    let after = scene.bench.get(&format!("roletag-denylist/{value}")).await;
    assert_eq!(after.text("creation_time"), before.text("creation_time"));
    assert!(after.text("expiration_time") > before.text("expiration_time"));
    scene.bench.delete(&format!("roletag-denylist/{value}")).await.is_empty();
    assert_eq!(scene.bench.list("roletag-denylist").await.status, 404);
    scene.login(json!({})).await.unwrap();
    let answer = scene.bench.post("roletag-denylist/v1:n:r=web:d=false:m=false:AAAA", json!({})).await;
    assert_eq!((answer.status, answer.error.as_str()), (400, "role tag signature verification failed"));
}
