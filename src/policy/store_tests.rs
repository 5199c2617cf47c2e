use super::super::template::tests::Known;
use super::*;
use crate::barrier::{Locked, RootKey};
use crate::base::{Tasks, Timestamp};
use crate::policy::{Ask, NoEntity, Operation};
use crate::storage::Storage;
use crate::storage::memory::MemoryStorage;

struct Rig {
    storage: MemoryStorage,
    barrier: Arc<Barrier>,
    store: Arc<PolicyStore>,
}

async fn rig() -> Rig {
    let storage = MemoryStorage::new();
    let locked = Locked::new(Arc::new(storage.clone()));
    let root = RootKey::generate();
    storage.commit(locked.create(&root, Timestamp::from_seconds(1)).unwrap()).await.unwrap();
    let barrier = locked.unlock(&root).await.unwrap();
    let store = PolicyStore::open(&barrier).await.unwrap();
    Rig { storage, barrier, store }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn reads(acl: &Acl, path: &str) -> bool {
    acl.check(&Ask { path, operation: Operation::Read, data: None, wrap_ttl: None, sudo_path: false }).allowed
}

const READ_A: &str = r#"path "a" { capabilities = ["read"] }"#;
const READ_B: &str = r#"path "b" { capabilities = ["read"] }"#;

#[tokio::test]
async fn a_fresh_store_has_the_policies_every_server_has() {
    let Rig { barrier, store, .. } = rig().await;
    assert_eq!(store.list().await.unwrap(), ["default", "root"]);
    assert_eq!(store.read("default").await.unwrap().as_deref(), Some(DEFAULT_TEXT));
    assert_eq!(store.read("response-wrapping").await.unwrap().as_deref(), Some(RESPONSE_WRAPPING_TEXT));
    assert_eq!(store.read("root").await.unwrap().as_deref(), Some(""));
    assert_eq!(store.read("absent").await.unwrap(), None);
    assert!(store.exists("ROOT").await.unwrap() && store.exists(" default").await.unwrap());
    assert!(!store.exists("absent").await.unwrap());
    // An edited default stays edited, the server's own are put right.
    store.write("default", READ_A).await.unwrap();
    barrier.view(ACLS).put(RESPONSE_WRAPPING, &Stored { text: READ_B.to_owned() }).await.unwrap();
    let again = PolicyStore::open(&barrier).await.unwrap();
    assert_eq!(again.read("default").await.unwrap().as_deref(), Some(READ_A));
    assert_eq!(again.read("response-wrapping").await.unwrap().as_deref(), Some(RESPONSE_WRAPPING_TEXT));
}

#[tokio::test]
async fn names_are_lower_case_and_texts_may_be_base64() {
    let Rig { store, .. } = rig().await;
    assert_eq!(store.write("Team/A", READ_A).await.unwrap(), ["policy name was converted to team/a"]);
    assert_eq!(store.read("TEAM/a").await.unwrap().as_deref(), Some(READ_A));
    let packed = "cGF0aCAic2VjcmV0L2IiIHsgY2FwYWJpbGl0aWVzID0gWyJyZWFkIl0gfQ==";
    assert!(store.write("b", packed).await.unwrap().is_empty());
    assert_eq!(store.read("b").await.unwrap().as_deref(), Some(r#"path "secret/b" { capabilities = ["read"] }"#));
    assert_eq!(store.write("c", "# nothing").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.list().await.unwrap(), ["b", "c", "default", "team/a", "root"]);
    let warnings = store.write("d", r#"path "x" { policy = "read" policy = "write" }"#).await.unwrap();
    assert_eq!(warnings, ["path \"x\": \"policy\" is given 2 times; the last one counts"]);
}

#[tokio::test]
async fn the_server_s_own_policies_are_protected() {
    let Rig { store, .. } = rig().await;
    for name in ["root", "Response-Wrapping", "control-group"] {
        let lower = name.to_lowercase();
        assert_eq!(store.write(name, READ_A).await.unwrap_err().to_string(), format!("cannot update \"{lower}\" policy"));
        assert_eq!(store.delete(name).await.unwrap_err().to_string(), format!("cannot delete \"{lower}\" policy"));
    }
    assert_eq!(store.delete("default").await.unwrap_err().to_string(), "cannot delete default policy");
    let error = store.write("x", r#"path "x" { policy = "y" }"#).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to parse policy: path \"x\": invalid policy \"y\"");
    assert!(!store.exists("x").await.unwrap());
    store.delete("absent").await.unwrap();
}

#[tokio::test]
async fn a_change_counts_at_once_and_a_missing_policy_says_nothing() {
    let Rig { store, .. } = rig().await;
    let both = names(&["p", "q"]);
    assert!(!reads(&store.acl(&both, &[], &NoEntity).await.unwrap(), "a"));
    store.write("p", READ_A).await.unwrap();
    assert!(reads(&store.acl(&both, &[], &NoEntity).await.unwrap(), "a"));
    store.write("q", r#"path "a" { capabilities = ["deny"] }"#).await.unwrap();
    assert!(!reads(&store.acl(&both, &[], &NoEntity).await.unwrap(), "a"));
    store.delete("q").await.unwrap();
    assert!(reads(&store.acl(&both, &[], &NoEntity).await.unwrap(), "a"));
    store.delete("p").await.unwrap();
    assert!(!reads(&store.acl(&both, &[], &NoEntity).await.unwrap(), "a"));
}

#[tokio::test]
async fn a_known_set_of_policies_needs_no_storage() {
    let Rig { storage, store, .. } = rig().await;
    store.write("p", READ_A).await.unwrap();
    let first = store.acl(&names(&["default", "p"]), &[], &NoEntity).await.unwrap();
    let dead = storage.reopen();
    assert!(store.read("p").await.is_err(), "storage is gone");
    let second = store.acl(&names(&["default", "p"]), &[], &NoEntity).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    // Parsed policies serve another set of them.
    assert!(reads(&store.acl(&names(&["p"]), &[], &NoEntity).await.unwrap(), "a"));
    assert!(store.acl(&names(&["unknown"]), &[], &NoEntity).await.is_err());
    drop(dead);
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_behind_it() {
    let Rig { storage, store, .. } = rig().await;
    store.write("p", READ_A).await.unwrap();
    let mut held = storage.hold_get(ACLS.to_owned() + "p");
    let reader = Tasks::default().spawn({
        let store = Arc::clone(&store);
        async move { store.acl(&names(&["p"]), &[], &NoEntity).await.unwrap() }
    });
    held.reached().await;
    store.write("p", READ_B).await.unwrap();
    held.release();
    let old = reader.await.unwrap();
    assert!(reads(&old, "a"), "it began before the change was answered");
    let new = store.acl(&names(&["p"]), &[], &NoEntity).await.unwrap();
    assert!(reads(&new, "b") && !reads(&new, "a"));
}

#[tokio::test]
async fn entities_get_their_own_answers() {
    let Rig { store, .. } = rig().await;
    store.write("p", r#"path "kv/{{identity.entity.name}}" { capabilities = ["read"] }"#).await.unwrap();
    let of = |id, name| Known::of(&[("identity.entity.id", id), ("identity.entity.name", name)]);
    let p = names(&["p"]);
    let bob = store.acl(&p, &[], &of("1", "bob")).await.unwrap();
    let eve = store.acl(&p, &[], &of("2", "eve")).await.unwrap();
    assert!(reads(&bob, "kv/bob") && !reads(&bob, "kv/eve") && reads(&eve, "kv/eve"));
    assert!(!reads(&store.acl(&p, &[], &NoEntity).await.unwrap(), "kv/bob"));
    assert!(Arc::ptr_eq(&bob, &store.acl(&p, &[], &of("1", "bob")).await.unwrap()));
}

#[tokio::test]
async fn root_stands_alone() {
    let Rig { store, .. } = rig().await;
    assert!(reads(&store.acl(&names(&["root"]), &[], &NoEntity).await.unwrap(), "anything"));
    assert!(!reads(&store.acl(&names(&["default", "root"]), &[], &NoEntity).await.unwrap(), "anything"));
    assert!(!reads(&store.acl(&[], &[], &NoEntity).await.unwrap(), "anything"));
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_denies_all() {
    let Rig { barrier, store, .. } = rig().await;
    store.write("p", READ_A).await.unwrap();
    barrier.view(ACLS).put("q", &Stored { text: "path".to_owned() }).await.unwrap();
    let error = store.acl(&names(&["p", "q"]), &[], &NoEntity).await.unwrap_err().to_string();
    assert!(error.contains("sys/policy/q is not readable"), "{error}");
}

#[tokio::test]
async fn the_caches_are_bounded() {
    let Rig { store, .. } = rig().await;
    for n in 0..3000 {
        store.acl(&[format!("p{n}")], &[], &NoEntity).await.unwrap();
    }
    assert!(store.compiled.len() <= COMPILED && store.parsed.len() <= PARSED);
}

#[tokio::test]
async fn password_policies_are_kept_and_make_passwords() {
    let Rig { store, .. } = rig().await;
    let text = "length = 20\nrule \"charset\" { charset = \"abcdef\" min-chars = 1 }";
    store.write_password("P", text).await.unwrap();
    store.write_password("q", &STANDARD.encode(text)).await.unwrap();
    assert_eq!(store.list_passwords().await.unwrap(), ["P", "q"]);
    assert_eq!(store.read_password("q").await.unwrap().as_deref(), Some(text));
    let password = store.generate_password("P").await.unwrap().unwrap();
    assert!(password.expose().len() == 20 && password.expose().chars().all(|c| "abcdef".contains(c)));
    assert!(store.generate_password("absent").await.unwrap().is_none());
    let error = store.write_password("r", "length = 3\nrule \"charset\" { charset = \"abc\" }").await.unwrap_err();
    assert_eq!(error.to_string(), "passwords must be between 4 and 100 characters");
    store.delete_password("P").await.unwrap();
    assert_eq!(store.list_passwords().await.unwrap(), ["q"]);
}

#[tokio::test]
async fn many_who_miss_at_once_get_one_answer() {
    let Rig { storage, store, .. } = rig().await;
    store.write("p", READ_A).await.unwrap();
    let mut held = storage.hold_get(ACLS.to_owned() + "p");
    let tasks = Tasks::default();
    let ask = || {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.acl(&names(&["p"]), &[], &NoEntity).await.unwrap() })
    };
    let first = ask();
    held.reached().await;
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    held.release();
    let first = first.await.unwrap();
    for other in others {
        assert!(Arc::ptr_eq(&first, &other.await.unwrap()));
    }
}
