//! Makes a name of a template.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use crate::base::random;

use super::parser::{Expr, Field, Function, Node};
use super::{Name, Subject, TemplateError};

/// Characters, and whether each came by chance.
type Marked = Vec<(char, bool)>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(Marked),
    Number(i64),
    Bool(bool),
}

pub(super) fn run(nodes: &[Node], subject: Subject<'_>) -> Result<Name, TemplateError> {
    let mut out = Marked::new();
    Run { subject }.nodes(nodes, &mut out)?;
    let chance = out.iter().filter(|(_, by_chance)| *by_chance).count();
    Ok(Name { text: out.into_iter().map(|(c, _)| c).collect(), chance })
}

struct Run<'a> {
    subject: Subject<'a>,
}

impl Run<'_> {
    fn nodes(&self, nodes: &[Node], out: &mut Marked) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => out.extend(plain(text)),
                Node::Value(value) => out.extend(self.value(value)?.text()),
                Node::If(branches) => {
                    for (condition, nodes) in branches {
                        let holds = match condition {
                            Some(condition) => self.value(condition)?.is_true(),
                            None => true,
                        };
                        if holds {
                            self.nodes(nodes, out)?;
                            break;
                        }
                    }
                }
            }
            bounded(out)?;
        }
        Ok(())
    }

    fn value(&self, expr: &Expr) -> Result<Value, TemplateError> {
        Ok(match expr {
            Expr::Text(text) => Value::Text(plain(text).collect()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Bool(flag) => Value::Bool(*flag),
            Expr::Field(field) => Value::Text(plain(self.field(*field)).collect()),
            Expr::Call(function, arguments) => {
                let values = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
                let value = self.call(*function, values)?;
                if let Value::Text(text) = &value {
                    bounded(text)?;
                }
                value
            }
        })
    }

    fn field(&self, field: Field) -> &str {
        match field {
            Field::DisplayName => self.subject.display_name,
            Field::PolicyName => self.subject.policy_name,
            Field::Type => self.subject.kind,
        }
    }

    fn call(&self, function: Function, values: Vec<Value>) -> Result<Value, TemplateError> {
        let given = values.len();
        let mut arguments = Arguments { function, values: values.into_iter() };
        let text = |text: String| Value::Text(plain(&text).collect());
        let value = match function {
            Function::Random => {
                let wanted = arguments.count()?;
                Value::Text(random::base62(wanted).chars().map(|c| (c, true)).collect())
            }
            Function::Uuid => Value::Text(random::uuid().chars().map(|c| (c, c != '-')).collect()),
            Function::UnixTime => text(self.subject.now.timestamp().to_string()),
            Function::UnixTimeMillis => text(self.subject.now.timestamp_millis().to_string()),
            Function::Truncate => {
                let longest = arguments.count()?;
                Value::Text(arguments.text()?.into_iter().take(longest).collect())
            }
            Function::TruncateSha256 => {
                let longest = arguments.count()?;
                Value::Text(truncated_with_hash(arguments.text()?, longest)?)
            }
            Function::Lowercase => Value::Text(each(arguments.text()?, |c| c.to_lowercase().collect())),
            Function::Uppercase => Value::Text(each(arguments.text()?, |c| c.to_uppercase().collect())),
            Function::Replace => {
                let (find, by) = (arguments.text()?, arguments.text()?);
                Value::Text(replaced(&arguments.text()?, &find, &by))
            }
            Function::Sha256 => Value::Text(digested(&arguments.text()?, |bytes| hex::encode(digest(&SHA256, bytes)))),
            Function::Base64 => Value::Text(digested(&arguments.text()?, |bytes| STANDARD.encode(bytes))),
            Function::Hex => Value::Text(digested(&arguments.text()?, |bytes| hex::encode(bytes))),
            Function::Printf => Value::Text(printed(arguments.text()?, &mut arguments)?),
            Function::Eq => {
                let first = arguments.any()?;
                let others: Vec<_> = arguments.values.by_ref().collect();
                if others.is_empty() {
                    return Err(TemplateError::new("wrong number of args for eq: want at least 2 got 1"));
                }
                Value::Bool(others.iter().any(|other| first.equals(other)))
            }
            Function::Ne => {
                let first = arguments.any()?;
                Value::Bool(!first.equals(&arguments.any()?))
            }
            Function::Not => Value::Bool(!arguments.any()?.is_true()),
            Function::And | Function::Or => {
                let mut value = arguments.any()?;
                for next in arguments.values.by_ref() {
                    if value.is_true() == (function == Function::Or) {
                        break;
                    }
                    value = next;
                }
                arguments.values = Vec::new().into_iter();
                value
            }
        };
        match arguments.values.len() {
            0 => Ok(value),
            left => Err(TemplateError::new(format!(
                "wrong number of args for {}: want {} got {given}",
                function.name(),
                given - left
            ))),
        }
    }
}

