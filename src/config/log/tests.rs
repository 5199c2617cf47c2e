use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;
use crate::base::Timestamp;
use crate::base::time::ManualClock;

/// A sink that keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A sink like a pipe that nobody reads, until the test does.
struct Stuck {
    entered: SyncSender<()>,
    go: Receiver<()>,
    kept: Kept,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.try_send(());
        let _ = self.go.recv();
        self.kept.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)))
}

fn logged(settings: &LogSettings, work: impl FnOnce(&Log)) -> String {
    let kept = Kept::default();
    let log = Log::start(settings, clock(), kept.clone()).unwrap();
    tracing::subscriber::with_default(log.subscriber(), || work(&log));
    assert!(log.flush(WAIT));
    kept.text()
}

/// Long enough for any machine: passes only when something is broken.
const WAIT: Duration = Duration::from_mins(1);

#[test]
fn a_standard_line_shows_time_level_module_message_and_values() {
    let text = logged(&LogSettings::default(), |_| {
        tracing::info!(target: "leasehold::core::seal", shares = 3, name = "two words", quote = "a\"b", "unsealed");
        tracing::warn!(target: "leasehold", "old");
    });
    assert_eq!(
        text,
        "2023-11-14T22:13:20.000Z [INFO]  core.seal: unsealed: shares=3 name=\"two words\" quote=\"a\\\"b\"\n\
         2023-11-14T22:13:20.000Z [WARN]  leasehold: old\n"
    );
}

