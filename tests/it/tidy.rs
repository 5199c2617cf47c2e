//! The shape of the source, kept by reading it: floors, length of files, words, and who may touch clock and environment.
//!
//! The floors are the table in the documentation of `src/lib.rs`, so there is one place to change them. What is looked
//! for is looked for in code alone: comments and texts are blanked out first, lines keep their numbers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file; past it a file has a second noun in it (`docs/architecture.md`).
const LONGEST: usize = 600;

/// Words no code of ours has. In pieces, so that this file does not find itself.
const WORDS: &[&str] = &[
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("super::super", "::super"),
];

/// Paths of somebody's machine: nowhere, neither in code nor in pages.
const MACHINE: &[&str] = &[concat!("/wor", "k/"), concat!("/ro", "ot/."), concat!("/home", "/user")];

/// What only some files may name: the pattern, and the beginnings of the paths that may.
const RESERVED: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["src/base/time.rs"]),
    ("Instant::now", &["src/base/time.rs"]),
    ("Utc::now", &["src/base/time.rs"]),
    ("Local::now", &["src/base/time.rs"]),
    ("tokio::time::sleep", &["src/base/time.rs"]),
    ("tokio::time::timeout", &["src/base/time.rs"]),
    ("env::var", &["src/config", "src/cli/settings.rs", "src/cli/io.rs"]),
    ("env::set_var", &[]),
    ("tokio::spawn", &["src/base/tasks.rs", "src/cli/", "src/aws/sandbox/"]),
    ("thread::sleep", &["src/base/time.rs", "src/storage/writer.rs"]),
];

/// Imports that the floors would allow and the design does not: who, whom, and why not.
const ABSENT: &[(&str, &[&str], &str)] = &[
    ("lease", &["aws"], "a lease never calls AWS: it asks the mount that issued"),
    ("token", &["aws"], "tokens know nothing of AWS"),
    ("core", &["aws"], "AWS is behind the engine and the auth method"),
    ("http", &["storage", "barrier", "seal", "lease", "engine", "auth"], "the edge speaks to core"),
    (
        "cli",
        &["storage", "barrier", "seal", "policy", "lease", "token", "mount", "audit", "engine", "auth", "core"],
        "the command line speaks HTTP and knows nothing of the server",
    ),
];

#[test]
fn each_folder_imports_from_lower_floors_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let Some(folder) = folder_of(&path) else { continue };
        let here = *floors.get(&folder).unwrap_or_else(|| panic!("{path}: `{folder}` has no floor in src/lib.rs"));
        for (line, target) in imports(&code_only(&text)) {
            if target == folder || target == "base" {
                continue;
            }
            if target == "*" {
                wrong.push(format!("{path}:{line}: imports the whole crate"));
            } else if let Some(there) = floors.get(&target) {
                if *there >= here {
                    wrong.push(format!("{path}:{line}: `{folder}` (floor {here}) imports `{target}` (floor {there})"));
                }
                for (_, _, why) in ABSENT.iter().filter(|(who, whom, _)| *who == folder && whom.contains(&target.as_str())) {
                    wrong.push(format!("{path}:{line}: `{folder}` imports `{target}`: {why}"));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_table_of_floors_names_each_folder_once() {
    let named: Vec<String> = floors().into_keys().collect();
    let mut found: Vec<String> = sources("src").iter().filter_map(|(path, _)| folder_of(path)).collect();
    found.sort();
    found.dedup();
    assert_eq!(named, found, "the floors in src/lib.rs (left) and the folders of src (right) differ");
}

#[test]
fn no_source_file_is_too_long() {
    let long = rust_files().into_iter().map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > LONGEST);
    report(
        &long.map(|(path, lines)| format!("{path}: {lines} lines, more than {LONGEST}: split it by noun")).collect::<Vec<_>>(),
    );
}

#[test]
fn each_source_file_says_what_it_is_for() {
    let silent = rust_files().into_iter().filter(|(path, text)| !is_test_module(path) && !text.starts_with("//! "));
    report(&silent.map(|(path, _)| format!("{path}: does not start with `//! `")).collect::<Vec<_>>());
}

#[test]
fn no_code_has_words_we_do_not_use() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            let words = WORDS.iter().filter(|word| line.contains(*word));
            wrong.extend(words.map(|word| format!("{path}:{}: has `{word}`", number + 1)));
        }
    }
    report(&wrong);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let mut wrong = Vec::new();
    for (path, text) in all_files() {
        for (number, line) in text.lines().enumerate() {
            let places = MACHINE.iter().filter(|place| line.contains(*place));
            wrong.extend(places.map(|place| format!("{path}:{}: has `{place}`", number + 1)));
        }
    }
    report(&wrong);
}

