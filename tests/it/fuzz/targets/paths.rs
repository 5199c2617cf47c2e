//! Paths: no spelling leads to a path that is not one, sends a client in circles, or gets around a rule.

use std::sync::OnceLock;

use http::HeaderValue;
use leasehold::base::{ApiPath, MountPath};
use leasehold::http::paths::{Target, target};
use leasehold::policy::{Acl, NoEntity, Policy};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Reads one text as the path of a URL, as a path of the API and as the path of a mount.
pub(crate) fn run(bytes: &[u8], seen: &mut dyn FnMut(&'static str)) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = ApiPath::parse(&text) {
        check(&path);
        seen("path");
    }
    if let Ok(path) = MountPath::parse(&text) {
        check_mount(&path);
        seen("mount");
    }
    match target(&text) {
        Target::Api(path) => {
            check(&path);
            // Every character written as its code, it leads to the same place.
            let raw = format!("/v1/{}", utf8_percent_encode(path.as_str(), NON_ALPHANUMERIC));
            assert_eq!(target(&raw), Target::Api(path));
            seen("api");
        }
        Target::Cleaned(path) => {
            assert!(path.starts_with("/v1/") && !path.contains("//") && !path.contains('\\'), "{path}");
            assert!(HeaderValue::try_from(&*path).is_ok(), "{path:?}");
            assert!(!matches!(target(&path), Target::Cleaned(_)), "{path} leads on");
            seen("cleaned");
        }
        Target::Root => assert_eq!(text, "/"),
        Target::Elsewhere => seen("elsewhere"),
        Target::Unprintable => seen("unprintable"),
        Target::Relative => seen("relative"),
        Target::TooLong => assert!(text.len() > ApiPath::MAX_LEN),
    }
}

fn check(path: &ApiPath) {
    let text = path.as_str();
    assert!(text.len() <= ApiPath::MAX_LEN);
    assert!(!text.starts_with('/') && !text.chars().any(char::is_control), "{text:?}");
    assert!(!text.split('/').any(|segment| segment == "." || segment == ".."), "{text:?}");
    assert_eq!(ApiPath::parse(text).as_ref(), Ok(path));
    assert_eq!(serde_json::from_value::<ApiPath>(serde_json::to_value(path).unwrap()).unwrap(), *path);
    let listed = path.with_slash();
    assert!(listed.as_str().ends_with('/') && listed.as_str().trim_end_matches('/') == text.trim_end_matches('/'));
    let capabilities = rules().capabilities(text);
    assert!(!capabilities.is_empty());
    // A list of the folder itself may be had by a rule for the folder without its slash.
    if text.strip_prefix("closed/").is_some_and(|rest| !rest.is_empty()) {
        assert_eq!(capabilities, ["deny"], "{text:?}");
    }
}

fn check_mount(path: &MountPath) {
    let text = path.as_str();
    assert!(text.ends_with('/') && !text.ends_with("//") && (text == "/" || !text.starts_with('/')), "{text:?}");
    assert_eq!(MountPath::parse(text).as_ref(), Ok(path));
    assert_eq!(format!("{}/", path.trimmed()), text);
    assert_eq!(path.is_auth(), path.in_table() != text);
}

fn rules() -> &'static Acl {
    static RULES: OnceLock<Acl> = OnceLock::new();
    RULES.get_or_init(|| Acl::new([&Policy::parse("p", POLICY).unwrap()].into_iter(), &NoEntity))
}

const POLICY: &str = r#"
    path "closed/*" { capabilities = ["deny"] }
    path "*" { capabilities = ["read"] }
    path "sys/+/a" { capabilities = ["list"] }
    path "+/+" { capabilities = ["update"] }
    path "secret/+/b*" { capabilities = ["create", "sudo"] }
    path "auth/token" { capabilities = ["delete"] }
"#;
