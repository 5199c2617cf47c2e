//! The rules for names, paths and tags.

use std::collections::BTreeMap;

use super::super::failure::Failure;
use super::super::form::Form;

/// A name: letters, digits and `_+=,.@-`, up to `longest` characters (IAM User Guide, "IAM and AWS STS quotas").
pub(in crate::aws::sandbox) fn name(field: &str, value: &str, longest: usize) -> Result<(), Failure> {
    if value.len() > longest {
        return Err(Failure::constraint(field, value, &format!("Member must have length less than or equal to {longest}")));
    }
    if value.is_empty() {
        return Err(Failure::constraint(field, value, "Member must have length greater than or equal to 1"));
    }
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)) {
        return Err(Failure::invalid(format!(
            "The specified value for {field} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
        )));
    }
    Ok(())
}

/// The path of something new: `/`, or printable characters between two slashes.
pub(super) fn path(form: &Form) -> Result<&str, Failure> {
    let path = form.get("Path").unwrap_or("/");
    let is_printable = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if path.len() > 512 {
        return Err(Failure::constraint("path", path, "Member must have length less than or equal to 512"));
    }
    if !(path.starts_with('/') && path.ends_with('/') && is_printable) || path == "//" {
        return Err(Failure::invalid(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters \
             and/or / characters.",
        ));
    }
    Ok(path)
}

/// The tags a call carries.
pub(in crate::aws::sandbox) fn tags(form: &Form) -> Result<BTreeMap<String, String>, Failure> {
    let (keys, values) = (form.members("Tags", "Key"), form.members("Tags", "Value"));
    if keys.len() != values.len() {
        return Err(Failure::invalid("1 validation error detected: each of the tags must have a key and a value"));
    }
    if keys.len() > TAGS {
        return Err(Failure::constraint("tags", "", &format!("Member must have length less than or equal to {TAGS}")));
    }
    let mut tags = BTreeMap::new();
    for (key, value) in keys.into_iter().zip(values) {
        tag_text("tags.key", key, 1, 128)?;
        tag_text("tags.value", value, 0, 256)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Failure::input(format!("Tag keys that begin with aws: are reserved: {key}")));
        }
        if tags.keys().any(|other: &String| other.eq_ignore_ascii_case(key)) {
            return Err(Failure::input("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}

/// Letters, digits, separators and `_.:/=+-@`, in any language.
fn tag_text(field: &str, text: &str, least: usize, most: usize) -> Result<(), Failure> {
    let length = text.chars().count();
    if length < least || length > most {
        return Err(Failure::constraint(field, text, &format!("Member must have length between {least} and {most}")));
    }
    let allowed = |c: char| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c);
    if !text.chars().all(allowed) {
        let pattern = r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*";
        return Err(Failure::constraint(field, text, pattern));
    }
    Ok(())
}

/// Tags of one user or role.
pub(super) const TAGS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_letters_and_lengths_of_iam() {
        assert!(["a", "vault-token-x_1+=,.@-", &"x".repeat(64)].iter().all(|text| name("userName", text, 64).is_ok()));
        assert!(["", "a b", "a/b", "ä", &"x".repeat(65)].iter().all(|text| name("userName", text, 64).is_err()));
    }

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        let ok = |text: &str| path(&Form::of(&[("Path", text)])).is_ok();
        assert!(ok("/") && ok("/vault/app/") && path(&Form::default()) == Ok("/"));
        assert!(!ok("vault/") && !ok("/vault") && !ok("/a b/") && !ok("") && !ok(&format!("/{}/", "x".repeat(511))));
    }

    #[test]
    fn tags_are_read_and_bounded() {
        let read = |pairs: &[(&str, &str)]| tags(&Form::of(pairs));
        let one = read(&[("Tags.member.1.Key", "team a"), ("Tags.member.1.Value", "ä/1")]).unwrap();
        assert_eq!(one.get("team a").map(String::as_str), Some("ä/1"));
        assert!(read(&[("Tags.member.1.Key", "aws:x"), ("Tags.member.1.Value", "")]).is_err());
        assert!(read(&[("Tags.member.1.Key", "a#b"), ("Tags.member.1.Value", "")]).is_err());
        let twice =
            [("Tags.member.1.Key", "a"), ("Tags.member.1.Value", ""), ("Tags.member.2.Key", "A"), ("Tags.member.2.Value", "")];
        assert!(read(&twice).is_err());
    }
}
