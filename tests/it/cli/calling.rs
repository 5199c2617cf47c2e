//! Words, flags, usage, exit codes.

use super::stub::{Call, Stub};

#[test]
fn the_version_line_is_the_one_scripts_read() {
    for words in [&["version"][..], &["-v"], &["-version"], &["--version"], &["version", "extra"]] {
        let line = Call::new(words).run().ok();
        let parts: Vec<_> = line.trim_end().split(' ').collect();
        assert_eq!(parts[..2], ["Vault", "v1.14.10"]);
        assert_eq!(parts[2].trim_matches(['(', ')', ',']).len(), 40);
        assert_eq!(parts[3], "built");
    }
    let json = Call::new(&["version", "-format=json"]).run().ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["program"], "leasehold");
    assert_eq!(json["commit"].as_str().unwrap().len(), 40);
}

#[test]
fn unknown_commands_are_127_and_groups_alone_are_1() {
    let nothing = Call::new(&[]).run();
    assert_eq!((nothing.code, nothing.out.as_str()), (127, ""));
    assert!(nothing.err.starts_with("Usage: vault COMMAND"));
    assert_eq!(Call::new(&["nosuchcommand"]).run().code, 127);
    let group = Call::new(&["kv"]).run();
    assert_eq!((group.code, group.out.as_str()), (1, ""));
    assert!(group.err.contains("enable-versioning"));
    assert_eq!(Call::new(&["kv", "nosuch"]).run().code, 1);
}

#[test]
fn help_is_on_stdout_at_every_level() {
    for words in [
        &["-h"][..],
        &["--help"],
        &["kv", "-help"],
        &["kv", "metadata", "-h"],
        &["kv", "get", "-h"],
        &["agent", "-h"],
        &["server", "-h"],
    ] {
        let text = Call::new(words).run().ok();
        assert!(text.starts_with("Usage: vault "), "{words:?}: {text}");
    }
    let text = Call::new(&["token", "create", "-h"]).run().ok();
    for flag in ["-explicit-max-ttl=DURATION", "-format=FORMAT", "-wrap-ttl=DURATION", "-policy=NAME…"] {
        assert!(text.contains(flag), "{flag}");
    }
}

#[test]
fn flags_before_the_subcommand_are_refused() {
    for words in [&["-address=x", "read", "a"][..], &["kv", "-mount=x", "get", "a"]] {
        let text = Call::new(words).run().fails(1);
        assert!(
            text.starts_with("Invalid flags before the subcommand. If these flags are for\nthe subcommand, please put"),
            "{text}"
        );
    }
}

#[test]
fn argument_mistakes_are_told_and_nothing_is_sent() {
    let stub = Stub::start();
    for (words, text) in [
        (&["read"][..], "Not enough arguments (expected 1, got 0)"),
        (&["read", "a", "b"], "Failed to parse K=V data: invalid key/value pair \"b\": format must be key=value"),
        (&["read", "-nosuchflag", "x"], "flag provided but not defined: -nosuchflag"),
        (&["status", "x"], "Too many arguments (expected 0, got 1)"),
        (&["delete"], "Not enough arguments (expected at least 1, got 0)"),
        (&["unwrap", "a", "b"], "Too many arguments (expected 0-1, got 2)"),
        (&["token", "create", "-ttl=abc"], "invalid value \"abc\" for flag -ttl: time: invalid duration \"abc\""),
        (&["token", "create", "-metadata=x"], "invalid value \"x\" for flag -metadata: missing = in KV pair: \"x\""),
        (&["token", "capabilities"], "Not enough arguments (expected 1-2, got 0)"),
        (&["token", "lookup", "-accessor"], "Not enough arguments with -accessor (expected 1, got 0)"),
        (&["token", "revoke"], "Not enough arguments (expected 1 or -self, got 0)"),
        (&["token", "revoke", "-self", "x"], "Too many arguments with -self (expected 0, got 1)"),
        (&["token", "revoke", "-mode=x", "t"], "Invalid mode: x"),
        (&["token", "revoke", "-accessor", "-mode=orphan", "t"], "Cannot use -accessor with -mode=orphan!"),
        (&["token", "revoke", "-self", "-mode=path"], "Cannot use -self with -mode=path!"),
        (&["lease", "renew"], "Missing ID!"),
        (&["lease", "renew", "a", "1", "2"], "Too many arguments (expected 1-2, got 3)"),
        (&["lease", "revoke"], "Not enough arguments (expected 1, got 0)"),
        (&["lease", "revoke", "-force", "a"], "Specifying -force requires also specifying -prefix"),
        (&["write", "rw/e"], "Must supply data or use -force"),
        (&["kv", "put", "a/b"], "Must supply data"),
        (&["kv", "rollback", "a/b"], "Version flag must be specified"),
        (&["kv", "undelete", "a/b"], "No versions provided, use the \"-versions\" flag to specify the version to undelete."),
        (&["read", "-format=nosuch", "a"], "Invalid output format: nosuch"),
        (&["list", "-format=raw", "a"], "Invalid output format: raw"),
        (
            &["audit", "enable"],
            "Error enabling audit device: audit type missing. Valid types include 'file', 'socket' and 'syslog'.",
        ),
        (&["operator", "generate-root", "-decode=x"], "Missing otp: use -otp to supply it"),
        (&["login", "-no-store", "-no-print", "x"], "-no-store and -no-print cannot be used together"),
    ] {
        assert_eq!(stub.run(words).fails(1), text, "{words:?}");
    }
    assert!(stub.lines().is_empty(), "{:?}", stub.lines());
}