#[test]
fn a_json_line_is_one_object() {
    let settings = LogSettings { format: LogFormat::Json, ..LogSettings::default() };
    let text = logged(&settings, |_| tracing::error!(target: "leasehold::http", took_ms = 7_u64, ok = false, "line\nbreak"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value,
        serde_json::json!({"@level": "error", "@message": "line\nbreak", "@module": "http",
            "@timestamp": "2023-11-14T22:13:20.000000Z", "took_ms": 7, "ok": false})
    );
    assert_eq!(text.matches('\n').count(), 1);
}

#[test]
fn a_value_cannot_forge_a_line_or_command_a_terminal() {
    let text = logged(&LogSettings::default(), |_| {
        tracing::info!(target: "leasehold::http", path = "a\n2023 [ERROR] fake\u{1b}[2J", "got\r\nit");
    });
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
}

#[test]
fn a_long_value_is_cut() {
    let text = logged(&LogSettings::default(), |_| {
        let long = "é".repeat(100_000);
        tracing::info!(target: "leasehold::http", path = long, debug = ?long, "got");
    });
    assert!(text.len() < 10_000, "{}", text.len());
    assert_eq!(text.matches('…').count(), 2);
}

#[test]
fn the_level_can_change_while_running() {
    let text = logged(&LogSettings::default(), |log| {
        for (level, message) in [(LogLevel::Info, "one"), (LogLevel::Trace, "two"), (LogLevel::Error, "three")] {
            log.set_level(level);
            assert_eq!(log.level(), level);
            tracing::debug!(target: "leasehold::http", "{message}");
        }
    });
    assert!(text.contains("two") && !text.contains("one") && !text.contains("three"), "{text}");
}

#[test]
fn a_part_is_logged_at_its_own_level_and_so_is_what_belongs_to_it() {
    let text = logged(&LogSettings::default(), |log| {
        assert!(log.set_one("engine", Some(LogLevel::Debug)));
        assert!(log.set_one("engine.aws", Some(LogLevel::Error)));
        assert!(!log.set_one("nosuch", Some(LogLevel::Debug)));
        tracing::debug!(target: "leasehold::engine::kv::v2", "kv");
        tracing::info!(target: "leasehold::engine::aws", "aws");
        tracing::debug!(target: "leasehold::enginery", "other");
        log.set_all(Some(LogLevel::Warn));
        tracing::info!(target: "leasehold::engine::kv", "late");
        log.set_all(None);
        tracing::info!(target: "leasehold::engine::aws", "again");
    });
    let told: Vec<&str> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(told, ["kv", "again"], "{text}");
}

#[test]
fn other_crates_are_heard_from_warnings_upwards_only() {
    let settings = LogSettings { level: LogLevel::Trace, ..LogSettings::default() };
    let text = logged(&settings, |_| {
        tracing::trace!(target: "h2::codec", "x-vault-token: hvs.secret");
        tracing::info!(target: "leaseholder", "not ours");
        tracing::warn!(target: "rustls", "odd");
    });
    assert_eq!(text, "2023-11-14T22:13:20.000Z [WARN]  rustls: odd\n");
}

#[test]
fn a_span_adds_its_values() {
    let text = logged(&LogSettings::default(), |_| {
        let span = tracing::info_span!(target: "leasehold::http", "request", id = "r1", path = tracing::field::Empty);
        span.record("path", "sys/mounts");
        span.in_scope(|| tracing::info!(target: "leasehold::core", id = "own", "done"));
    });
    assert!(text.ends_with("core: done: id=own path=sys/mounts\n"), "{text}");
}

#[test]
fn a_pipe_nobody_reads_costs_lines_but_never_time() {
    let kept = Kept::default();
    let (entered, has_entered) = sync_channel(1);
    let (let_go, go) = sync_channel(1);
    let log = Log::start(&LogSettings::default(), clock(), Stuck { entered, go, kept: kept.clone() }).unwrap();
    let line = "x".repeat(3000);
    tracing::subscriber::with_default(log.subscriber(), || {
        tracing::info!(target: "leasehold::http", "first");
        has_entered.recv_timeout(WAIT).unwrap();
        // The thread is stuck in its write now; twice what the queue holds comes in.
        for _ in 0..3000 {
            tracing::info!(target: "leasehold::http", "{line}");
        }
    });
    let dropped = log.dropped();
    assert!((1000..2999).contains(&dropped), "{dropped}");
    assert!(!log.flush(Duration::from_millis(1)));
    drop(let_go);
    assert!(log.flush(WAIT));
    let text = kept.text();
    assert_eq!(text.matches("xxx\n").count() as u64, 3000 - dropped);
    assert!(text.contains(&format!("[WARN]  log: {dropped} log lines were dropped")), "{text:.200}");
}

#[test]
fn the_log_file_is_private_and_reopened() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("server.log"), folder.path().join("server.log.1"));
    let settings = LogSettings { file: Some(path.clone()), ..LogSettings::default() };
    logged(&settings, |log| {
        tracing::info!(target: "leasehold::http", "before");
        assert!(log.flush(WAIT));
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        tracing::info!(target: "leasehold::http", "after");
    });
    assert!(std::fs::read_to_string(&moved).unwrap().ends_with("before\n"));
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("after\n"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let missing = LogSettings { file: Some(folder.path().join("no/such/folder.log")), ..LogSettings::default() };
    assert!(Log::start(&missing, clock(), Kept::default()).unwrap_err().to_string().contains("no/such/folder.log"));
}

#[test]
fn a_follower_sees_its_own_level_and_ends() {
    let text = logged(&LogSettings::default(), |log| {
        let mut tail = log.tail(LogLevel::Debug, LogFormat::Json);
        tracing::debug!(target: "leasehold::core", "quiet");
        let line = tail.lines.try_recv().unwrap();
        assert!(line.starts_with(b"{\"@level\":\"debug\""), "{line:?}");
        drop(tail);
        tracing::debug!(target: "leasehold::core", "unheard");
        assert!(log.0.tails().is_empty());
    });
    assert_eq!(text, "");
}

#[test]
fn names_of_levels_and_formats_are_read_as_vault_reads_them() {
    for (text, level) in [("WARN", LogLevel::Warn), ("err", LogLevel::Error), ("", LogLevel::Info), ("notice", LogLevel::Info)] {
        assert_eq!(text.parse(), Ok(level), "{text}");
    }
    assert_eq!("loud".parse::<LogLevel>().unwrap_err().to_string(), "unknown log level: loud");
    assert_eq!("JSON".parse(), Ok(LogFormat::Json));
    assert_eq!("xml".parse::<LogFormat>().unwrap_err().to_string(), "unknown log format: xml");
}
