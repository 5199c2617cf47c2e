//! What STS answered, read strictly: nothing a client can make it say is taken for an identity
//! (spec `aws-auth-method.md` §12.3, 7 to 9).

use http::{StatusCode, header};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::aws::Relayed;

/// Whose request it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) arn: String,
    pub(super) user_id: String,
    pub(super) account: String,
}

/// A refusal of STS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StsError {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: String,
}

/// Why an answer tells no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It breaks a rule; the text for clients, and the rule.
    Invalid(&'static str, &'static str),
    /// STS says no.
    Refused(StatusCode, StsError),
}

/// Reads an answer.
pub(super) fn read(answer: &Relayed) -> Result<Identity, Unread> {
    let invalid = |rule| Unread::Invalid(INVALID, rule);
    if !is_xml(answer) {
        return Err(invalid("its content type is not text/xml"));
    }
    if answer.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity") {
        return Err(invalid("it is compressed"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| invalid("it is not UTF-8"))?.trim();
    if answer.status != StatusCode::OK {
        return Err(Unread::Refused(answer.status, error_of(text)));
    }
    if !text.starts_with("<GetCallerIdentityResponse") && !text.starts_with("<?xml") {
        return Err(invalid("it is no GetCallerIdentityResponse"));
    }
    identity(text).map_err(|rule| Unread::Invalid(UNPARSED, rule))
}

/// Whether it says that it is XML, once and with nothing beside.
fn is_xml(answer: &Relayed) -> bool {
    let mut said = answer.headers.get_all(header::CONTENT_TYPE).iter();
    said.next().is_some_and(|text| text.as_bytes() == b"text/xml") && said.next().is_none()
}

/// The one result of the one response.
fn identity(text: &str) -> Result<Identity, &'static str> {
    let mut walk = Walk::new(text);
    walk.open_root()?;
    let mut identity = None;
    while let Some(leaf) = walk.leaf()? {
        let (path, text) = leaf;
        let [_, group, name] = path.as_slice() else { continue };
        if group != RESULT {
            continue;
        }
        let found: &mut Found = identity.get_or_insert_with(Found::default);
        let field = match name.as_str() {
            "Arn" => &mut found.arn,
            "UserId" => &mut found.user_id,
            "Account" => &mut found.account,
            _ => continue,
        };
        if field.replace(text).is_some() {
            return Err("it names something twice");
        }
    }
    if walk.results != 1 {
        return Err("it has not exactly one result");
    }
    let found = identity.ok_or("it has no result")?;
    let full = |field: Option<String>| {
        let text = field.filter(|text| !text.is_empty()).ok_or("it does not name ARN, user id and account")?;
        if text.len() > LONGEST_NAME { Err("it names something too long") } else { Ok(text) }
    };
    Ok(Identity { arn: full(found.arn)?, user_id: full(found.user_id)?, account: full(found.account)? })
}

#[derive(Default)]
struct Found {
    arn: Option<String>,
    user_id: Option<String>,
    account: Option<String>,
}

/// Goes through a document from leaf to leaf. Only elements, text and the five entities may be in it.
struct Walk<'t> {
    reader: Reader<&'t [u8]>,
    /// Names of the elements that are open.
    path: Vec<String>,
    results: usize,
    text: String,
    has_children: bool,
    is_done: bool,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        Self { reader, path: Vec::new(), results: 0, text: String::new(), has_children: false, is_done: false }
    }

    fn open_root(&mut self) -> Result<(), &'static str> {
        let mut has_declaration = false;
        loop {
            match self.reader.read_event().map_err(|_| MALFORMED)? {
                Event::Decl(_) if !has_declaration => has_declaration = true,
                Event::Text(text) if is_blank(&text) => {}
                Event::Start(start) => {
                    let root = open(&start, &[])?;
                    if root != ROOT {
                        return Err("its root is not GetCallerIdentityResponse");
                    }
                    self.path.push(root);
                    return Ok(());
                }
                _ => return Err("something stands before its root"),
            }
        }
    }

    /// The next element without children: its path, and its text.
    fn leaf(&mut self) -> Result<Option<(Vec<String>, String)>, &'static str> {
        loop {
            match self.reader.read_event().map_err(|_| MALFORMED)? {
                Event::Eof if self.is_done => return Ok(None),
                Event::Text(text) if self.is_done && is_blank(&text) => {}
                _ if self.is_done => return Err("something stands behind its root"),
                Event::Start(start) => {
                    let name = open(&start, &self.path)?;
                    if !self.text.trim().is_empty() {
                        return Err("text stands between its elements");
                    }
                    self.results += usize::from(name == RESULT);
                    self.path.push(name);
                    if self.path.len() > DEEPEST {
                        return Err("it is nested too deeply");
                    }
                    self.text.clear();
                    self.has_children = false;
                }
                Event::Text(text) => {
                    self.text.push_str(&text);
                }
                Event::GeneralRef(entity) => self.text.push(entity_of(&entity)?),
                Event::End(_) => {
                    let (path, text) = (self.path.clone(), std::mem::take(&mut self.text));
                    self.path.pop();
                    self.is_done = self.path.is_empty();
                    let is_leaf = !std::mem::replace(&mut self.has_children, true);
                    if is_leaf {
                        return Ok(Some((path, text)));
                    }
                    if !text.trim().is_empty() {
                        return Err("text stands between its elements");
                    }
                }
                Event::Eof => return Err("it ends too early"),
                _ => return Err("it holds more than elements and text"),
            }
        }
    }
}

/// The name of an element; the root says the namespace, nobody else says anything.
fn open(start: &BytesStart<'_>, path: &[String]) -> Result<String, &'static str> {
    let name = start.name().into_inner().to_owned();
    if name.contains(':') {
        return Err("it uses prefixes of namespaces");
    }
    let mut namespace = None;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| MALFORMED)?;
        if !path.is_empty() || attribute.key.into_inner() != "xmlns" {
            return Err("it has attributes");
        }
        namespace = Some(attribute.value.into_owned());
    }
    if path.is_empty() && namespace.as_deref() != Some(NAMESPACE) {
        return Err("its namespace is not that of STS");
    }
    Ok(name)
}

fn entity_of(name: &str) -> Result<char, &'static str> {
    Ok(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return Err("it uses entities"),
    })
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_whitespace())
}

/// Code, message and id of a refusal, as far as they can be made out; for people and for the name of the failure, for no more.
fn error_of(text: &str) -> StsError {
    let between = |name: &str| {
        let rest = text.split(&format!("<{name}>")).nth(1)?;
        let inner = rest.split('<').next()?;
        let plain = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
        Some(plain.replace("&#39;", "'").replace("&amp;", "&").trim().chars().take(LONGEST_WORDS).collect())
    };
    let read = |name: &str| between(name).unwrap_or_default();
    StsError { code: read("Code"), message: read("Message"), request_id: read("RequestId") }
}

const ROOT: &str = "GetCallerIdentityResponse";
const RESULT: &str = "GetCallerIdentityResult";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const INVALID: &str = "body of GetCallerIdentity is invalid";
const UNPARSED: &str = "error parsing STS response";
const MALFORMED: &str = "it is not well-formed XML";

/// Elements within each other; an honest answer has three.
const DEEPEST: usize = 5;

/// Bytes of an ARN, which is the longest of its values.
const LONGEST_NAME: usize = 2048;

/// Characters of a message of STS.
const LONGEST_WORDS: usize = 500;

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