#[test]
fn an_unknown_format_in_the_environment_is_told() {
    assert_eq!(Call::new(&["status"]).env("VAULT_FORMAT", "x").run().fails(1), "Invalid output format: x");
}

#[test]
fn late_flags_are_arguments_with_a_warning_and_format_is_found_anywhere() {
    let stub = Stub::start();
    stub.reply("PUT /v1/rw/a", 204, "");
    let done = stub.run(&["write", "rw/a", "-cas=1", "x=y"]);
    assert_eq!(done.out, "Success! Data written to: rw/a\n");
    assert_eq!(
        done.err,
        "Command flags must be provided before positional arguments. The following arguments will not be parsed as flags: [-cas=1]\n"
    );
    assert_eq!(stub.last().body, r#"{"-cas":"1","x":"y"}"#);
    let done = stub.run(&["write", "rw/a", "x=y", "-format=json", "-cas=1"]);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
    assert_eq!(stub.last().body, r#"{"-cas":"1","x":"y"}"#);
}

#[test]
fn commands_that_are_not_here_say_what_to_use() {
    for name in ["agent", "proxy", "ssh", "transit", "pki", "transform", "events", "debug"] {
        let text = Call::new(&[name, "x"]).run().fails(1);
        assert!(text.starts_with(&format!("\"{name}\" is not supported by this program. ")), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

#[test]
fn server_gets_its_words_unread_and_diagnose_checks() {
    let got = std::cell::RefCell::new(Vec::new());
    let hook = |words: &[String]| {
        *got.borrow_mut() = words.to_vec();
        7
    };
    assert_eq!(Call::new(&["server", "-dev", "-dev-root-token-id", "t"]).run_with(&hook).code, 7);
    assert_eq!(*got.borrow(), ["-dev", "-dev-root-token-id", "t"]);
    let flags = leasehold::cli::parse_server_flags(&got.borrow()).unwrap();
    assert!(flags.dev);
    assert_eq!(flags.dev_root_token_id.as_deref(), Some("t"));
    assert_eq!(Call::new(&["operator", "diagnose", "-config=a", "-config=b"]).run_with(&hook).code, 7);
    assert_eq!(*got.borrow(), ["-check", "-config=a", "-config=b"]);
    assert_eq!(leasehold::cli::parse_server_flags(&["-x".to_owned()]).unwrap_err(), "flag provided but not defined: -x");
}

#[test]
fn completions_come_from_the_tables_and_the_server() {
    let stub = Stub::start();
    let complete = |line: &str| stub.call(&[]).env("COMP_LINE", line).run().ok();
    assert_eq!(complete("vault sta"), "status\n");
    assert_eq!(complete("vault kv metadata p"), "patch\nput\n");
    assert!(complete("vault token create -ex").contains("-explicit-max-ttl=\n"));
    stub.data("GET /v1/sys/internal/ui/mounts", r#"{"auth":{},"secret":{"kv/":{},"kw/":{}}}"#);
    assert_eq!(complete("vault read k"), "kv/\nkw/\n");
    stub.data("GET /v1/kv/x?list=true", r#"{"keys":["ya","yb/","z"]}"#);
    assert_eq!(complete("vault read kv/x/y"), "kv/x/ya\nkv/x/yb/\n");
    stub.data("GET /v1/sys/policies/acl?list=true", r#"{"keys":["default","root"]}"#);
    assert_eq!(complete("vault policy read "), "default\nroot\n");
    assert_eq!(complete("vault nosuch "), "");
}

#[test]
fn completion_is_written_to_start_files_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".bashrc");
    std::fs::write(&path, "alias x=y\n").unwrap();
    let call = |flag: &str| Call::new(&[flag]).env("HOME", home.path().to_str().unwrap()).run();
    call("-autocomplete-install").ok();
    assert!(std::fs::read_to_string(&path).unwrap().contains("complete -C "));
    call("-autocomplete-uninstall").ok();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "alias x=y\n");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(Call::new(&["-autocomplete-install"]).env("HOME", empty.path().to_str().unwrap()).run().code, 1);
    assert!(Call::new(&["completion", "zsh"]).run().ok().contains("bashcompinit"));
}
