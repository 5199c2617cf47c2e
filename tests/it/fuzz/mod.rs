//! Bad input: texts as an attacker sends them, and requests as a broken client does.
//!
//! Each test runs in a process of its own, so that its time and its memory are measured and not those of tests beside it.

mod mutants;
mod router;
mod targets;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use leasehold::base::hcl;
use leasehold::policy::Policy;
use rustix::time::{ClockId, clock_gettime};

use mutants::{Chance, corpus, mutate};

const MUTANTS: usize = 100_000;

/// What one text or one request may take of a processor.
const LONGEST: Duration = Duration::from_secs(1);

/// What memory may grow by, after the first tenth of all mutants.
const GROWTH: usize = 16 * 1024 * 1024;

#[test]
fn no_mutant_of_a_document_stops_the_reader() {
    if !alone("no_mutant_of_a_document_stops_the_reader") {
        return;
    }
    // What libFuzzer found has no name that says what it is.
    for (name, text) in corpus("hcl").into_iter().filter(|(name, _)| !name.starts_with("found-")) {
        let mut is_read = false;
        targets::hcl::run(&text, &mut |what| is_read |= what == "document");
        assert_eq!(is_read, !name.starts_with("bad-") || name == "bad-template.hcl", "{name}");
    }
    let pieces = [
        "{", "}", "[", "]", "\"", "=", ",", "#", "//", "/*", "*/", "<<E\n", "\nE\n", "<<-E\n", "${", "\\", "\\x4", "\n", "\r\n",
        " ", "0x", "1e", "-", ".", "path", "true", "{{", "\0",
    ];
    let all = [("document", 10_000), ("refused", 10_000), ("JSON", 1000), ("policy", 1000), ("password policy", 100)];
    drive("hcl", targets::hcl::run, &pieces, 0x0bad_c0de_1ea5_e401, &all);
}

#[test]
fn no_mutant_of_a_path_leads_where_no_path_does() {
    if !alone("no_mutant_of_a_path_leads_where_no_path_does") {
        return;
    }
    let pieces = [
        "/", "//", "/v1/", ".", "..", "/../", "/./", "%", "%2e", "%2E%2e", "%2F", "%2f..", "%5c", "\\", "%00", "%0a", "%7f",
        "%25", "%c3%a9", "%c3", "%ff", "é", "\u{85}", "+", "*", "closed/", "auth/", "sys/", "\n", "?",
    ];
    let all = [
        ("api", 10_000),
        ("cleaned", 5000),
        ("elsewhere", 1000),
        ("unprintable", 5000),
        ("relative", 1000),
        ("path", 10_000),
        ("mount", 10_000),
    ];
    drive("paths", targets::paths::run, &pieces, 0x0bad_9a78_0000_0003, &all);
}

#[test]
fn no_mutant_of_a_request_is_misread() {
    if !alone("no_mutant_of_a_request_is_misread") {
        return;
    }
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\\",
        "\\u",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "null",
        "nul",
        "true",
        "1e999",
        "-",
        "0",
        "1.5",
        "\"a\":",
        "{\"a\":",
        "[[[[",
        "\n",
        "\r\n",
        "\n\n",
        " ",
        "%",
        "%20",
        "&",
        "=",
        ";",
        "?",
        "list=true",
        "help=1",
        "a=b&",
        "PATCH",
        "LIST ",
        "Content-Type: application/merge-patch+json\n",
        "Content-Type: application/x-www-form-urlencoded\n",
        "X-Vault-Token: x\n",
        "X-Vault-Wrap-TTL: 5m\n",
        "Authorization: Bearer x\n",
        "\0",
        "é",
    ];
    let all = [
        ("request", 10_000),
        ("refused", 5000),
        ("token", 5000),
        ("elsewhere", 1000),
        ("not HTTP", 1000),
        ("no method of ours", 100),
        ("small JSON", 5000),
        ("large JSON", 5000),
        ("not JSON", 5000),
        ("no object", 100),
    ];
    drive("requests", targets::request::run, &pieces, 0x0bad_50d4_0000_0004, &all);
}

#[test]
fn no_mutant_of_a_login_by_aws_reaches_anybody_but_sts() {
    if !alone("no_mutant_of_a_login_by_aws_reaches_anybody_but_sts") {
        return;
    }
    let pieces = [
        "@",
        ":",
        "/",
        "//",
        "#",
        "?",
        "%",
        "%00",
        "%2e",
        "\\",
        "&",
        "=",
        ";",
        ",",
        "\n",
        "\r\n",
        "\0",
        " ",
        "é",
        "[::1]",
        "127.0.0.1",
        "169.254.169.254",
        "evil.example",
        "https://",
        "http://",
        "sts.",
        ".amazonaws.com",
        ".amazonaws.com.cn",
        "sts.amazonaws.com",
        "us-east-1",
        "us-west-2",
        "cn-north-1",
        "/sts/aws4_request",
        "host;",
        "SignedHeaders=",
        "Credential=",
        "Action=",
        "GetCallerIdentity",
        "Version=2011-06-15",
        "X-Amz-",
        "X-Amz-Date: 1\n",
        "Host: evil.example\n",
        "Content-Length: 5\n",
        "Transfer-Encoding: chunked\n",
        "Authorization: ",
        "Accept: application/json\n",
        "GET\n",
        "POST\n",
        ":8443",
        ":443",
    ];
    let all = [("sent to STS", 300), ("sent to the endpoint", 500), ("refused", 20_000)];
    drive("aws_logins", targets::aws_login::run, &pieces, 0x0bad_a550_0000_0005, &all);
}

