use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::base::Timestamp;
use crate::base::time::ManualClock;

fn broker() -> Broker {
    Broker::new(Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000))))
}

fn device(path: &str, kind: &str, options: &[(&str, &str)]) -> DeviceConfig {
    DeviceConfig {
        path: path.to_owned(),
        kind: kind.to_owned(),
        description: String::new(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        local: false,
        id: "id".to_owned(),
    }
}

fn file(path: &str, file: &Path) -> DeviceConfig {
    device(path, "file", &[("file_path", file.to_str().unwrap())])
}

/// A file whose folder is a file: no system lets it be opened.
fn impossible(folder: &Path) -> std::path::PathBuf {
    std::fs::write(folder.join("file"), "").unwrap();
    folder.join("file/audit.log")
}

fn salt(text: &str) -> Secret<String> {
    Secret::from(text)
}

async fn write(broker: &Broker, id: &str) -> Result<(), AuditError> {
    start(broker, id)?.await
}

fn start(broker: &Broker, id: &str) -> Result<Writing, AuditError> {
    let request = RequestFacts { id, operation: "read", path: "kv/a", client_token: "hvs.t", ..RequestFacts::default() };
    let time = broker.clock.precise();
    broker.start(&Record { time, auth: &AuthFacts::ANONYMOUS, request: &request, response: None, error: "" })
}

fn lines(file: &Path) -> Vec<Value> {
    std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(file: &Path) -> Vec<String> {
    lines(file).iter().map(|line| line["request"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn without_devices_nothing_is_written_and_nothing_fails() {
    let broker = broker();
    assert!(!broker.is_enabled());
    assert_eq!(write(&broker, "a").await, Ok(()));
}

#[tokio::test]
async fn two_lines_that_were_handed_over_are_written_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let broker = broker();
    broker.enable(file("file/", &log), &salt("s")).await.unwrap();
    let (mut first, mut second) = (start(&broker, "one").unwrap(), start(&broker, "two").unwrap());
    first.hand_over();
    second.hand_over();
    both(first, second).await.unwrap();
    assert_eq!(ids(&log)[1..], ["one", "two"]);
}

#[tokio::test]
async fn a_line_that_was_handed_over_is_written_although_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let broker = broker();
    broker.enable(file("file/", &log), &salt("s")).await.unwrap();
    let mut line = start(&broker, "one").unwrap();
    line.hand_over();
    drop(line);
    broker.close().await;
    assert_eq!(ids(&log)[1..], ["one"]);
}

#[tokio::test]
async fn of_two_lines_that_were_handed_over_a_refused_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker();
    broker.restore(file("a/", &impossible(folder.path())), &salt("s")).await.unwrap();
    let (mut first, mut second) = (start(&broker, "one").unwrap(), start(&broker, "two").unwrap());
    first.hand_over();
    second.hand_over();
    assert!(both(first, second).await.is_err());
}

#[tokio::test]
async fn a_new_device_begins_with_a_test_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("new/folder/audit.log");
    let broker = broker();
    broker.enable(file("file/", &log), &salt("s")).await.unwrap();
    let mut first = lines(&log).remove(0);
    assert_eq!(first["request"]["id"].take().as_str().unwrap().len(), 36);
    assert_eq!(
        first.to_string(),
        r#"{"auth":{"token_type":"default"},"request":{"id":null,"namespace":{"id":"root"},"operation":"update","path":"sys/audit/test"},"time":"2023-11-14T22:13:20Z","type":"request"}"#
    );
    write(&broker, "one").await.unwrap();
    assert_eq!(lines(&log)[1]["request"]["client_token"], broker.hash("file/", "hvs.t").unwrap());
    assert!(broker.disable("file/") && !broker.disable("file/"));
    write(&broker, "two").await.unwrap();
    assert_eq!(lines(&log).len(), 2, "not after its end");
}

#[tokio::test]
async fn what_cannot_be_a_device_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let broker = broker();
    broker.enable(file("a/b/", &log), &salt("s")).await.unwrap();
    for (config, error) in [
        (device("a/b/", "nosuch", &[]), "path already in use"),
        (device("a/", "file", &[]), "path already in use"),
        (device("a/b/c/", "file", &[]), "path already in use"),
        (device("x/", "", &[]), "unknown backend type: \"\""),
        (device("x/", "kafka", &[]), "unknown backend type: \"kafka\""),
        (device("x/", "file", &[]), "file_path is required"),
        (device("x/", "file", &[("path", "/x"), ("mode", "9")]), "option mode: it is not an octal number up to 0777"),
        (device("x/", "file", &[("path", "/x"), ("mode", "0755")]), "option mode: a log must not be executable"),
        (device("x/", "file", &[("path", "/x"), ("log_raw", "yes")]), "option log_raw: \"yes\" is neither true nor false"),
        (device("x/", "file", &[("path", "/x"), ("format", "xml")]), "option format: \"xml\" is neither json nor jsonx"),
        (device("x/", "file", &[("path", "/x"), ("filter", "a")]), "option filter: not supported by this server"),
        (device("x/", "file", &[("path", "/x"), ("fallback", "true")]), "option fallback: not supported by this server"),
        (device("x/", "file", &[("path", "/x"), ("prefix", "a\nb")]), "option prefix: it would end the line"),
        (device("x/", "socket", &[]), "option address: required"),
        (
            device("x/", "socket", &[("address", "a:1"), ("socket_type", "sctp")]),
            "option socket_type: \"sctp\" is none of tcp, udp, unix",
        ),
        (
            device("x/", "socket", &[("address", "a:1"), ("write_timeout", "0")]),
            "option write_timeout: it is not a duration between 1ms and 1m",
        ),
        (device("x/", "syslog", &[("facility", "ALL")]), "option facility: \"ALL\" is not a facility of syslog"),
        (
            device("x/", "file", &[("file_path", "/dev/full")]),
            "audit backend failed test message: audit device unavailable: x/: No space left on device (os error 28)",
        ),
    ] {
        let shown = format!("{config:?}");
        assert_eq!(broker.enable(config, &salt("s")).await.unwrap_err().to_string(), error, "{shown}");
    }
    let unopened = broker.enable(file("x/", &impossible(folder.path())), &salt("s")).await.unwrap_err();
    assert!(unopened.to_string().starts_with("audit device unavailable: x/: /"), "{unopened}");
    assert_eq!(broker.list().len(), 1, "none of them stayed");
    assert_eq!(broker.hash("x/", "i").unwrap_err().to_string(), "unknown audit backend \"x/\"");
}

