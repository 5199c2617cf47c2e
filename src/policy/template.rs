//! `{{identity.…}}` in the path of a rule, filled in from what is known of a token's entity (spec `policies.md` §6).

/// What a path may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// `identity.entity.id`
    EntityId,
    /// `identity.entity.name`
    EntityName,
    /// `identity.entity.metadata.KEY`
    EntityMetadata(&'a str),
    /// `identity.entity.aliases.ACCESSOR.…`: the alias on the mount with that accessor.
    Alias(&'a str, AliasPart<'a>),
    /// `identity.groups.…`: a group the entity is a member of.
    Group(GroupBy<'a>, GroupPart<'a>),
}

/// Part of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasPart<'a> {
    /// `.id`
    Id,
    /// `.name`
    Name,
    /// `.metadata.KEY`
    Metadata(&'a str),
    /// `.custom_metadata.KEY`
    CustomMetadata(&'a str),
}

/// How a group is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy<'a> {
    /// `ids.ID`
    Id(&'a str),
    /// `names.NAME`
    Name(&'a str),
}

/// Part of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPart<'a> {
    /// `.id`, of a group named by name.
    Id,
    /// `.name`, of a group named by id.
    Name,
    /// `.metadata.KEY`
    Metadata(&'a str),
}

/// Knows a token's entity.
pub trait TemplateSource: Send + Sync {
    /// A fact; `None` when it is not known or the entity is no member of the group.
    fn fact(&self, fact: Fact<'_>) -> Option<String>;

    /// Names this state of the facts: sources with equal stamps give equal answers. Empty without an entity.
    fn stamp(&self) -> &str;
}

/// A token without entity: nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct NoEntity;

impl TemplateSource for NoEntity {
    fn fact(&self, _: Fact<'_>) -> Option<String> {
        None
    }

    fn stamp(&self) -> &'static str {
        ""
    }
}

impl<'a> Fact<'a> {
    /// Reads what stands between braces; `None`: no fact is called that.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim().strip_prefix("identity.")?;
        if let Some(rest) = text.strip_prefix("entity.") {
            return match rest {
                "id" => Some(Self::EntityId),
                "name" => Some(Self::EntityName),
                _ => rest.strip_prefix("metadata.").map(Self::EntityMetadata).or_else(|| Self::alias(rest)),
            };
        }
        let (kind, rest) = text.strip_prefix("groups.")?.split_once('.')?;
        let (group, part) = rest.split_once('.')?;
        let metadata = || part.strip_prefix("metadata.").map(GroupPart::Metadata);
        match kind {
            "ids" if part == "name" => Some(Self::Group(GroupBy::Id(group), GroupPart::Name)),
            "names" if part == "id" => Some(Self::Group(GroupBy::Name(group), GroupPart::Id)),
            "ids" => metadata().map(|part| Self::Group(GroupBy::Id(group), part)),
            "names" => metadata().map(|part| Self::Group(GroupBy::Name(group), part)),
            _ => None,
        }
    }

    fn alias(text: &'a str) -> Option<Self> {
        let (accessor, part) = text.strip_prefix("aliases.")?.split_once('.')?;
        let part = match part {
            "id" => AliasPart::Id,
            "name" => AliasPart::Name,
            _ => match part.split_once('.')? {
                ("metadata", key) => AliasPart::Metadata(key),
                ("custom_metadata", key) => AliasPart::CustomMetadata(key),
                _ => return None,
            },
        };
        Some(Self::Alias(accessor, part))
    }
}

/// The braces of a path do not pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// Whether a path has something to fill in.
pub(super) fn is_templated(path: &str) -> Result<bool, Unbalanced> {
    let mut pieces = path.split("{{");
    if pieces.next().is_some_and(|first| first.contains("}}")) {
        return Err(Unbalanced);
    }
    let mut found = false;
    for piece in pieces {
        if piece.split("}}").count() != 2 {
            return Err(Unbalanced);
        }
        found = true;
    }
    Ok(found)
}

/// The path with its facts filled in; `None` when one is unknown, missing or empty: the rule does not count then.
///
/// A value is never a wildcard: a rule that would get one from a value does not count either. (Vault inserts values as they
/// are, which lets whoever chooses his name choose `+` and read everybody's paths.)
pub(super) fn resolve(path: &str, source: &dyn TemplateSource) -> Option<String> {
    let mut pieces = path.split("{{");
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        let (directive, literal) = piece.split_once("}}")?;
        let value = source.fact(Fact::parse(directive)?)?;
        if value.is_empty() || value.contains('*') || value.split('/').any(|segment| segment == "+") {
            return None;
        }
        out.push_str(&value);
        out.push_str(literal);
    }
    Some(out)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Facts by how they are written.
    pub(in crate::policy) struct Known(pub(in crate::policy) HashMap<&'static str, &'static str>);

    impl Known {
        pub(in crate::policy) fn of(facts: &[(&'static str, &'static str)]) -> Self {
            Self(facts.iter().copied().collect())
        }
    }

    impl TemplateSource for Known {
        fn fact(&self, fact: Fact<'_>) -> Option<String> {
            let found = self.0.iter().find(|(directive, _)| Fact::parse(directive) == Some(fact));
            found.map(|(_, value)| (*value).to_owned())
        }

        fn stamp(&self) -> &str {
            self.0.get("identity.entity.id").copied().unwrap_or_default()
        }
    }

    #[test]
    fn every_directive_is_understood() {
        use {AliasPart as A, GroupBy as B, GroupPart as P};
        for (text, fact) in [
            ("identity.entity.id", Some(Fact::EntityId)),
            (" identity.entity.name\t", Some(Fact::EntityName)),
            ("identity.entity.metadata.a.b", Some(Fact::EntityMetadata("a.b"))),
            ("identity.entity.aliases.auth_x_1.id", Some(Fact::Alias("auth_x_1", A::Id))),
            ("identity.entity.aliases.auth_x_1.name", Some(Fact::Alias("auth_x_1", A::Name))),
            ("identity.entity.aliases.x.metadata.k", Some(Fact::Alias("x", A::Metadata("k")))),
            ("identity.entity.aliases.x.custom_metadata.k.l", Some(Fact::Alias("x", A::CustomMetadata("k.l")))),
            ("identity.groups.ids.7.name", Some(Fact::Group(B::Id("7"), P::Name))),
            ("identity.groups.ids.7.metadata.k", Some(Fact::Group(B::Id("7"), P::Metadata("k")))),
            ("identity.groups.names.ops.id", Some(Fact::Group(B::Name("ops"), P::Id))),
            ("identity.groups.names.ops.metadata.k", Some(Fact::Group(B::Name("ops"), P::Metadata("k")))),
            ("identity.groups.names.ops.name", None),
            ("identity.groups.ids.7.id", None),
            ("identity.entity.aliases.x", None),
            ("identity.entity.aliases.x.other.k", None),
            ("identity.entity", None),
            ("Identity.entity.id", None),
            ("time.now", None),
            ("", None),
        ] {
            assert_eq!(Fact::parse(text), fact, "{text}");
        }
    }

    #[test]
    fn braces_must_pair() {
        for (path, expected) in [
            ("a/b", Ok(false)),
            ("a/{b}", Ok(false)),
            ("a/{{ b }}/c", Ok(true)),
            ("{{a}}{{b}}", Ok(true)),
            ("a/{{b}", Err(Unbalanced)),
            ("a/b}}", Err(Unbalanced)),
            ("{{a{{b}}", Err(Unbalanced)),
            ("{{a}}b}}", Err(Unbalanced)),
        ] {
            assert_eq!(is_templated(path), expected, "{path}");
        }
    }

    #[test]
    fn values_are_filled_in_or_the_rule_is_dropped() {
        let known = Known::of(&[
            ("identity.entity.id", "e1"),
            ("identity.entity.name", "a+b@c"),
            ("identity.entity.metadata.empty", ""),
            ("identity.entity.metadata.star", "x*"),
            ("identity.entity.metadata.plus", "+"),
            ("identity.entity.metadata.path", "a/b"),
        ]);
        let at = |directive: &str| resolve(&format!("x/{{{{ {directive} }}}}/y"), &known);
        assert_eq!(at("identity.entity.id").as_deref(), Some("x/e1/y"));
        assert_eq!(at("identity.entity.name").as_deref(), Some("x/a+b@c/y"));
        assert_eq!(at("identity.entity.metadata.path").as_deref(), Some("x/a/b/y"));
        for dropped in ["empty", "star", "plus", "absent"] {
            assert_eq!(at(&format!("identity.entity.metadata.{dropped}")), None, "{dropped}");
        }
        assert_eq!(at("unknown"), None);
        assert_eq!(resolve("x/{{identity.entity.id}}", &NoEntity), None);
        assert_eq!(resolve("{{identity.entity.id}}-{{identity.entity.id}}", &known).as_deref(), Some("e1-e1"));
    }
}
