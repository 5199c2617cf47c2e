//! A scripted HTTP/1.1 server on a loopback port, and the streams of one call of the command line.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Cursor, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use leasehold::base::time::SystemClock;
use leasehold::base::{Clock, Timestamp};
use leasehold::cli::{self, Io, Terminal};
use serde_json::Value;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `PUT /v1/rw/a`.
    pub(super) line: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

type Replies = HashMap<String, VecDeque<(u16, String, String)>>;

/// The server. A request without a reply left is answered as an unknown path.
pub(super) struct Stub {
    address: SocketAddr,
    replies: Arc<Mutex<Replies>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stub = Self { address, replies: Arc::default(), seen: Arc::default() };
        let (replies, seen) = (Arc::clone(&stub.replies), Arc::clone(&stub.seen));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away early is part of some tests.
                let _ = serve(stream, &replies, &seen);
            }
        });
        stub
    }

    /// The next reply to `line`; the last one is given again and again.
    pub(super) fn reply(&self, line: &str, status: u16, body: &str) -> &Self {
        self.reply_with(line, status, "", body)
    }

    /// The same with header lines.
    pub(super) fn reply_with(&self, line: &str, status: u16, headers: &str, body: &str) -> &Self {
        let mut replies = self.replies.lock().unwrap();
        replies.entry(line.to_owned()).or_default().push_back((status, headers.to_owned(), body.to_owned()));
        self
    }

    /// A reply in the usual envelope.
    pub(super) fn data(&self, line: &str, data: &str) -> &Self {
        self.reply(line, 200, &envelope(&format!("\"data\":{data}")))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    pub(super) fn last(&self) -> Seen {
        self.seen().pop().expect("a request was sent")
    }

    /// A call against this server, with a token.
    pub(super) fn call(&self, words: &[&str]) -> Call {
        Call::new(words).env("VAULT_ADDR", &self.url()).env("VAULT_TOKEN", "hvs.test")
    }

    /// The same, run.
    pub(super) fn run(&self, words: &[&str]) -> Done {
        self.call(words).run()
    }
}

/// A whole envelope with some members set.
pub(super) fn envelope(members: &str) -> String {
    let mut all: BTreeMap<String, Value> = serde_json::from_str(
        r#"{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":null}"#,
    )
    .unwrap();
    let set: BTreeMap<String, Value> = serde_json::from_str(&format!("{{{members}}}")).unwrap();
    all.extend(set);
    serde_json::to_string(&all).unwrap()
}

fn serve(stream: TcpStream, replies: &Mutex<Replies>, seen: &Mutex<Vec<Seen>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Ok(());
        }
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    seen.lock().unwrap().push(Seen { line: line.clone(), headers, body });
    let found = {
        let mut replies = replies.lock().unwrap();
        replies.get_mut(&line).and_then(|queue| if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() })
    };
    let (status, extra, body) = found.unwrap_or_else(|| (404, String::new(), "{\"errors\":[]}".to_owned()));
    let mut stream = stream;
    if status == 0 {
        return stream.write_all(body.as_bytes());
    }
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n{body}", body.len())
}

/// One call of the command line.
pub(super) struct Call {
    words: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: Vec<u8>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Call {
    pub(super) fn new(words: &[&str]) -> Self {
        let words = std::iter::once("vault").chain(words.iter().copied()).map(str::to_owned).collect();
        Self { words, env: BTreeMap::from([("VAULT_MAX_RETRIES".to_owned(), "0".to_owned())]), stdin: Vec::new() }
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    pub(super) fn stdin(mut self, text: &str) -> Self {
        text.as_bytes().clone_into(&mut self.stdin);
        self
    }

    pub(super) fn run(self) -> Done {
        self.run_with(&|_| 99)
    }

    pub(super) fn run_with(self, server: &dyn Fn(&[String]) -> i32) -> Done {
        let (out, err) = (Sink::default(), Sink::default());
        let io = Io {
            stdin: Box::new(Cursor::new(self.stdin)),
            stdout: Box::new(out.clone()),
            stderr: Box::new(err.clone()),
            env: self.env,
            terminal: Terminal::default(),
            clock: Arc::new(Impatient(SystemClock::new())),
        };
        let code = cli::run(self.words.into_iter().map(OsString::from).collect(), io, server);
        Done { code, out: out.text(), err: err.text() }
    }
}

impl Done {
    /// Asserts success and gives what was printed.
    pub(super) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Asserts a failure without output and gives what was told, without the newline.
    pub(super) fn fails(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        self.err.trim_end().to_owned()
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A clock on which short waits are over at once, and long ones, the deadlines, never.
#[derive(Debug)]
struct Impatient(SystemClock);

#[async_trait]
impl Clock for Impatient {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn precise(&self) -> DateTime<Utc> {
        self.0.precise()
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        if duration >= Duration::from_secs(2) {
            std::future::pending::<()>().await;
        }
    }
    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending::<()>().await;
    }
}
