//! The configuration of a server, from documents as operators write them.

use std::fs;
use std::path::Path;

use super::*;
use crate::base::Secret;
use crate::config::keys::How;
use crate::config::listener::{JsonLimits, Timeouts, TlsVersion};
use crate::config::storage::StorageFile;
use http::{HeaderMap, StatusCode};

/// An environment with this document and these variables.
fn environment(document: &str, variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let local_config = (!document.is_empty()).then(|| Secret::from(document));
    Environment { local_config, ..Environment::of(variables) }
}

fn load(document: &str) -> Result<(ServerConfig, Vec<String>), String> {
    load_with(document, &[])
}

fn load_with(document: &str, variables: &[(&str, &str)]) -> Result<(ServerConfig, Vec<String>), String> {
    let loaded = ServerConfig::load(&[], &environment(document, variables));
    loaded.map(|(config, warnings)| (config, texts(&warnings))).map_err(|error| error.to_string())
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

/// The least there must be, and then `more` from line 3 on.
fn with(more: &str) -> String {
    format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = 1 }}\n{more}")
}

/// A listener with these keys, each on a line from line 3 on.
fn listener(keys: &str) -> String {
    format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n{keys}\n}}")
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

const TEN: Ttl = Ttl::seconds(10);

#[test]
fn the_json_that_hvac_writes_is_read() {
    let (config, warnings) = load(
        r#"{"backend": {"inmem": {}},
            "listener": {"tcp": {"tls_cert_file": "tests/config_files/server-cert.pem",
                                 "tls_key_file": "tests/config_files/server-key.pem",
                                 "address": "127.0.0.1:8201"}},
            "disable_mlock": true, "default_lease_ttl": "768h", "max_lease_ttl": "768h"}"#,
    )
    .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.storage, StorageConfig::Inmem);
    assert!(config.disable_mlock);
    assert_eq!(config.default_lease_ttl, Ttl::hours(768));
    let [listener] = config.listeners.as_slice() else { panic!("one listener") };
    assert_eq!(listener.address, ListenAddress::Tcp("127.0.0.1:8201".into()));
    assert_eq!(listener.tls, Some(TlsFiles::new("tests/config_files/server-cert.pem", "tests/config_files/server-key.pem")));
    assert_eq!(listener.timeouts, Timeouts::default());
    assert_eq!(*listener.limits, ListenerLimits::default());
}

#[test]
fn blocks_may_be_objects_or_arrays_of_objects() {
    let (config, _) = load(
        r#"{"storage": [{"file": [{"path": "/data"}]}],
            "listener": [{"tcp": {"address": ":1", "tls_disable": "true"}},
                         {"tcp": [{"address": ":2", "tls_disable": true}, {"address": ":3", "tls_disable": 1}]},
                         {"unix": {"address": "/run/s", "socket_mode": "660", "socket_group": "ops"}}]}"#,
    )
    .unwrap();
    let addresses: Vec<_> = config.listeners.iter().map(|listener| listener.address.shown().into_owned()).collect();
    assert_eq!(addresses, [":1", ":2", ":3", "/run/s"]);
    let file = StorageFile { kind: "file", file: "/data/leasehold.redb".into(), cache_bytes: None };
    assert_eq!(config.storage, StorageConfig::File(file));
    let socket = config.listeners[3].address.clone();
    assert_eq!(socket, ListenAddress::Unix { path: "/run/s".into(), mode: Some(0o660), user: None, group: Some("ops".into()) });
}

#[test]
fn backend_over_two_lines_and_switches_as_numbers_are_read() {
    let (config, _) = load("backend \"inmem\" {\n}\nlistener \"tcp\" { tls_disable = 1 }\nui = \"true\"").unwrap();
    assert!(config.ui);
    assert_eq!(config.listeners[0].address, ListenAddress::Tcp("127.0.0.1:8200".into()));
    assert_eq!(config.listeners[0].tls, None);
}

