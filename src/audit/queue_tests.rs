use std::sync::mpsc;

use futures_util::poll;

use super::*;
use crate::base::Tasks;

/// A medium whose every write the test lets happen, by a verdict; it reports what it was given.
#[derive(Debug)]
struct Gate {
    entered: mpsc::Sender<Vec<Bytes>>,
    verdicts: mpsc::Receiver<Verdict>,
    reopenings: Arc<Mutex<usize>>,
}

#[derive(Debug)]
enum Verdict {
    Take,
    /// Takes so many lines, then fails.
    Fail(usize),
    /// The first line can never be written.
    Refuse,
}

impl Sink for Gate {
    fn write(&mut self, lines: &[Bytes]) -> Written {
        let _ = self.entered.send(lines.to_vec());
        match self.verdicts.recv() {
            Ok(Verdict::Take) => Written::new(lines.len(), Ok(())),
            Ok(Verdict::Refuse) => Written { lines: 0, outcome: Err(io::ErrorKind::InvalidInput.into()), is_refused: true },
            Ok(Verdict::Fail(count)) => Written::new(count, Err(io::ErrorKind::StorageFull.into())),
            Err(_) => Written::new(0, Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        *self.reopenings.lock().unwrap() += 1;
        Ok(())
    }
}

struct Rig {
    device: Arc<Queued>,
    entered: mpsc::Receiver<Vec<Bytes>>,
    verdicts: mpsc::Sender<Verdict>,
    reopenings: Arc<Mutex<usize>>,
    tasks: Tasks,
}

impl Rig {
    fn new() -> Self {
        let (entered, saw) = mpsc::channel();
        let (verdicts, told) = mpsc::channel();
        let reopenings = Arc::new(Mutex::new(0));
        let gate = Gate { entered, verdicts: told, reopenings: Arc::clone(&reopenings) };
        let device = Arc::new(Queued::start("gate/", "file", Box::new(gate)).unwrap());
        Self { device, entered: saw, verdicts, reopenings, tasks: Tasks::default() }
    }

    fn append(&self, line: &'static [u8]) -> tokio::task::JoinHandle<Result<(), AuditError>> {
        self.append_bytes(Bytes::from_static(line))
    }

    fn append_bytes(&self, line: Bytes) -> tokio::task::JoinHandle<Result<(), AuditError>> {
        let device = Arc::clone(&self.device);
        self.tasks.spawn(async move { device.append(line).await })
    }

    /// The lines of the next write, which then waits for its verdict.
    fn saw(&self) -> Vec<Bytes> {
        self.entered.recv().unwrap()
    }

    fn tell(&self, verdict: Verdict) {
        self.verdicts.send(verdict).unwrap();
    }

    async fn until_waiting(&self, lines: usize) {
        while self.device.health().waiting != lines {
            tokio::task::yield_now().await;
        }
    }

    fn reopenings(&self) -> usize {
        *self.reopenings.lock().unwrap()
    }
}

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_wait_become_one_write() {
    let rig = Rig::new();
    let first = rig.append(b"first\n");
    assert_eq!(rig.saw(), ["first\n"]);
    let mut others = Vec::new();
    for (index, line) in [b"a\n", b"b\n", b"c\n"].into_iter().enumerate() {
        others.push(rig.append(line));
        rig.until_waiting(index + 2).await;
    }
    rig.tell(Verdict::Take);
    assert_eq!(first.await.unwrap(), Ok(()));
    assert_eq!(rig.saw(), ["a\n", "b\n", "c\n"]);
    rig.tell(Verdict::Take);
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(()));
    }
    assert_eq!(rig.device.health(), Health::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_is_cured_by_reopening() {
    let rig = Rig::new();
    let line = rig.append(b"line\n");
    rig.tell(Verdict::Fail(0));
    rig.tell(Verdict::Take);
    assert_eq!(line.await.unwrap(), Ok(()));
    assert_eq!(rig.reopenings(), 1);
    assert!(!rig.device.health().is_down);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_device_says_so_and_catches_up_when_it_is_back() {
    let rig = Rig::new();
    let lost = rig.append(b"lost\n");
    assert_eq!(rig.saw(), ["lost\n"]);
    rig.tell(Verdict::Fail(0));
    assert_eq!(rig.saw(), ["lost\n"], "again, after reopening");
    rig.tell(Verdict::Fail(0));
    let error = lost.await.unwrap().unwrap_err();
    assert!(matches!(&error, AuditError::Unavailable(text) if text.starts_with("gate/: ")), "{error}");
    let health = rig.device.health();
    assert!(health.is_down && health.waiting == 1, "{health:?}");

    let next = rig.append(b"next\n");
    assert_eq!(rig.saw(), ["lost\n"], "one line shows whether it is back");
    rig.tell(Verdict::Take);
    // The thread may have tried by itself before the second line came.
    assert_eq!(rig.saw(), ["next\n"]);
    rig.tell(Verdict::Take);
    assert_eq!(next.await.unwrap(), Ok(()));
    assert_eq!(rig.device.health(), Health::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_cut_short_goes_on_where_it_ended() {
    let rig = Rig::new();
    let first = rig.append(b"first\n");
    assert_eq!(rig.saw().len(), 1);
    let one = rig.append(b"one\n");
    rig.until_waiting(2).await;
    let two = rig.append(b"two\n");
    rig.until_waiting(3).await;
    rig.tell(Verdict::Take);
    assert_eq!(rig.saw(), ["one\n", "two\n"]);
    rig.tell(Verdict::Fail(1));
    assert_eq!(rig.saw(), ["two\n"]);
    rig.tell(Verdict::Take);
    for line in [first, one, two] {
        assert_eq!(line.await.unwrap(), Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_the_medium_can_never_take_stops_no_other() {
    let rig = Rig::new();
    let first = rig.append(b"first\n");
    assert_eq!(rig.saw().len(), 1);
    let long = rig.append(b"too long\n");
    rig.until_waiting(2).await;
    let other = rig.append(b"other\n");
    rig.until_waiting(3).await;
    for verdict in [Verdict::Take, Verdict::Refuse, Verdict::Take] {
        rig.tell(verdict);
    }
    assert_eq!(first.await.unwrap(), Ok(()));
    assert!(long.await.unwrap().is_err());
    assert_eq!(other.await.unwrap(), Ok(()));
    assert!(!rig.device.health().is_down);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_makes_its_callers_wait_until_there_is_room() {
    let rig = Rig::new();
    let mut lines = vec![rig.append_bytes(vec![b'x'; MIB].into())];
    assert_eq!(rig.saw().len(), 1);
    for waiting in 2..=MAX_BYTES / MIB {
        lines.push(rig.append_bytes(vec![b'x'; MIB].into()));
        rig.until_waiting(waiting).await;
    }
    let mut late = rig.device.append(Bytes::from_static(b"late\n"));
    assert!(poll!(&mut late).is_pending());
    assert_eq!(rig.device.health().waiting, 8, "it is not queued");
    rig.tell(Verdict::Take);
    assert_eq!(rig.saw().len(), 7);
    rig.tell(Verdict::Take);
    for line in lines {
        assert_eq!(line.await.unwrap(), Ok(()));
    }
    rig.tell(Verdict::Take);
    assert_eq!(late.await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_and_goes_away_is_counted() {
    let rig = Rig::new();
    let line = rig.append_bytes(vec![b'x'; MAX_BYTES + 1].into());
    assert_eq!(rig.saw().len(), 1, "longer than the bound, but alone");
    let mut waits = rig.device.append(Bytes::from_static(b"passes\n"));
    assert!(poll!(&mut waits).is_pending());
    drop(waits);
    assert_eq!(rig.device.health(), Health { is_down: true, waiting: 1, missed: 1 });
    rig.tell(Verdict::Take);
    assert_eq!(line.await.unwrap(), Ok(()));
    rig.tell(Verdict::Take);
    assert_eq!(rig.append(b"next\n").await.unwrap(), Ok(()));
    assert_eq!(rig.device.health(), Health::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_device_with_a_full_queue_refuses_at_once() {
    let rig = Rig::new();
    let line = rig.append_bytes(vec![b'x'; MAX_BYTES + 1].into());
    rig.tell(Verdict::Fail(0));
    rig.tell(Verdict::Fail(0));
    assert!(line.await.unwrap().is_err());
    let refused = rig.device.append(Bytes::from_static(b"more\n")).await;
    assert!(matches!(refused, Err(AuditError::Unavailable(_))), "{refused:?}");
    assert_eq!(rig.device.health().missed, 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_its_line() {
    let rig = Rig::new();
    // The writer sleeps first, so that this caller is the one who wakes it.
    rig.device.flush().await.unwrap();
    while !rig.device.shared.lock().asleep {
        tokio::task::yield_now().await;
    }
    let mut line = rig.device.append(Bytes::from_static(b"line\n"));
    assert!(poll!(&mut line).is_pending());
    drop(line);
    assert_eq!(rig.saw(), ["line\n"]);
    rig.tell(Verdict::Take);
    rig.device.flush().await.unwrap();
    assert_eq!(rig.device.health(), Health::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_dropped_writes_what_it_has() {
    let rig = Rig::new();
    let first = rig.append(b"first\n");
    assert_eq!(rig.saw(), ["first\n"]);
    let second = rig.append(b"second\n");
    rig.until_waiting(2).await;
    drop(rig.device);
    rig.verdicts.send(Verdict::Take).unwrap();
    assert_eq!(rig.entered.recv().unwrap(), ["second\n"]);
    rig.verdicts.send(Verdict::Take).unwrap();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
    assert!(rig.entered.recv().is_err(), "the thread has ended");
}