#[test]
fn no_mutant_of_a_share_breaks_the_ceremony() {
    if !alone("no_mutant_of_a_share_breaks_the_ceremony") {
        return;
    }
    let pieces = ["0", "1", "5", "a", "F", "+", "/", "=", "\n", " ", "-", "00", "ff", "\n\n"];
    let all = [("refused", 1000), ("waiting", 1000), ("unfit", 1000), ("key", 1000)];
    drive("shares", targets::shares::run, &pieces, 0x5ea1_0000_2a35_1f40, &all);
}

#[test]
fn the_largest_documents_are_read_or_refused_soon() {
    let fill = |piece: &str| piece.repeat((hcl::MAX_LEN - 100) / piece.len());
    let nested = |open: &str, close: &str| open.repeat(hcl::MAX_DEPTH - 1) + &fill("[],")[..500_000] + &close.repeat(63);
    for text in [
        fill("a=1 "),
        fill("a{}"),
        fill("a "),
        fill("["),
        fill("{"),
        fill("\""),
        fill("/*"),
        fill("#\n"),
        fill("<<A\n"),
        fill("a=<<A\nA\n"),
        fill("${"),
        format!("a=\"{}", fill("${")),
        format!("a=[{}]", fill("1,")),
        format!("a={}", fill("9")),
        format!("a=\"{}\"", fill("\\n")),
        format!("{{\"a\":{}}}", nested("[", "]")),
        fill("path\"{{\"{}"),
        format!("a={}", fill("1e-")),
        format!("a={}", fill("-")),
        format!("path \"a\" {{ denied_parameters = {{ {} }} }}", fill("a=[1],")),
        fill("path \"a\" {required_parameters=[\"a\"]}"),
        fill("a/**/"),
        fill("a=[1,#\n],"),
        format!("a {} = 1", fill("/*x*/")),
    ] {
        assert!(text.len() <= hcl::MAX_LEN);
        let start = spent();
        let _ = hcl::fmt(&text);
        let _ = Policy::parse("p", &text);
        let took = spent().saturating_sub(start);
        // A thousand times as long as a small text, and this may not be optimised.
        assert!(took < Duration::from_mins(1), "{:?}: {took:?}", &text[..20]);
    }
}

/// A target: what it is given, and whom it tells what it saw.
type Target = fn(&[u8], &mut dyn FnMut(&'static str));

/// Gives a target its kept texts and their mutants. `all` is what has to be seen, and how often at least: mutants that do
/// not reach every part prove nothing.
fn drive(name: &str, target: Target, pieces: &[&str], seed: u64, all: &[(&str, usize)]) {
    let corpus = corpus(name);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut run = |text: &[u8]| {
        let start = spent();
        target(text, &mut |what| *counts.entry(what).or_default() += 1);
        let took = spent().saturating_sub(start);
        assert!(took < LONGEST, "{took:?}: {:?}", String::from_utf8_lossy(text));
    };
    for (_, text) in &corpus {
        run(text);
    }
    let mut chance = Chance(seed);
    let mut memory = Memory::default();
    for number in 0..MUTANTS {
        let mut text = chance.of(&corpus).1.clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut text, &corpus, pieces, &mut chance);
        }
        run(&text);
        memory.watch(number, MUTANTS);
    }
    for (what, least) in all {
        let count = counts.get(what).copied().unwrap_or_default();
        assert!(count >= *least, "`{what}` was seen {count} times: {counts:?}");
    }
}

/// Whether this process is here for one test alone. If not, such a process runs it now, and has to succeed.
fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let name = format!("fuzz::{test}");
    let child = Command::new(std::env::current_exe().unwrap()).args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output();
    let child = child.unwrap();
    let (out, errors) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && out.contains("1 passed"), "{out}{errors}");
    false
}

/// Time that the processors have given this process so far: a busy machine does not make a test slow.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Resident memory after the first tenth, which the end is compared to.
#[derive(Default)]
struct Memory {
    early: usize,
}

impl Memory {
    /// After the mutant of this number, of so many.
    fn watch(&mut self, number: usize, of: usize) {
        if number == of / 10 {
            self.early = resident();
        } else if number == of - 1 {
            let late = resident();
            assert!(late <= self.early + GROWTH, "{} bytes after the first tenth, {late} at the end", self.early);
        }
    }
}

/// Bytes of resident memory; 0 where the system does not tell by a file.
fn resident() -> usize {
    if cfg!(not(target_os = "linux")) {
        return 0;
    }
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

const ALONE: &str = "LEASEHOLD_TEST_ALONE";
