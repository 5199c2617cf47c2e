use super::*;

fn subject<'a>(kind: &'static str, display_name: &'a str, policy_name: &'a str) -> Subject<'a> {
    Subject { kind, display_name, policy_name, now: DateTime::from_timestamp(1_700_000_000, 5_000_000).unwrap() }
}

fn made(template: &str) -> String {
    Template::parse(template).unwrap().name(subject("IAM", "token-ci", "deploy")).unwrap().text
}

fn refused(template: &str) -> String {
    Template::parse(template).unwrap_err().to_string()
}

#[test]
fn the_default_names_users_by_token_role_time_and_chance() {
    let template = Template::parse(DEFAULT).unwrap();
    let name = template.name(subject("IAM", "token-ci", "deploy")).unwrap();
    assert!(name.text.starts_with("vault-token-ci-deploy-1700000000-"), "{name:?}");
    assert_eq!((name.text.len(), name.chance), ("vault-token-ci-deploy-1700000000-".len() + 20, 20));
}

#[test]
fn the_default_keeps_four_characters_of_chance_at_worst() {
    let template = Template::parse(DEFAULT).unwrap();
    let name = template.name(subject("IAM", &"d".repeat(64), "deploy")).unwrap();
    assert_eq!((name.text.len(), name.chance), (64, 4));
}

#[test]
fn the_default_names_federated_users_in_32_characters() {
    let name = Template::parse(DEFAULT).unwrap().name(subject("STS", "", "")).unwrap();
    assert!(name.text.starts_with("vault-1700000000-"), "{name:?}");
    assert_eq!((name.text.len(), name.chance), (32, 15));
}

#[test]
fn the_documented_functions_do_what_they_say() {
    for (template, name) in [
        ("x-{{.DisplayName}}", "x-token-ci"),
        ("{{ .DisplayName | uppercase | truncate 5 }}", "TOKEN"),
        ("{{ .PolicyName | replace \"e\" `3` }}", "d3ploy"),
        ("{{ printf \"%s/%v/%d%%\" .Type (unix_time) 7 }}", "IAM/1700000000/7%"),
        ("{{unix_time_millis}}", "1700000000005"),
        ("a {{- \" b \" -}} c", "a b c"),
        ("{{ if eq .Type \"STS\" \"IAM\" }}both{{ end }}", "both"),
        ("{{ if ne .Type \"IAM\" }}a{{ else if .PolicyName }}b{{ else }}c{{ end }}", "b"),
        ("{{ if and (eq .Type \"IAM\") (not (eq .PolicyName \"x\")) }}y{{ end }}", "y"),
        ("{{ \"a\" | sha256 | truncate 8 }}", "ca978112"),
        ("{{ \"hi\" | base64 }}{{ \"hi\" | hex }}", "aGk=6869"),
        ("{{ \"abcdefghijklmnop\" | truncate_sha256 12 }}", "abcdf39dac6c"),
    ] {
        assert_eq!(made(template), name, "{template}");
    }
}

#[test]
fn chance_is_counted_through_functions() {
    for (template, chance) in [
        ("{{ .DisplayName }}", 0),
        ("{{ random 20 | truncate 3 }}", 3),
        ("{{ random 5 | lowercase | printf \"x-%s\" }}", 5),
        ("{{ random 3 | sha256 | truncate 10 }}", 0),
        ("{{ random 4 | sha256 | truncate 10 }}", 10),
        ("{{ uuid }}", 32),
    ] {
        let name = Template::parse(template).unwrap().name(subject("IAM", "t", "r")).unwrap();
        assert_eq!(name.chance, chance, "{template}: {name:?}");
    }
}

#[test]
fn what_is_not_understood_is_refused_when_it_is_written() {
    for (template, text) in [
        ("{{ .DisplayName", "unclosed action"),
        ("{{ if .Type }}x", "unexpected EOF"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ .Other }}", "can't evaluate field Other"),
        ("{{ nosuch 1 }}", "function \"nosuch\" not defined"),
        ("{{ timestamp \"2006\" }}", "function \"timestamp\" not defined"),
        ("{{ range .Type }}{{ end }}", "\"range\" is not supported in a username template"),
        ("{{ random }}", "not enough arguments for random"),
        ("{{ random 0 }}", "must be a number between 1 and 4096"),
        ("{{ random 99999 }}", "must be a number between 1 and 4096"),
        ("{{ unix_time 5 }}", "wrong number of args for unix_time: want 0 got 1"),
        ("{{ printf \"%x\" 5 }}", "only %s, %v, %d and %% are supported"),
        ("{{ (.Type }}", "unclosed left paren"),
        ("{{ \"x }}", "unterminated quoted string"),
        ("{{ random 4000 | printf \"%s%s\" (random 4000) }}", "longer than 4096 characters"),
        ("{{ 5 5 }}", "can't give argument to non-function"),
    ] {
        assert!(refused(template).contains(text), "{template}: {}", refused(template));
    }
}

#[test]
fn templates_are_bounded_in_depth() {
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100), ")".repeat(100));
    assert_eq!(refused(&deep), "nested deeper than 32");
}