#[test]
fn an_embedded_storage_names_its_file_and_its_cache() {
    let (config, _) = load(
        "storage \"embedded\" { path = \"/data/one.redb\"\n cache_size = \"64MiB\" }\nlistener \"tcp\" { tls_disable = true }",
    )
    .unwrap();
    let file = StorageFile { kind: "embedded", file: "/data/one.redb".into(), cache_bytes: Some(64 << 20) };
    assert_eq!(config.storage, StorageConfig::File(file));
    assert_eq!(config.storage.kind(), "embedded");
}

#[test]
fn a_listener_takes_every_key_of_its_limits() {
    let (config, warnings) = load(&listener(
        "tls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_min_version = \"tls13\"\nhttp_read_timeout = \"1500ms\"
        http_read_header_timeout = 7\nhttp_write_timeout = \"2m\"\nhttp_idle_timeout = \"0\"\nmax_request_size = -1
        max_request_duration = \"10s\"\nmax_json_depth = 9\nmax_json_string_value_length = \"8\"
        max_json_object_entry_count = 7\nmax_json_array_element_count = 6\nmax_json_token = 5
        telemetry { unauthenticated_metrics_access = \"true\" }
        custom_response_headers { \"default\" = { \"X-One\" = [\"a\", \"b\"] }\n \"404\" = { \"X-One\" = \"c\" } }",
    ))
    .unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let listener = &config.listeners[0];
    assert_eq!(listener.tls.as_ref().map(|tls| (tls.min, tls.max)), Some((TlsVersion::V13, TlsVersion::V13)));
    assert_eq!(listener.timeouts.read.as_millis(), 1500);
    assert_eq!(listener.timeouts.read_header.as_secs(), 7);
    assert_eq!(listener.timeouts.write.as_secs(), 120);
    assert_eq!(listener.timeouts.idle, Timeouts::default().idle);
    let limits = &listener.limits;
    assert_eq!((limits.max_request_size, limits.max_request_duration), (None, TEN));
    let json = JsonLimits { depth: 9, string_length: Some(8), object_entries: 7, array_elements: 6, tokens: 5 };
    assert_eq!(limits.json, json);
    assert!(limits.unauthenticated_metrics);
    let mut headers = HeaderMap::new();
    limits.response_headers.apply(StatusCode::OK, &mut headers);
    assert_eq!(headers.get_all("x-one").iter().collect::<Vec<_>>(), ["a", "b"]);
    limits.response_headers.apply(StatusCode::NOT_FOUND, &mut headers);
    assert_eq!(headers["x-one"], "c");
}

#[test]
fn a_listener_without_a_duration_of_its_own_has_the_servers() {
    let (config, _) = load(&with(
        "default_max_request_duration = \"10s\"\nlistener \"tcp\" {\n address = \":1\"\n tls_disable = 1\n max_request_duration = 20 }",
    ))
    .unwrap();
    assert_eq!(config.listeners[0].limits.max_request_duration, TEN);
    assert_eq!(config.listeners[1].limits.max_request_duration, Ttl::seconds(20));
}

#[test]
fn an_unknown_key_is_an_error_with_its_place_and_the_nearest_key() {
    assert_eq!(
        load(&with("defualt_lease_ttl = 1")).unwrap_err(),
        "VAULT_LOCAL_CONFIG:3: unknown key \"defualt_lease_ttl\" in the configuration: did you mean \"default_lease_ttl\"?"
    );
    assert_eq!(
        load(&listener("\ntls_cert_fil = \"a\"")).unwrap_err(),
        "VAULT_LOCAL_CONFIG:4: unknown key \"tls_cert_fil\" in listener \"tcp\": did you mean \"tls_cert_file\"?"
    );
    assert_eq!(
        load(&with("tls_disable = true")).unwrap_err(),
        "VAULT_LOCAL_CONFIG:3: unknown key \"tls_disable\" in the configuration: it belongs in a listener"
    );
    assert_eq!(
        load(&with("telemetry { colour_of_the_sea = 1 }")).unwrap_err(),
        "VAULT_LOCAL_CONFIG:3: unknown key \"colour_of_the_sea\" in telemetry"
    );
    assert_eq!(
        load("{\"storage\": {\"inmem\": {\n\"path\": \"x\"}}}").unwrap_err(),
        "VAULT_LOCAL_CONFIG:2: unknown key \"path\" in storage \"inmem\": it belongs in storage \"file\""
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_an_error_with_its_place() {
    for (key, value, expected) in [
        ("ui", "\"maybe\"", "true or false"),
        ("ui", "[true]", "true or false"),
        ("api_addr", "{}", "a text"),
        ("default_lease_ttl", "\"soon\"", "a duration, such as \"90s\" or \"768h\""),
        ("max_lease_ttl", "-5", "a duration, such as \"90s\" or \"768h\""),
        ("max_lease_ttl", "true", "a duration, such as \"90s\" or \"768h\""),
        ("log_level", "\"loud\"", "\"trace\", \"debug\", \"info\", \"warn\" or \"error\""),
        ("log_format", "\"xml\"", "\"standard\" or \"json\""),
        ("api_addr", "\"vault.example.com\"", "an address with its scheme, such as \"https://vault.example.com:8200\""),
        ("cluster_addr", "\"https://\"", "an address with its scheme, such as \"https://vault.example.com:8200\""),
        ("reported_version", "\"1.14.10+ent\"", "a version, such as \"1.14.10\""),
        ("reported_version", "\"1.14\"", "a version, such as \"1.14.10\""),
    ] {
        let error = load(&with(&format!("{key} = {value}"))).unwrap_err();
        assert_eq!(error, format!("VAULT_LOCAL_CONFIG:3: {key} = {value} is not {expected}"));
    }
    for (key, value, expected) in [
        ("address", "\"127.0.0.1\"", "an address with a port, such as \"127.0.0.1:8200\""),
        ("address", "\"::1:8200\"", "an address with a port, such as \"127.0.0.1:8200\""),
        ("http_read_timeout", "\"1x\"", "a duration, such as \"90s\" or \"768h\""),
        ("http_idle_timeout", "\"-1s\"", "a duration, such as \"90s\" or \"768h\""),
        ("max_json_depth", "-1", "a whole number, zero or above"),
        ("max_request_size", "\"32MiB\"", "a whole number"),
        ("tls_max_version", "\"tls11\"", "\"tls12\" or \"tls13\""),
    ] {
        let error = load(&listener(&format!("{key} = {value}"))).unwrap_err();
        assert_eq!(error, format!("VAULT_LOCAL_CONFIG:3: {key} = {value} is not {expected}"));
    }
}

#[test]
fn a_value_that_is_too_long_to_show_is_cut() {
    let error = load(&with(&format!("ui = \"{}\"", "é".repeat(500)))).unwrap_err();
    assert!(error.contains('…') && error.chars().count() < 150, "{error}");
}

#[test]
fn a_key_that_has_no_effect_here_is_one_warning() {
    let (_, warnings) =
        load(&with("cache_size = 131072\nplugin_directory = \"/p\"\ntelemetry { statsd_address = \"s\" }")).unwrap();
    assert_eq!(
        warnings,
        [
            "VAULT_LOCAL_CONFIG:3: cache_size has no effect here: \
             memory for the storage is cache_size in its own block, in bytes",
            "VAULT_LOCAL_CONFIG:4: plugin_directory has no effect here: engines and auth methods are built in",
            "VAULT_LOCAL_CONFIG:5: statsd_address has no effect here: \
             metrics are not sent anywhere; they are read at sys/metrics",
        ]
    );
}

#[test]
fn a_key_set_twice_is_a_warning_and_the_last_counts() {
    let (config, warnings) = load(&with("ui = false\nui = true")).unwrap();
    assert!(config.ui);
    assert_eq!(warnings, ["VAULT_LOCAL_CONFIG:4: ui is set twice: the last value counts"]);
}

#[test]
fn each_key_we_cannot_leave_out_safely_keeps_the_server_from_starting() {
    for keys in [keys::TOP, keys::TCP] {
        for (key, _) in keys.iter().filter(|(_, how)| matches!(how, How::Refused(_))) {
            let (set, unset) = if keys == keys::TOP {
                (with(&format!("{key} \"x\" {{}}")), with(&format!("{key} = false")))
            } else {
                (listener(&format!("{key} = \"10.0.0.0/8\"")), listener(&format!("{key} = \"\"\ntls_disable = true")))
            };
            let error = load(&set).unwrap_err();
            assert!(error.starts_with(&format!("VAULT_LOCAL_CONFIG:3: {key} is not available: ")), "{error}");
            assert!(load(&unset).is_ok(), "{key} asks for nothing");
        }
    }
}

#[test]
fn client_certificates_that_are_required_are_refused_and_those_that_are_not_are_no_matter() {
    let error = load(&listener("tls_require_and_verify_client_cert = \"true\"")).unwrap_err();
    assert_eq!(
        error,
        "VAULT_LOCAL_CONFIG:3: tls_require_and_verify_client_cert is not available: \
         client certificates are not asked for, so anyone could connect"
    );
    assert!(load(&listener("tls_require_and_verify_client_cert = false\ntls_disable = true")).is_ok());
}

#[test]
fn another_storage_is_refused_by_name() {
    for kind in ["raft", "consul", "s3", "fiel"] {
        let error = load(&format!("storage \"{kind}\" {{ path = \"/data\"\n token = \"hunter2\" }}")).unwrap_err();
        assert!(error.starts_with(&format!("VAULT_LOCAL_CONFIG:1: storage \"{kind}\" is not available: ")), "{error}");
        assert!(error.contains("\"inmem\", \"file\"") && !error.contains("hunter2"), "{error}");
    }
    let (config, warnings) = load("storage \"inmem_ha\" {}\nlistener \"tcp\" { tls_disable = 1 }").unwrap();
    assert_eq!(config.storage, StorageConfig::Inmem);
    assert_eq!(warnings, ["VAULT_LOCAL_CONFIG:1: storage \"inmem_ha\" is \"inmem\" here"]);
}

#[test]
fn storage_is_needed_once() {
    let missing = load("listener \"tcp\" { tls_disable = 1 }").unwrap_err();
    assert!(missing.starts_with("VAULT_LOCAL_CONFIG: storage is missing: "), "{missing}");
    let twice = load(&with("backend \"inmem\" {}")).unwrap_err();
    assert_eq!(twice, "VAULT_LOCAL_CONFIG:3: backend \"inmem\": there is another storage already");
    let no_path = load("storage \"file\" {}").unwrap_err();
    assert_eq!(no_path, "VAULT_LOCAL_CONFIG:1: storage \"file\": path is missing");
    let small = load("storage \"file\" {\npath = \"/d\"\ncache_size = 32 }").unwrap_err();
    assert!(small.starts_with("VAULT_LOCAL_CONFIG:3: cache_size = 32 is not a size"), "{small}");
}

#[test]
fn another_seal_is_refused() {
    let error = load(&with("seal \"awskms\" { secret_key = \"hunter2\" }")).unwrap_err();
    assert!(error.starts_with("VAULT_LOCAL_CONFIG:3: seal \"awskms\" is not available: "), "{error}");
    assert!(!error.contains("hunter2"));
    let error = load_with(&with(""), &[("VAULT_SEAL_TYPE", "awskms")]).unwrap_err();
    assert!(error.starts_with("VAULT_SEAL_TYPE: seal \"awskms\" is not available: "), "{error}");
    assert!(load_with(&with("seal \"shamir\" {}"), &[("VAULT_SEAL_TYPE", "shamir")]).is_ok());
}

#[test]
fn a_listener_speaks_tls_or_says_that_it_does_not() {
    let error = load(&listener("")).unwrap_err();
    assert!(error.starts_with("VAULT_LOCAL_CONFIG:2: listener \"tcp\": tls_cert_file and tls_key_file are missing"), "{error}");
    assert!(load(&listener("tls_disable = false")).is_err());
    let error = load(&listener("tls_cert_file = \"c\"")).unwrap_err();
    assert!(error.ends_with("tls_key_file is missing, which belongs to tls_cert_file"), "{error}");
    let error =
        load(&listener("tls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_min_version = \"tls13\"\ntls_max_version = \"tls12\""));
    assert_eq!(error.unwrap_err(), "VAULT_LOCAL_CONFIG:2: listener \"tcp\": tls_min_version is above tls_max_version");
    let (config, warnings) = load(&listener("tls_cert_file = \"c\"\ntls_key_file = \"k\"\ntls_min_version = \"tls10\"")).unwrap();
    assert_eq!(config.listeners[0].tls.as_ref().map(|tls| tls.min), Some(TlsVersion::V12));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn two_listeners_at_one_address_are_an_error() {
    let error = load(&with("listener \"tcp\" {\n address = \"127.0.0.1:8200\"\n tls_disable = 1 }")).unwrap_err();
    assert_eq!(error, "VAULT_LOCAL_CONFIG:3: listener \"tcp\": address \"127.0.0.1:8200\" is another listener's already");
    let free = "listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = 1 }\n".repeat(2);
    assert_eq!(load(&with(&free)).unwrap().0.listeners.len(), 3);
}

#[test]
fn a_listener_is_needed_and_its_type_known() {
    assert_eq!(load("storage \"inmem\" {}").unwrap_err(), "the configuration: a listener is missing, such as listener \"tcp\"");
    let error = load("listener \"udp\" {}").unwrap_err();
    assert_eq!(error, "VAULT_LOCAL_CONFIG:1: listener \"udp\": there are listeners of type \"tcp\" and \"unix\" only");
    let error = load("listener { address = \":1\" }").unwrap_err();
    assert_eq!(error, "VAULT_LOCAL_CONFIG:1: \"listener\" needs a label before its brace");
}

#[test]
fn the_mode_of_a_socket_is_octal_and_in_quotes() {
    let socket = |mode| format!("storage \"inmem\" {{}}\nlistener \"unix\" {{\naddress = \"/run/s\"\nsocket_mode = {mode}\n}}");
    let mode = |text: &str| match &load(text).unwrap().0.listeners[0].address {
        ListenAddress::Unix { mode, .. } => *mode,
        ListenAddress::Tcp(_) => panic!("a socket"),
    };
    assert_eq!(mode(&socket("\"0660\"")), Some(0o660));
    assert_eq!(mode(&socket("\"\"")), None);
    for wrong in ["660", "\"0888\"", "\"1777\""] {
        assert!(load(&socket(wrong)).unwrap_err().contains("is not octal digits in quotes"), "{wrong}");
    }
}

#[test]
fn headers_of_the_api_cannot_be_set_by_a_listener() {
    let error = load(&listener("custom_response_headers {\n\"default\" = { \"X-Vault-Token\" = \"t\" } }")).unwrap_err();
    assert!(error.starts_with("VAULT_LOCAL_CONFIG:4: default: header \"X-Vault-Token\" cannot be set"), "{error}");
    let error = load(&listener("custom_response_headers {\n\"often\" = { \"X-A\" = \"t\" } }")).unwrap_err();
    assert!(error.contains("\"often\" is neither \"default\" nor a status"), "{error}");
}

#[test]
fn the_default_of_leases_may_not_be_longer_than_their_maximum() {
    let error = load(&with("default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"")).unwrap_err();
    assert_eq!(error, "VAULT_LOCAL_CONFIG:3: default_lease_ttl (2h) is longer than max_lease_ttl (1h)");
    let error = load(&with("max_lease_ttl = \"1h\"")).unwrap_err();
    assert_eq!(error, "VAULT_LOCAL_CONFIG:3: default_lease_ttl (768h, as nothing else is set) is longer than max_lease_ttl (1h)");
    let (config, _) = load(&with("default_lease_ttl = 0\nmax_lease_ttl = \"32d\"")).unwrap();
    assert_eq!((config.default_lease_ttl, config.max_lease_ttl), (Ttl::hours(768), Ttl::hours(768)));
}

#[test]
fn the_files_of_a_folder_are_merged_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "20-late.json", r#"{"ui": true, "listener": {"tcp": {"address": ":2", "tls_disable": true}}}"#);
    write(folder.path(), "10-early.hcl", &with("ui = false\nlog_level = \"warn\"\ntelemetry { disable_hostname = true }"));
    write(folder.path(), "README.md", "not a configuration");
    fs::create_dir(folder.path().join("sub.hcl")).unwrap();
    let more = folder.path().join("more");
    fs::write(&more, "telemetry { metrics_prefix = \"lh\" }").unwrap();

    let paths = [folder.path().to_owned(), more];
    let (config, warnings) = ServerConfig::load(&paths, &environment("cluster_name = \"c\"", &[])).unwrap();
    assert_eq!(warnings, []);
    assert!(config.ui);
    assert_eq!(config.log.level, LogLevel::Warn);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.cluster_name.as_deref(), Some("c"));
    assert!(config.telemetry.disable_hostname);
    assert_eq!(config.telemetry.metrics_prefix, "lh");
}

#[test]
fn of_two_files_storages_the_last_counts_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.hcl", &with(""));
    write(folder.path(), "b.hcl", "storage \"file\" { path = \"/data\" }");
    let (config, warnings) = ServerConfig::load(&[folder.path().to_owned()], &Environment::default()).unwrap();
    assert_eq!(config.storage.kind(), "file");
    assert!(texts(&warnings)[0].contains("a.hcl:1: this storage is not used: that of "), "{warnings:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = |path: &Path| ServerConfig::load(&[path.to_owned()], &Environment::default()).unwrap_err().to_string();
    let name = folder.path().display();
    let cannot = "error loading configuration from";
    assert_eq!(load(folder.path()), format!("{cannot} {name}: the folder holds no .hcl and no .json file"));
    let none = format!("{name}/none.hcl");
    assert_eq!(load(Path::new(&none)), format!("{cannot} {none}: stat {none}: no such file or directory"));
    write(folder.path(), "a.hcl", "ui = true\n= 1");
    assert!(load(folder.path()).starts_with(&format!("{name}/a.hcl:2: expected a key")));
    fs::write(folder.path().join("a.hcl"), [0xff, 0xfe]).unwrap();
    assert_eq!(load(folder.path()), format!("{cannot} {name}/a.hcl: the file is not text in UTF-8"));
    write(folder.path(), "a.hcl", &"#".repeat(crate::base::hcl::MAX_LEN + 7));
    assert!(load(folder.path()).contains("a.hcl: the document is longer than"));
    assert_eq!(ServerConfig::load(&[], &Environment::default()).unwrap_err(), ConfigError::Nothing);
}

#[test]
fn a_flag_counts_before_the_environment_and_that_before_a_file() {
    let document = with("api_addr = \"http://file:1\"\nlog_level = \"warn\"\nlog_format = \"standard\"\nui = false");
    let variables = [
        ("VAULT_API_ADDR", "https://env:2"),
        ("VAULT_CLUSTER_ADDR", "https://env:3"),
        ("VAULT_LOG_LEVEL", "debug"),
        ("VAULT_LOG_FORMAT", "json"),
        ("VAULT_UI", "1"),
        ("VAULT_LEASE_REVOCATION_WORKERS", "7"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ];
    let (mut config, _) = load_with(&document, &variables).unwrap();
    assert_eq!(config.api_addr.as_deref(), Some("https://env:2"));
    assert_eq!(config.cluster_addr.as_deref(), Some("https://env:3"));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
    assert!(config.ui);
    assert_eq!(config.lease_revocation_workers, Some(7));
    assert_eq!(config.aws["AWS_DEFAULT_REGION"], "eu-central-1");

    let flags = Flags { log_level: Some("trace".into()), log_format: None, log_file: Some("/log".into()) };
    config.apply(&flags).unwrap();
    assert_eq!((config.log.level, config.log.format), (LogLevel::Trace, LogFormat::Json));
    assert_eq!(config.log.file.as_deref(), Some(Path::new("/log")));
    let wrong = config.apply(&Flags { log_level: Some("loud".into()), ..Flags::default() }).unwrap_err().to_string();
    assert!(wrong.starts_with("-log-level: log_level = \"loud\" is not "), "{wrong}");
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    for (name, value, error) in [
        ("VAULT_UI", "maybe", "VAULT_UI: ui = \"maybe\" is not true or false"),
        ("VAULT_DISABLE_USER_LOCKOUT", "x", "VAULT_DISABLE_USER_LOCKOUT: disable_lockout = \"x\" is not true or false"),
        (
            "VAULT_LEASE_REVOCATION_WORKERS",
            "0",
            "VAULT_LEASE_REVOCATION_WORKERS: workers = \"0\" is not a whole number from 1 to 10000",
        ),
    ] {
        assert_eq!(load_with(&with(""), &[(name, value)]).unwrap_err(), error);
    }
}

#[test]
fn lockout_is_what_the_type_says_then_what_all_say_then_the_default() {
    let blocks = "user_lockout \"all\" {\n lockout_threshold = \"7\"\n lockout_duration = \"1m\" }
        user_lockout \"userpass\" { lockout_threshold = 3\n disable_lockout = true }";
    let (config, _) = load(&with(blocks)).unwrap();
    let userpass = config.user_lockout.of("userpass");
    assert_eq!((userpass.threshold, userpass.duration, userpass.disabled), (3, Ttl::minutes(1), true));
    let ldap = config.user_lockout.of("ldap");
    assert_eq!((ldap.threshold, ldap.counter_reset, ldap.disabled), (7, Ttl::minutes(15), false));
    let (config, _) = load_with(&with(blocks), &[("VAULT_DISABLE_USER_LOCKOUT", "true")]).unwrap();
    assert!(config.user_lockout.of("ldap").disabled && config.user_lockout.disabled_by_environment);
    let error = load(&with("user_lockout \"github\" {}")).unwrap_err();
    assert!(error.starts_with("VAULT_LOCAL_CONFIG:3: user_lockout \"github\": the types are"), "{error}");
    for wrong in ["lockout_threshold = 0", "lockout_duration = \"0\""] {
        assert!(load(&with(&format!("user_lockout \"all\" {{ {wrong} }}"))).is_err(), "{wrong}");
    }
}

#[test]
fn a_dev_server_needs_no_documents() {
    let (config, warnings) = ServerConfig::dev(None, None, &[], &Environment::default()).unwrap();
    assert_eq!(warnings, []);
    assert!(config.dev && config.ui && config.disable_mlock);
    assert_eq!(config.storage, StorageConfig::Inmem);
    assert_eq!(config.listeners, [ListenerConfig::plain(ListenAddress::Tcp("127.0.0.1:8200".into()))]);
    assert_eq!(config.url().as_deref(), Some("http://127.0.0.1:8200"));
    assert!(!config.raw_storage_endpoint && !config.introspection_endpoint);
}

#[test]
fn a_dev_server_listens_where_the_flag_says_then_where_the_environment_says() {
    let environment = environment("", &[("VAULT_DEV_LISTEN_ADDRESS", "0.0.0.0:1")]);
    let address = |flag| ServerConfig::dev(flag, None, &[], &environment).map(|(config, _)| config.listeners[0].address.clone());
    assert_eq!(address(None), Ok(ListenAddress::Tcp("0.0.0.0:1".into())));
    assert_eq!(address(Some("[::1]:2")), Ok(ListenAddress::Tcp("[::1]:2".into())));
    assert_eq!(
        address(Some("here")).unwrap_err().to_string(),
        "-dev-listen-address: address = \"here\" is not an address with a port, such as \"127.0.0.1:8200\""
    );
}

#[test]
fn documents_beside_a_dev_server_add_their_listeners_and_change_its_settings() {
    let document = "listener \"tcp\" {\n address = \"127.0.0.1:9\"\n tls_cert_file = \"c\"\n tls_key_file = \"k\" }
        ui = false\nstorage \"file\" { path = \"/data\" }\ndefault_max_request_duration = 10";
    let (config, _) = ServerConfig::dev(None, None, &[], &environment(document, &[])).unwrap();
    assert_eq!(config.listeners.len(), 2);
    assert!(config.listeners[0].tls.is_none() && config.listeners[1].tls.is_some());
    assert!(config.listeners.iter().all(|listener| listener.limits.max_request_duration == TEN));
    assert!(!config.ui);
    assert_eq!(config.storage.kind(), "file");
    let twice = "listener \"tcp\" { tls_disable = 1 }";
    let error = ServerConfig::dev(None, None, &[], &environment(twice, &[])).unwrap_err().to_string();
    assert!(error.contains("is another listener's already"), "{error}");
}

#[test]
fn the_folder_of_the_storage_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let storage = StorageConfig::File(StorageFile { kind: "file", file: inner.join("x.redb"), cache_bytes: None });
    storage.prepare().unwrap();
    storage.prepare().unwrap();
    assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_with_another_servers_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leasehold.redb");
    let storage = StorageConfig::File(StorageFile { kind: "file", file: file.clone(), cache_bytes: None });
    fs::create_dir(folder.path().join("core")).unwrap();
    write(folder.path(), "core/_keyring", "{}");
    let error = storage.prepare().unwrap_err().to_string();
    assert!(error.contains("core/_keyring, data of another server"), "{error}");
    fs::write(file, "").unwrap();
    storage.prepare().unwrap();
}

#[test]
fn the_sanitized_configuration_has_lease_times_as_numbers_and_zero_when_nobody_set_them() {
    let (config, _) = load(&with("max_lease_ttl = \"800h\"\napi_addr = \"https://a:1\"")).unwrap();
    let shown = config.sanitized();
    assert_eq!(shown["default_lease_ttl"], 0);
    assert_eq!(shown["max_lease_ttl"], 2_880_000);
    assert_eq!(shown["api_addr"], "https://a:1");
    assert_eq!(shown["storage"]["type"], "inmem");
    assert_eq!(shown["log_level"], "");
    assert_eq!(shown["seals"], serde_json::json!([{ "type": "shamir", "disabled": false }]));
    assert_eq!(shown["listeners"][0]["type"], "tcp");
    assert_eq!(shown["listeners"][0]["config"]["address"], "127.0.0.1:8200");
    assert_eq!(shown["listeners"][0]["config"]["tls_disable"], true);
}

/// The commented keys of an example made real ones: whoever takes the `#` away gets a configuration that is read.
fn uncommented(text: &str) -> String {
    let is_setting = |rest: &str| {
        let rest = rest.trim();
        let word = rest.find([' ', '=']).map_or(rest, |end| &rest[..end]);
        let follows = rest[word.len()..].trim_start();
        let is_key = word.trim_matches('"').chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        rest == "}" || is_key && (follows.starts_with("= ") || rest.ends_with('{') || rest.ends_with("{}"))
    };
    let line = |line: &str| match line.split_once("# ") {
        Some((before, rest)) if before.trim().is_empty() && is_setting(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_read_and_shows_every_key_that_has_its_effect() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/leasehold.hcl");
    let (_, warnings) = ServerConfig::load(std::slice::from_ref(&path), &Environment::default()).unwrap();
    assert_eq!(warnings, []);
    let text = uncommented(&fs::read_to_string(path).unwrap());
    let (config, warnings) = load(&text).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.telemetry, Telemetry::default());
    assert_eq!(config.user_lockout.of("ldap"), LockoutConfig::default().of("ldap"));
    assert_eq!(config.listeners[0].timeouts, Timeouts::default());
    let all = [keys::TOP, keys::TCP, keys::UNIX, keys::LISTENER_TELEMETRY, keys::TELEMETRY, keys::LOCKOUT, keys::FILE];
    let read = all.into_iter().flatten().filter(|(key, how)| *how == How::Read && *key != "backend");
    let missing: Vec<_> = read.filter(|(key, _)| !text.lines().any(|line| line.trim_start().starts_with(key))).collect();
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

#[test]
fn the_example_for_a_dev_server_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dev.hcl");
    let (config, warnings) = ServerConfig::dev(None, None, &[path], &Environment::default()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.default_lease_ttl, Ttl::minutes(5));
}