/// The arguments of a call, taken in order.
struct Arguments {
    function: Function,
    values: std::vec::IntoIter<Value>,
}

impl Arguments {
    fn any(&mut self) -> Result<Value, TemplateError> {
        self.values.next().ok_or_else(|| TemplateError::new(format!("not enough arguments for {}", self.function.name())))
    }

    fn text(&mut self) -> Result<Marked, TemplateError> {
        match self.any()? {
            Value::Text(text) => Ok(text),
            Value::Number(_) | Value::Bool(_) => Err(self.wrong("a text")),
        }
    }

    /// A number of characters.
    fn count(&mut self) -> Result<usize, TemplateError> {
        let number = match self.any()? {
            Value::Number(number) => number,
            Value::Text(text) => unmarked(&text).parse().map_err(|_| self.wrong("a number"))?,
            Value::Bool(_) => return Err(self.wrong("a number")),
        };
        usize::try_from(number).ok().filter(|number| (1..=LONGEST).contains(number)).ok_or_else(|| {
            TemplateError::new(format!("{}: must be a number between 1 and {LONGEST}, got {number}", self.function.name()))
        })
    }

    fn wrong(&self, wanted: &str) -> TemplateError {
        TemplateError::new(format!("wrong type for {}: expected {wanted}", self.function.name()))
    }
}

impl Value {
    fn text(&self) -> Marked {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => plain(&number.to_string()).collect(),
            Self::Bool(flag) => plain(&flag.to_string()).collect(),
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0,
            Self::Bool(flag) => *flag,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => unmarked(one) == unmarked(other),
            (one, other) => one == other,
        }
    }
}

fn plain(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    text.chars().map(|c| (c, false))
}

fn unmarked(text: &Marked) -> String {
    text.iter().map(|(c, _)| *c).collect()
}

fn bounded(text: &Marked) -> Result<(), TemplateError> {
    if text.len() > LONGEST { Err(TemplateError::new(format!("longer than {LONGEST} characters"))) } else { Ok(()) }
}

fn each(text: Marked, change: impl Fn(char) -> Vec<char>) -> Marked {
    text.into_iter().flat_map(|(c, by_chance)| change(c).into_iter().map(move |c| (c, by_chance))).collect()
}

/// What depends on all characters comes by chance if enough of them did.
fn digested(text: &Marked, make: impl Fn(&[u8]) -> String) -> Marked {
    let by_chance = text.iter().filter(|(_, by_chance)| *by_chance).count() >= super::super::names::ENOUGH_CHANCE;
    make(unmarked(text).as_bytes()).chars().map(|c| (c, by_chance)).collect()
}

/// As it is when it is short enough; else cut, its last eight characters those of its hash.
fn truncated_with_hash(text: Marked, longest: usize) -> Result<Marked, TemplateError> {
    if text.len() <= longest {
        return Ok(text);
    }
    if longest <= HASH {
        return Err(TemplateError::new(format!("truncate_sha256: must be larger than {HASH}")));
    }
    let hash: Marked = digested(&text, |bytes| hex::encode(digest(&SHA256, bytes))).into_iter().take(HASH).collect();
    Ok(text.into_iter().take(longest - HASH).chain(hash).collect())
}

fn replaced(text: &Marked, find: &Marked, by: &Marked) -> Marked {
    let is_at = |at: usize| text.get(at..at + find.len()).is_some_and(|part| part.iter().zip(find).all(|(a, b)| a.0 == b.0));
    let mut out = Marked::new();
    let mut at = 0;
    while let Some(c) = text.get(at) {
        if !find.is_empty() && is_at(at) {
            out.extend(by.iter().copied());
            at += find.len();
        } else {
            out.push(*c);
            at += 1;
        }
    }
    out
}

fn printed(format: Marked, arguments: &mut Arguments) -> Result<Marked, TemplateError> {
    let mut out = Marked::new();
    let mut chars = format.into_iter();
    while let Some((c, by_chance)) = chars.next() {
        if c != '%' {
            out.push((c, by_chance));
            continue;
        }
        match chars.next().map(|(c, _)| c) {
            Some('%') => out.push(('%', false)),
            Some('s' | 'v') => out.extend(arguments.any()?.text()),
            Some('d') => match arguments.any()? {
                Value::Number(number) => out.extend(plain(&number.to_string())),
                Value::Text(_) | Value::Bool(_) => return Err(arguments.wrong("a number")),
            },
            _ => return Err(TemplateError::new("printf: only %s, %v, %d and %% are supported")),
        }
        bounded(&out)?;
    }
    Ok(out)
}

/// Characters of any text on the way; names have 64.
const LONGEST: usize = 4096;

/// Characters of a hash that stand for what was cut.
const HASH: usize = 8;
