//! What a login with a password costs: comparisons of bcrypt, each of which is tens of milliseconds of a core.

use serde_json::json;

use super::{ErrorKind, Operation, Server, Told};
use crate::auth::userpass::compared;

async fn log_in(server: &Server, name: &str, password: &str) -> Told {
    server.ask(Operation::Update, &format!("auth/userpass/login/{name}"), "", json!({ "password": password })).await
}

async fn users(server: &Server, names: &[&str]) {
    assert_eq!(server.write("sys/auth/userpass", json!({ "type": "userpass" })).await, Told::Nothing);
    for name in names {
        let told = server.write(&format!("auth/userpass/users/{name}"), json!({ "password": format!("costs: {name}") })).await;
        assert_eq!(told, Told::Nothing);
    }
}

/// Whether the refusal is that of a wrong password.
fn is_wrong(told: &Told) -> bool {
    matches!(told, Told::Refused(ErrorKind::Invalid, text) if text == "invalid username or password")
}

#[tokio::test]
async fn a_login_costs_one_comparison_and_that_of_a_locked_user_none() {
    let server = Server::start().await;
    users(&server, &["ann", "bob"]).await;
    for attempt in 0..5 {
        let guess = format!("costs: guess {attempt}");
        assert!(is_wrong(&log_in(&server, "ann", &guess).await));
        assert_eq!(compared::times(&guess), 1);
    }
    for name in ["ann", "ANN"] {
        for password in ["costs: too late", "costs: ann"] {
            assert!(matches!(log_in(&server, name, password).await, Told::Refused(ErrorKind::Denied, _)));
            assert_eq!(compared::times(password), 0, "a locked user costs nothing");
        }
    }
    assert!(matches!(log_in(&server, "Bob", "costs: bob").await, Told::Body(_)));
    assert_eq!(compared::times("costs: bob"), 1);
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_one_comparison_and_is_never_locked() {
    let server = Server::start().await;
    users(&server, &[]).await;
    for attempt in 0..8 {
        let guess = format!("costs: at nobody {attempt}");
        assert!(is_wrong(&log_in(&server, "nobody", &guess).await));
        assert_eq!(compared::times(&guess), 1);
    }
    let long = format!("costs: {}", "x".repeat(80));
    assert!(is_wrong(&log_in(&server, "nobody", &long).await));
    assert_eq!(compared::times(&long), 1, "a password that is too long costs the same");
}

#[tokio::test]
async fn a_login_without_a_password_costs_nothing() {
    let server = Server::start().await;
    users(&server, &["eve"]).await;
    let before = compared::times("");
    for name in ["eve", "nobody"] {
        let told = log_in(&server, name, "").await;
        assert!(matches!(told, Told::Refused(ErrorKind::Invalid, text) if text == "missing password"));
    }
    assert_eq!(compared::times(""), before);
}
