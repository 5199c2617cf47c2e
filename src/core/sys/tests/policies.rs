//! Policies, and what tokens may do.

use serde_json::{Value, json};

use super::{ErrorKind, Operation, Server, Told, refused};

const READS: &str = "path \"secret/*\" { capabilities = [\"read\"] }";

#[tokio::test]
async fn a_policy_is_written_read_listed_and_deleted_by_any_name() {
    let server = Server::start().await;
    assert_eq!(server.write("sys/policies/acl/team/web", json!({ "policy": READS })).await, Told::Nothing);
    let shown = server.read("sys/policies/acl/team/web").await.body();
    assert_eq!(shown["data"], json!({ "name": "team/web", "policy": READS }));
    assert_eq!(shown.get("policy"), None);
    let legacy = server.read("sys/policy/team/web").await.body();
    assert_eq!(legacy["rules"], json!(READS));
    assert_eq!(legacy["data"], json!({ "name": "team/web", "rules": READS }));
    let names = json!(["default", "team/web", "root"]);
    assert_eq!(server.list("sys/policies/acl/").await.data(), json!({ "keys": names }));
    assert_eq!(server.read("sys/policy").await.body()["policies"], names);
    assert_eq!(server.delete("sys/policies/acl/team/web").await, Told::Nothing);
    assert_eq!(server.read("sys/policies/acl/team/web").await, Told::Refused(ErrorKind::NotFound, String::new()));
}

#[tokio::test]
async fn names_become_lower_case_and_old_parameters_are_known() {
    let server = Server::start().await;
    let told = server.write("sys/policies/acl/Web", json!({ "policy": READS })).await.body();
    assert_eq!(told["warnings"], json!(["policy name was converted to web"]));
    let told = server.write("sys/policy/old", json!({ "rules": READS })).await.body();
    assert_eq!(told["warnings"], json!(["'rules' is deprecated, please use 'policy' instead"]));
    let told = server.write("sys/policies/acl/new", json!({ "rules": READS })).await;
    assert_eq!(told, refused("'policy' parameter not supplied or empty"));
    assert_eq!(server.write("sys/policies/acl/root", json!({ "policy": READS })).await, refused("cannot update \"root\" policy"));
    assert_eq!(server.delete("sys/policy/default").await, refused("cannot delete default policy"));
}

#[tokio::test]
async fn passwords_follow_their_policy() {
    let server = Server::start().await;
    let text = "length = 20\nrule \"charset\" { charset = \"abc\" }";
    assert_eq!(server.write("sys/policies/password/p", json!({ "policy": text })).await, Told::Nothing);
    assert_eq!(server.read("sys/policies/password/p").await.data(), json!({ "policy": text }));
    let password = server.read("sys/policies/password/p/generate").await.data();
    assert_eq!(password["password"].as_str().unwrap().len(), 20);
    let absent = Told::Refused(ErrorKind::NotFound, "1 error occurred:\n\t* policy does not exist\n\n".to_owned());
    assert_eq!(server.read("sys/policies/password/absent").await, absent);
    assert_eq!(server.write("sys/policies/password/p", json!({})).await, refused("1 error occurred:\n\t* missing policy\n\n"));
}

#[tokio::test]
async fn a_token_with_the_default_policy_may_little() {
    let server = Server::start().await;
    let token = server.token(&["default"]).await;
    let own = |data: Value| server.ask(Operation::Update, "sys/capabilities-self", &token, data);
    let told = own(json!({ "paths": ["sys/mounts", "cubbyhole/x", "auth/token/lookup-self"] })).await.body();
    let expected = json!({
        "sys/mounts": ["deny"],
        "cubbyhole/x": ["create", "delete", "list", "read", "update"],
        "auth/token/lookup-self": ["read"],
    });
    assert_eq!(told["data"], expected);
    assert_eq!(told["cubbyhole/x"], expected["cubbyhole/x"], "also at the top");
    let one = own(json!({ "path": "sys/tools/hash" })).await.data();
    assert_eq!(one, json!({ "capabilities": ["update"], "sys/tools/hash": ["update"] }));
    assert_eq!(own(json!({})).await, refused("paths must be supplied"));
    let denied = server.ask(Operation::Update, "sys/capabilities", &token, json!({})).await;
    assert_eq!(denied, Told::Refused(ErrorKind::Denied, "1 error occurred:\n\t* permission denied\n\n".to_owned()));
}

#[tokio::test]
async fn capabilities_of_others_are_asked_by_token_or_accessor() {
    let server = Server::start().await;
    let token = server.token(&["default"]).await;
    let info = server.active().tokens.find(&token).await.unwrap().unwrap();
    let accessor = info.accessor.as_ref().unwrap().as_str().to_owned();
    let by_token = server.write("sys/capabilities", json!({ "token": token, "paths": "cubbyhole/x" })).await.data();
    let by_accessor = server.write("sys/capabilities-accessor", json!({ "accessor": accessor, "paths": "cubbyhole/x" })).await;
    assert_eq!(by_token, by_accessor.data());
    let own = server.write("sys/capabilities", json!({ "token": server.root, "paths": "any" })).await.data();
    assert_eq!(own["any"], json!(["root"]));
    for (path, data, text) in [
        ("sys/capabilities", json!({ "paths": "x" }), "1 error occurred:\n\t* no token found\n\n"),
        ("sys/capabilities", json!({ "token": "hvs.no", "paths": "x" }), "1 error occurred:\n\t* invalid token\n\n"),
        ("sys/capabilities-accessor", json!({ "paths": "x" }), "missing accessor"),
        ("sys/capabilities-accessor", json!({ "accessor": "no", "paths": "x" }), "1 error occurred:\n\t* invalid accessor\n\n"),
    ] {
        assert_eq!(server.write(path, data).await, refused(text));
    }
}
