//! Leases.

use serde_json::json;

use super::{ErrorKind, Operation, Server, Told, refused};

impl Server {
    async fn lend(&self) -> String {
        self.read("lend/creds/web").await.body()["lease_id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_lease_is_looked_up_renewed_and_listed() {
    let server = Server::start().await;
    let id = server.lend().await;
    let facts = server.write("sys/leases/lookup", json!({ "lease_id": id })).await.data();
    assert_eq!(
        facts,
        json!({ "id": id, "issue_time": "2023-11-14T22:13:20Z", "expire_time": "2023-11-14T23:13:20Z", "last_renewal": null,
                "renewable": true, "ttl": 3600 })
    );
    for path in ["sys/leases/renew".to_owned(), format!("sys/leases/renew/{id}"), format!("sys/renew/{id}")] {
        let renewed = server.write(&path, json!({ "lease_id": id, "increment": "2h" })).await.body();
        let expected = (&json!(id), &json!(true), &json!(7200));
        assert_eq!((&renewed["lease_id"], &renewed["renewable"], &renewed["lease_duration"]), expected, "{path}");
    }
    let capped = server.write("sys/leases/renew", json!({ "lease_id": id, "increment": "20h" })).await.body();
    assert_eq!(capped["lease_duration"], json!(36000));
    assert_eq!(capped["warnings"].as_array().unwrap().len(), 1);
    let suffix = id.rsplit('/').next().unwrap();
    assert_eq!(server.list("sys/leases/lookup/lend/creds/web/").await.data(), json!({ "keys": [suffix] }));
    assert_eq!(server.list("sys/leases/lookup/lend/").await.data(), json!({ "keys": ["creds/"] }));
    assert_eq!(server.list("sys/leases/lookup/nosuch/").await, Told::Refused(ErrorKind::NotFound, String::new()));
}

#[tokio::test]
async fn a_revoked_lease_cannot_be_renewed() {
    let server = Server::start().await;
    for (path, data, told) in
        [("sys/leases/revoke", json!({}), Told::Nothing), ("sys/revoke", json!({ "sync": false }), Told::Accepted)]
    {
        let id = server.lend().await;
        let mut data = data;
        data["lease_id"] = json!(id);
        assert_eq!(server.write(path, data).await, told);
        let renewed = server.write("sys/leases/renew", json!({ "lease_id": id })).await;
        // Queued ones may be on their way.
        assert!(renewed == refused("lease not found") || renewed == refused("lease expired"), "{renewed:?}");
    }
}

#[tokio::test]
async fn revoking_what_is_not_there_succeeds() {
    let server = Server::start().await;
    for path in ["sys/leases/revoke/nosuch/lease", "sys/leases/revoke-prefix/nosuch", "sys/leases/revoke-force/nosuch"] {
        assert_eq!(server.write(path, json!({})).await, Told::Nothing, "{path}");
    }
    let queued = server.write("sys/leases/revoke-prefix/nosuch", json!({ "sync": false })).await;
    assert_eq!(queued, Told::Accepted);
    assert_eq!(server.write("sys/leases/revoke", json!({})).await, refused("lease_id must be specified"));
    assert_eq!(server.write("sys/leases/renew", json!({ "lease_id": "no/such" })).await, refused("lease not found"));
    assert_eq!(server.write("sys/leases/lookup", json!({ "lease_id": "no/such" })).await, refused("invalid lease"));
}

#[tokio::test]
async fn all_below_a_prefix_are_revoked() {
    let server = Server::start().await;
    let ids = [server.lend().await, server.lend().await];
    assert_eq!(server.write("sys/leases/revoke-prefix/lend/creds", json!({})).await, Told::Nothing);
    for id in ids {
        assert_eq!(server.write("sys/leases/lookup", json!({ "lease_id": id })).await, refused("invalid lease"));
    }
}

#[tokio::test]
async fn the_lease_of_a_token_is_shown_but_not_renewed_here() {
    let server = Server::start().await;
    let token = server.token(&["default"]).await;
    let key = server.active().tokens.key(&token);
    let id = format!("auth/token/create/{key}");
    let facts = server.write("sys/leases/lookup", json!({ "lease_id": id })).await.data();
    assert_eq!((&facts["ttl"], &facts["renewable"]), (&json!(3600), &json!(true)));
    let told = server.write("sys/leases/renew", json!({ "lease_id": id })).await;
    assert_eq!(told, refused("tokens cannot be renewed through this endpoint"));
    assert_eq!(server.write("sys/leases/revoke", json!({ "lease_id": id })).await, Told::Nothing);
    assert!(server.active().tokens.find(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn only_irrevocable_leases_are_counted() {
    let server = Server::start().await;
    let ask = |path, data| server.ask(Operation::Read, path, &server.root, data);
    let none = json!({ "lease_count": 0, "counts": {} });
    assert_eq!(ask("sys/leases/count", json!({ "type": "irrevocable" })).await.data(), none);
    assert_eq!(ask("sys/leases/count", json!({})).await, Told::Refused(ErrorKind::NotFound, String::new()));
    let listed = ask("sys/leases", json!({ "type": "irrevocable", "limit": "none" })).await.data();
    assert_eq!(listed, json!({ "lease_count": 0, "leases": [] }));
    let bad = ask("sys/leases", json!({ "type": "irrevocable", "limit": "-5" })).await;
    assert_eq!(bad, refused("1 error occurred:\n\t* limit must be 'none' or a positive integer\n\n"));
}