#[test]
fn clock_environment_and_tasks_are_touched_where_allowed_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        for (number, line) in code_only(&text).lines().enumerate() {
            for (pattern, allowed) in RESERVED {
                if line.contains(pattern) && !allowed.iter().any(|beginning| path.starts_with(beginning)) {
                    wrong.push(format!("{path}:{}: has `{pattern}`", number + 1));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = Vec::new();
    let pages = ["README.md", "docs"].into_iter().flat_map(|place| files(&root().join(place)));
    for (path, text) in pages.filter(|(path, _)| path.extension().is_some_and(|e| e == "md")) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            if !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: nothing is at `{target}`", path.display()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let banned = banned_crates();
    assert!(banned.len() > 3, "deny.toml bans nothing");
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let locked = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let wrong: Vec<_> =
        locked.filter(|name| banned.iter().any(|b| b == name)).map(|name| format!("Cargo.lock: `{name}`")).collect();
    report(&wrong);
}

#[test]
fn imports_are_found_in_all_their_forms() {
    let text = r##"
        use crate::lease::Lease; // crate::comment
        use crate::{token::{TokenKey, cache::Cache}, mount as m, self};
        /* use crate::block::X; /* nested crate::inner */ */
        fn f() -> crate::aws::Error { let s = "crate::text"; let c = '"'; let r = r#"crate::raw "" "#; crate::audit::go::<'a'>() }
        pub(in crate::http) fn g<'a>(x: &'a str) { $crate::hygienic() }
        use crate::*;
    "##;
    let found: Vec<String> = imports(&code_only(text)).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["lease", "token", "mount", "self", "aws", "audit", "http", "*"]);
}

#[test]
fn blanking_keeps_line_numbers() {
    let text = "a\n/* b\n c */ d // e\n\"f\ng\" h\n";
    assert_eq!(code_only(text), "a\n    \n      d     \n  \n   h\n");
    let found = imports(&code_only("// one\n\nuse crate::{\n    lease,\n    token,\n};\n"));
    assert_eq!(found, [(3, "lease".to_owned()), (3, "token".to_owned())]);
}

/// Fails with all findings, one a line.
fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The crates that `deny.toml` bans: where `cargo deny` is not installed this test still looks.
fn banned_crates() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let entries = text.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \""));
    entries.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// Folder → floor, from the table in the documentation of `src/lib.rs`.
fn floors() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut floors = BTreeMap::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let mut cells = row.split('|').map(str::trim);
        let Some(Ok(floor)) = cells.next().map(str::parse::<u32>) else { continue };
        for name in cells.next().unwrap().split(',') {
            let name = name.trim().trim_matches('`').to_owned();
            assert!(floors.insert(name.clone(), floor).is_none(), "`{name}` stands on two floors");
        }
    }
    assert!(floors.contains_key("base") && floors.contains_key("core"), "src/lib.rs has no table of floors");
    floors
}

/// `src/lease/due.rs` and `src/config.rs` belong to `lease` and `config`; `src/main.rs` and `src/lib.rs` to no folder.
fn folder_of(path: &str) -> Option<String> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?.trim_end_matches(".rs");
    (!["main", "lib"].contains(&first)).then(|| first.to_owned())
}

/// The first name after each `crate::`, groups opened, with the line it stands in.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c == '$' || c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = code[at + "crate::".len()..].trim_start();
        let names = rest.strip_prefix('{').map_or_else(|| vec![first_name(rest)], group);
        found.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (line, name)));
    }
    found
}

/// First names of the members of a group whose brace is open.
fn group(text: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                names.push(first_name(&text[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn first_name(text: &str) -> String {
    let text = text.trim_start();
    if text.starts_with('*') {
        return "*".to_owned();
    }
    text.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect()
}

/// The text with comments and literals turned into blanks, line breaks kept.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            let end = end.min(chars.len());
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn skip(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied();
    match (chars[at], next(1)) {
        ('/', Some('/')) => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        ('/', Some('*')) => block_comment(chars, at),
        ('"', _) => quoted(chars, at, '"'),
        ('r', Some('"' | '#')) if !is_name_before(chars, at) => raw(chars, at),
        ('\'', Some('\\')) => quoted(chars, at, '\''),
        ('\'', Some(_)) if next(2) == Some('\'') => at + 3,
        _ => at,
    }
}

fn is_name_before(chars: &[char], at: usize) -> bool {
    // `br"…"` is a literal, `for"` cannot be
    let before = at.checked_sub(1).map(|i| chars[i]);
    before.is_some_and(|c| c != 'b' && (c == '_' || c.is_alphanumeric()))
}

fn block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0_usize, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') if depth == 1 => return i + 2,
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    chars.len()
}

fn quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            c if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at; // a raw identifier
    }
    let closes = |i: &usize| chars[*i] == '"' && chars[*i + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (open + 1..chars.len()).find(closes).map_or(chars.len(), |i| i + 1 + hashes)
}

/// A file of tests beside what it tests says so in its name.
fn is_test_module(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// All Rust of ours.
fn rust_files() -> Vec<(String, String)> {
    ["src", "tests", "benches"].into_iter().flat_map(sources).collect()
}

/// Path from the root of the repository, and text, of the Rust files below `folder`.
fn sources(folder: &str) -> Vec<(String, String)> {
    files(&root().join(folder)).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "rs")).map(named).collect()
}

/// All texts of ours but the recorded ones.
fn all_files() -> Vec<(String, String)> {
    let places =
        ["src", "tests", "benches", "docs", "deploy", "config", ".ci", "README.md", "Dockerfile", "Cargo.toml", "deny.toml"];
    places.iter().flat_map(|place| files(&root().join(place))).map(named).collect()
}

fn named((path, text): (PathBuf, String)) -> (String, String) {
    (path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/"), text)
}

/// The texts at or below `place`, in order; none where nothing is.
fn files(place: &Path) -> Vec<(PathBuf, String)> {
    if place.is_file() {
        return fs::read_to_string(place).map(|text| (place.to_owned(), text)).into_iter().collect();
    }
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| files(path)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