#[tokio::test]
async fn one_dead_device_of_two_does_not_matter_and_all_dead_do() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let dead = impossible(folder.path());
    let broker = broker();
    broker.restore(file("dead/", &dead), &salt("d")).await.unwrap();
    assert!(write(&broker, "a").await.is_err(), "the only one is dead");
    broker.enable(file("live/", &log), &salt("l")).await.unwrap();
    for id in ["b", "c"] {
        assert_eq!(write(&broker, id).await, Ok(()));
    }
    assert_eq!(ids(&log)[1..], ["b", "c"]);
    let health: Vec<_> = broker.list().into_iter().map(|(config, health)| (config.path, health.is_down)).collect();
    assert_eq!(health, [("dead/".to_owned(), true), ("live/".to_owned(), false)]);

    broker.restore(file("dead-too/", &dead), &salt("e")).await.unwrap();
    broker.disable("live/");
    assert_eq!(write(&broker, "d").await, Err(AuditError::NoneTook));

    // The medium comes back: what it missed comes first.
    std::fs::remove_file(folder.path().join("file")).unwrap();
    assert_eq!(write(&broker, "e").await, Ok(()));
    broker.close().await;
    let mut found = ids(&dead);
    // Both devices write this file.
    found.sort();
    assert_eq!(found, ["a", "b", "c", "d", "d", "e", "e"]);
}

#[tokio::test]
async fn a_rotated_file_is_let_go_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    let broker = broker();
    broker.enable(file("file/", &log), &salt("s")).await.unwrap();
    std::fs::rename(&log, &old).unwrap();
    write(&broker, "before").await.unwrap();
    broker.reopen().await;
    write(&broker, "after").await.unwrap();
    assert_eq!(ids(&old)[1..], ["before"]);
    assert_eq!(ids(&log), ["after"]);
}

#[tokio::test]
async fn each_device_has_its_own_salt_and_several_may_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let broker = broker();
    for path in ["one/", "two/"] {
        broker.enable(file(path, &log), &salt(path)).await.unwrap();
    }
    write(&broker, "a").await.unwrap();
    broker.close().await;
    assert!(!broker.is_enabled());
    let tokens: Vec<_> =
        lines(&log).iter().filter_map(|line| line["request"]["client_token"].as_str().map(str::to_owned)).collect();
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_device_that_discards_takes_everything() {
    let broker = broker();
    broker.enable(device("none/", "file", &[("file_path", "discard")]), &salt("s")).await.unwrap();
    assert!(broker.is_enabled());
    assert_eq!(write(&broker, "a").await, Ok(()));
}

#[tokio::test]
async fn the_table_record_keeps_its_form() {
    let config = device("file/", "file", &[("file_path", "/x")]);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(text, r#"{"path":"file/","type":"file","description":"","options":{"file_path":"/x"},"local":false,"id":"id"}"#);
    assert_eq!(serde_json::from_str::<DeviceConfig>(&text).unwrap(), config);
    assert_eq!(config.options, BTreeMap::from([("file_path".to_owned(), "/x".to_owned())]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_and_rotations_lose_no_line_and_keep_each_ones_order() {
    const WRITERS: usize = 16;
    const EACH: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let broker = Arc::new(broker());
    broker.enable(file("one/", &log), &salt("1")).await.unwrap();
    broker.enable(file("two/", &folder.path().join("other.log")), &salt("2")).await.unwrap();
    let tasks = crate::base::Tasks::default();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let broker = Arc::clone(&broker);
            tasks.spawn(async move {
                for index in 0..EACH {
                    write(&broker, &format!("{writer}-{index:03}")).await.unwrap();
                }
            })
        })
        .collect();
    let mut rotated = Vec::new();
    for turn in 0..10 {
        let old = folder.path().join(format!("audit.log.{turn}"));
        std::fs::rename(&log, &old).unwrap();
        broker.reopen().await;
        rotated.push(old);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    broker.close().await;
    rotated.push(log);
    let found: Vec<String> = rotated.iter().flat_map(|file| ids(file)).filter(|id| id.contains('-') && id.len() < 36).collect();
    assert_eq!(found.len(), WRITERS * EACH);
    assert_eq!(ids(&folder.path().join("other.log")).len(), WRITERS * EACH + 1);
    for writer in 0..WRITERS {
        let own: Vec<&String> = found.iter().filter(|id| id.starts_with(&format!("{writer}-"))).collect();
        assert!(own.len() == EACH && own.is_sorted(), "writer {writer}");
    }
}
