//! XML, as the Query protocol of AWS writes it.

/// Text of elements, written from front to back.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    /// An element with text.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.open(name);
        escape(&mut self.0, text);
        self.close(name);
    }

    /// The same, where there is something to tell.
    pub(super) fn leaf_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// An element around others.
    pub(super) fn group(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.open(name);
        inside(self);
        self.close(name);
    }

    /// The outermost element.
    pub(super) fn root(&mut self, name: &str, namespace: &str, inside: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push_str(" xmlns=\"");
        escape(&mut self.0, namespace);
        self.0.push_str("\">");
        inside(self);
        self.close(name);
    }

    /// A list: one `member` for each item.
    pub(super) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.group(name, |xml| {
            for item in items {
                xml.group("member", |xml| write(xml, item));
            }
        });
    }

    /// Text alone, for members of a list that are no structures.
    pub(super) fn text(&mut self, text: &str) {
        escape(&mut self.0, text);
    }

    /// What was written elsewhere.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn open(&mut self, name: &str) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }
}

/// XML 1.0 has no form at all for most control characters: they are replaced.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ if character < ' ' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut xml = Xml::default();
        xml.leaf("A", "<b a=\"1\" c='2'>&\u{0}\r</b>");
        assert_eq!(xml.into_text(), "<A>&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\u{fffd}&#13;&lt;/b&gt;</A>");
    }

    #[test]
    fn lists_have_members() {
        let mut xml = Xml::default();
        xml.list("Names", ["a", "b"], Xml::text);
        assert_eq!(xml.into_text(), "<Names><member>a</member><member>b</member></Names>");
    }
}
