//! Identity tokens, as the services they are shown to see them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold::policy::Operation;
use ring::signature;
use serde_json::{Value, json};

use super::world::{World, text};

async fn open(world: &World, path: &str) -> Value {
    let got = world.ask("", Operation::Read, &format!("identity/oidc/.well-known/{path}"), Value::Null).await;
    got.is(200);
    got.body
}

/// A token of `bob` who may get tokens of every role.
async fn bob(world: &World) -> (String, String) {
    world.lets_read("signs", "identity/oidc/token/*").await;
    let auth = world.log_in("one", json!({ "name": "bob", "policies": ["signs"], "metadata": { "team": "blue" } })).await;
    (text(&auth["client_token"]), text(&auth["entity_id"]))
}

async fn signed(world: &World, token: &str, role: &str) -> (String, Value) {
    let got = world.ask(token, Operation::Read, &format!("identity/oidc/token/{role}"), Value::Null).await;
    let jwt = text(&got.data()["token"]);
    let claims = part(&jwt, 1);
    (jwt, claims)
}

fn part(jwt: &str, place: usize) -> Value {
    let text = jwt.split('.').nth(place).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

async fn introspect(world: &World, jwt: &str, client_id: &str) -> Value {
    world.write("identity/oidc/introspect", json!({ "token": jwt, "client_id": client_id })).await.body
}

/// Checks a signature as a stranger would, by the published keys.
async fn verifies(world: &World, jwt: &str) -> bool {
    let header = part(jwt, 0);
    let keys = open(world, "keys").await;
    let Some(jwk) = keys["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == header["kid"]) else { return false };
    assert_eq!((&jwk["alg"], &jwk["use"]), (&header["alg"], &json!("sig")));
    let bytes = |field: &str| URL_SAFE_NO_PAD.decode(jwk[field].as_str().unwrap()).unwrap();
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let point = || [vec![4], bytes("x"), bytes("y")].concat();
    let unparsed = |algorithm: &'static dyn signature::VerificationAlgorithm, key: Vec<u8>| {
        signature::UnparsedPublicKey::new(algorithm, key).verify(message.as_bytes(), &signature).is_ok()
    };
    match jwk["alg"].as_str().unwrap() {
        "RS256" => signature::RsaPublicKeyComponents { n: bytes("n"), e: bytes("e") }
            .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
            .is_ok(),
        "ES256" => unparsed(&signature::ECDSA_P256_SHA256_FIXED, point()),
        "ES384" => unparsed(&signature::ECDSA_P384_SHA384_FIXED, point()),
        "EdDSA" => unparsed(&signature::ED25519, bytes("x")),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_stranger_verifies_what_a_role_says_by_the_published_keys() {
    let world = World::new().await;
    let (token, entity) = bob(&world).await;
    let accessor = world.accessor("one").await;
    world.made("identity/group", json!({ "name": "ops", "member_entity_ids": [entity] })).await;
    world.write(&format!("identity/entity/id/{entity}"), json!({ "metadata": { "color": "red" } })).await.is(204);
    let template = format!(
        "{{ \"color\": {{{{identity.entity.metadata.color}}}}, \"none\": {{{{identity.entity.metadata.size}}}}, \"groups\": \
         {{{{identity.entity.groups.names}}}}, \"of\": {{{{identity.entity.aliases.{accessor}.metadata}}}}, \"nbf\": {{{{time.now.minus.5s}}}} }}"
    );
    for algorithm in ["RS256", "ES256", "ES384", "EdDSA"] {
        let key = json!({ "algorithm": algorithm, "allowed_client_ids": "*" });
        world.write(&format!("identity/oidc/key/{algorithm}"), key).await.is(204);
        let role = json!({ "key": algorithm, "template": STANDARD.encode(&template), "ttl": "1h" });
        world.write("identity/oidc/role/r", role).await.is(204);
        let role = world.read("identity/oidc/role/r").await;
        let client = text(&role.data()["client_id"]);
        assert_eq!((client.len(), &role.data()["template"]), (26, &json!(template)));
        let (jwt, claims) = signed(&world, &token, "r").await;
        assert!(verifies(&world, &jwt).await, "{algorithm}");
        let now = claims["iat"].as_u64().unwrap();
        assert_eq!(
            claims,
            json!({
                "aud": client, "exp": now + 3600, "iat": now, "iss": "https://vault.example.com:8200/v1/identity/oidc",
                "namespace": "root", "sub": entity, "color": "red", "none": "", "groups": ["ops"], "of": { "team": "blue" },
                "nbf": now - 5,
            })
        );
        assert_eq!(introspect(&world, &jwt, &client).await, json!({ "active": true }));
        assert_eq!(introspect(&world, &jwt, "").await, json!({ "active": true }));
        let other = introspect(&world, &jwt, "other").await;
        assert!(other["error"].as_str().unwrap().contains("error validating claims"), "{other}");
    }
}

#[tokio::test]
async fn a_token_counts_until_its_end_while_its_entity_does() {
    let world = World::new().await;
    let (token, entity) = bob(&world).await;
    world.write("identity/oidc/key/k", json!({ "algorithm": "ES256", "allowed_client_ids": ["me"] })).await.is(204);
    world.write("identity/oidc/role/r", json!({ "key": "k", "client_id": "me", "ttl": "10m" })).await.is(204);
    let (jwt, _) = signed(&world, &token, "r").await;
    let path = format!("identity/entity/id/{entity}");
    world.write(&path, json!({ "disabled": true })).await.is(204);
    assert_eq!(introspect(&world, &jwt, "").await, json!({ "active": false, "error": "entity is disabled" }));
    world.write(&path, json!({ "disabled": false })).await.is(204);
    assert_eq!(introspect(&world, &jwt, "").await["active"], json!(true));
    let mut forged = jwt.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    assert_eq!(introspect(&world, &forged, "").await["active"], json!(false));
    let broken = introspect(&world, "not a token", "").await;
    assert!(broken["error"].as_str().unwrap().contains("error parsing token"), "{broken}");
    // Another issuer, another word.
    let said = world.write("identity/oidc/config", json!({ "issuer": "https://id.example.com" })).await;
    assert_eq!((said.body["data"].clone(), said.body["warnings"].as_array().unwrap().len()), (Value::Null, 1));
    assert_eq!(introspect(&world, &jwt, "").await["active"], json!(false));
    assert_eq!(open(&world, "openid-configuration").await["issuer"], json!("https://id.example.com/v1/identity/oidc"));
    world.write("identity/oidc/config", json!({ "issuer": "" })).await.is(204);
    assert_eq!(introspect(&world, &jwt, "").await["active"], json!(true));
    world.pass(600).await;
    assert_eq!(introspect(&world, &jwt, "").await["active"], json!(false));
    world.delete(&path).await.is(204);
    assert_eq!(world.read("identity/oidc/config").await.data(), &json!({ "issuer": "" }));
    let refused = world.write("identity/oidc/config", json!({ "issuer": "https://a/b" })).await;
    assert!(refused.error().starts_with("invalid issuer, which must include only"), "{refused:?}");
}

#[tokio::test]
async fn the_next_key_is_known_before_it_signs_and_the_last_one_after() {
    let world = World::new().await;
    let (token, _) = bob(&world).await;
    let key = json!({ "algorithm": "EdDSA", "allowed_client_ids": "*", "rotation_period": "1h", "verification_ttl": "2h" });
    world.write("identity/oidc/key/k", key).await.is(204);
    world.write("identity/oidc/role/r", json!({ "key": "k", "ttl": "2h" })).await.is(204);
    let kids = async |world: &World| -> Vec<String> {
        open(world, "keys").await["keys"].as_array().unwrap().iter().map(|jwk| text(&jwk["kid"])).collect()
    };
    let before = kids(&world).await;
    assert_eq!(before.len(), 2);
    let (first, _) = signed(&world, &token, "r").await;
    assert_eq!(part(&first, 0)["kid"], json!(before[0]));
    // Due: the next signature is the next pair's.
    world.pass(3600).await;
    let auth = world.log_in("one", json!({ "name": "bob", "policies": ["signs"] })).await;
    let token = text(&auth["client_token"]);
    let (second, _) = signed(&world, &token, "r").await;
    assert_eq!(part(&second, 0)["kid"], json!(before[1]));
    assert!(verifies(&world, &first).await && verifies(&world, &second).await);
    assert_eq!(kids(&world).await.len(), 3);
    // Another algorithm signs from the next rotation on.
    world.write("identity/oidc/key/k", json!({ "algorithm": "ES384" })).await.is(204);
    let (third, _) = signed(&world, &token, "r").await;
    assert_eq!(part(&third, 0)["alg"], json!("EdDSA"));
    world.write("identity/oidc/key/k/rotate", json!({ "verification_ttl": "1m" })).await.is(204);
    let (fourth, _) = signed(&world, &token, "r").await;
    assert_eq!(part(&fourth, 0)["alg"], json!("ES384"));
    assert!(verifies(&world, &second).await && verifies(&world, &fourth).await);
    world.pass(60).await;
    assert!(!verifies(&world, &second).await, "its minute is over");
    assert!(verifies(&world, &first).await, "it has two hours");
    world.pass(7200).await;
    assert!(!verifies(&world, &first).await);
    assert_eq!(world.read("identity/oidc/key/k").await.data()["verification_ttl"], json!(7200));
    world.write("identity/oidc/key/x/rotate", json!({})).await.refused(400, "no named key found at \"x\"");
}

#[tokio::test]
async fn keys_that_became_due_while_the_server_was_down_are_rotated_at_the_start() {
    let world = World::new().await;
    let key = json!({ "algorithm": "EdDSA", "rotation_period": "1h", "verification_ttl": "2h" });
    world.write("identity/oidc/key/k", key).await.is(204);
    let before = open(&world, "keys").await["keys"].clone();
    world.clock.advance(std::time::Duration::from_secs(4000));
    let world = world.restart().await;
    let mut after = open(&world, "keys").await["keys"].clone();
    for _ in 0..1000 {
        if after.as_array().unwrap().len() == 3 {
            break;
        }
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        world.settle().await;
        after = open(&world, "keys").await["keys"].clone();
    }
    let kids = |keys: &Value| keys.as_array().unwrap().iter().map(|jwk| text(&jwk["kid"])).collect::<Vec<_>>();
    assert_eq!(kids(&after)[0], kids(&before)[1]);
    assert_eq!(kids(&after)[2], kids(&before)[0]);
}

#[tokio::test]
async fn the_default_key_is_always_there() {
    let world = World::new().await;
    assert_eq!(world.list("identity/oidc/key/").await.data()["keys"], json!(["default"]));
    let expected =
        json!({ "algorithm": "RS256", "allowed_client_ids": ["*"], "rotation_period": 86400, "verification_ttl": 86400 });
    assert_eq!(world.read("identity/oidc/key/default").await.data(), &expected);
    world.delete("identity/oidc/key/default").await.refused(400, "deletion of key \"default\" not allowed");
    assert_eq!(open(&world, "keys").await, json!({ "keys": [] }));
    let (token, _) = bob(&world).await;
    world.write("identity/oidc/role/r", json!({ "key": "default" })).await.is(204);
    assert_eq!(open(&world, "keys").await["keys"].as_array().unwrap().len(), 2);
    let (jwt, _) = signed(&world, &token, "r").await;
    assert!(verifies(&world, &jwt).await);
}

#[tokio::test]
async fn keys_and_roles_are_checked() {
    let world = World::new().await;
    let key = "identity/oidc/key/k";
    for (data, text) in [
        (json!({ "rotation_period": 59 }), "rotation_period must be at least one minute".to_owned()),
        (
            json!({ "rotation_period": "1m", "verification_ttl": "11m" }),
            "verification_ttl cannot be longer than 10x rotation_period".to_owned(),
        ),
        (json!({ "algorithm": "ES512" }), "unknown signing algorithm \"ES512\"".to_owned()),
        (json!({ "algorithm": "none" }), "unknown signing algorithm \"none\"".to_owned()),
    ] {
        world.write(key, data).await.refused(400, &text);
    }
    world.read(key).await.is(404);
    let null = json!({ "algorithm": "EdDSA", "allowed_client_ids": null, "verification_ttl": "1h" });
    world.write(key, null).await.is(204);
    assert_eq!(world.read(key).await.data()["allowed_client_ids"], json!([]));
    let role = "identity/oidc/role/r";
    for (data, text) in [
        (json!({}), "the key parameter is required"),
        (
            json!({ "key": "k", "ttl": "2h" }),
            "a role's token ttl cannot be longer than the verification_ttl of the key it references",
        ),
        (
            json!({ "key": "k", "ttl": "1h", "template": "{\"sub\": 1}" }),
            "top level key \"sub\" not allowed. Restricted keys: iat, aud, exp, iss, sub, namespace, nonce, auth_time, at_hash, c_hash",
        ),
    ] {
        world.write(role, data).await.refused(400, text);
    }
    world.list("identity/oidc/role/").await.is(404);
    world.write(role, json!({ "key": "later" })).await.is(204);
    world.write(role, json!({ "key": "k", "ttl": "10m" })).await.is(204);
    let used = "unable to delete key \"k\" because it is currently referenced by these roles: r";
    world.delete(key).await.refused(400, used);
    let short = "unable to update key \"k\" because it is currently referenced by one or more roles with a token ttl greater than 300 \
                 seconds";
    world.write(key, json!({ "verification_ttl": 300 })).await.refused(400, short);
    let (token, _) = bob(&world).await;
    let ask = |token: String, role: &'static str| {
        let world = &world;
        async move { world.ask(&token, Operation::Read, &format!("identity/oidc/token/{role}"), Value::Null).await }
    };
    let unlisted = "the key \"k\" does not list the client ID of the role \"r\" as an allowed client ID";
    ask(token.clone(), "r").await.refused(400, unlisted);
    ask(token.clone(), "x").await.refused(400, "role \"x\" not found");
    ask(world.root.clone(), "r").await.refused(400, "no entity associated with the request's token");
    world.delete(role).await.is(204);
    world.delete(key).await.is(204);
    world.delete(key).await.is(204);
    world.write(role, json!({ "key": "gone" })).await.is(204);
    ask(token, "r").await.refused(400, "key \"gone\" not found");
}

#[tokio::test]
async fn the_private_half_is_shown_nowhere() {
    let world = World::new().await;
    world.write("identity/oidc/key/k", json!({ "algorithm": "EdDSA" })).await.is(204);
    let keys = open(&world, "keys").await.to_string();
    let read = world.read("identity/oidc/key/k").await.body.to_string();
    for text in [keys, read] {
        assert!(!text.contains("\"d\"") && !text.contains("private"), "{text}");
    }
}
