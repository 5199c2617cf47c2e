//! Words to what is to be done.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::TemplateError;
use super::lexer::Token;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    /// Its value is written.
    Value(Expr),
    /// The first whose condition holds; one without condition at the end.
    If(Vec<(Option<Expr>, Vec<Node>)>),
}

/// Something that has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Text(String),
    Number(i64),
    Bool(bool),
    Field(Field),
    Call(Function, Vec<Expr>),
}

/// What is known of whom the name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    DisplayName,
    PolicyName,
    Type,
}

/// Makes the functions and their names.
macro_rules! functions {
    ($($name:literal => $function:ident,)*) => {
        /// See the module above.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function { $($function,)* }
        impl Function {
            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$function),)* _ => None }
            }
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$function => $name,)* }
            }
        }
    };
}

functions! {
    "random" => Random,
    "uuid" => Uuid,
    "unix_time" => UnixTime,
    "unix_time_millis" => UnixTimeMillis,
    "truncate" => Truncate,
    "truncate_sha256" => TruncateSha256,
    "lowercase" => Lowercase,
    "uppercase" => Uppercase,
    "replace" => Replace,
    "sha256" => Sha256,
    "base64" => Base64,
    "hex" => Hex,
    "printf" => Printf,
    "eq" => Eq,
    "ne" => Ne,
    "and" => And,
    "or" => Or,
    "not" => Not,
}

/// Reads all of it.
pub(super) fn parse(tokens: Vec<Token>) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        Stop::Text => Ok(nodes),
        Stop::End => Err(TemplateError::new("unexpected {{end}}")),
        Stop::Else(_) => Err(TemplateError::new("unexpected {{else}}")),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    depth: usize,
}

/// What ended a list of pieces.
enum Stop {
    Text,
    End,
    /// With the condition of an `else if`.
    Else(Option<Expr>),
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let end = loop {
            match self.tokens.next() {
                None => break Stop::Text,
                Some(Token::Text(text)) => nodes.push(Node::Text(text)),
                Some(_open) => {
                    let word = match self.tokens.peek() {
                        Some(Token::Word(word)) => word.as_str(),
                        _ => "",
                    };
                    match word {
                        "if" => {
                            self.tokens.next();
                            nodes.push(self.branches()?);
                        }
                        "end" => {
                            self.tokens.next();
                            self.close()?;
                            break Stop::End;
                        }
                        "else" => {
                            self.tokens.next();
                            break Stop::Else(self.else_condition()?);
                        }
                        "range" | "with" | "define" | "template" | "block" | "break" | "continue" => {
                            return Err(TemplateError::new(format!("\"{word}\" is not supported in a username template")));
                        }
                        _ => {
                            nodes.push(Node::Value(self.pipeline()?));
                            self.close()?;
                        }
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn branches(&mut self) -> Result<Node, TemplateError> {
        let mut branches = Vec::new();
        let mut condition = Some(self.pipeline()?);
        self.close()?;
        loop {
            let is_last = condition.is_none();
            let (nodes, end) = self.nodes()?;
            branches.push((condition, nodes));
            condition = match end {
                Stop::End => return Ok(Node::If(branches)),
                Stop::Else(condition) if !is_last => condition,
                Stop::Else(_) => return Err(TemplateError::new("unexpected {{else}}")),
                Stop::Text => return Err(TemplateError::new("unexpected EOF")),
            };
        }
    }

    fn else_condition(&mut self) -> Result<Option<Expr>, TemplateError> {
        let condition = match self.tokens.peek() {
            Some(Token::Word(word)) if word == "if" => {
                self.tokens.next();
                Some(self.pipeline()?)
            }
            _ => None,
        };
        self.close()?;
        Ok(condition)
    }

    /// Commands parted by `|`: each gets the value of the one before as its last argument.
    fn pipeline(&mut self) -> Result<Expr, TemplateError> {
        self.deeper()?;
        let mut value = self.command(None)?;
        while self.tokens.next_if_eq(&Token::Pipe).is_some() {
            value = self.command(Some(value))?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn command(&mut self, last: Option<Expr>) -> Result<Expr, TemplateError> {
        if let Some(Token::Word(word)) = self.tokens.next_if(|token| matches!(token, Token::Word(_))) {
            let Some(function) = Function::parse(&word) else { return constant(&word) };
            let mut arguments = Vec::new();
            while let Some(argument) = self.operand()? {
                arguments.push(argument);
            }
            arguments.extend(last);
            if arguments.len() > MOST_ARGUMENTS {
                return Err(TemplateError::new(format!("more than {MOST_ARGUMENTS} arguments for \"{word}\"")));
            }
            return Ok(Expr::Call(function, arguments));
        }
        let Some(value) = self.operand()? else { return Err(TemplateError::new("missing value for command")) };
        if last.is_some() || self.operand()?.is_some() {
            return Err(TemplateError::new("can't give argument to non-function"));
        }
        Ok(value)
    }

    /// One argument, if there is one more. A word among arguments is a function without arguments.
    fn operand(&mut self) -> Result<Option<Expr>, TemplateError> {
        let is_operand =
            |token: &Token| !matches!(token, Token::Close | Token::Pipe | Token::Right | Token::Text(_) | Token::Open);
        let Some(token) = self.tokens.next_if(is_operand) else { return Ok(None) };
        let value = match token {
            Token::Quoted(text) => Expr::Text(text),
            Token::Number(number) => Expr::Number(number),
            Token::Field(name) => Expr::Field(field(&name)?),
            Token::Word(word) => match Function::parse(&word) {
                Some(function) => Expr::Call(function, Vec::new()),
                None => constant(&word)?,
            },
            _left => {
                let value = self.pipeline()?;
                if self.tokens.next_if_eq(&Token::Right).is_none() {
                    return Err(TemplateError::new("unclosed left paren"));
                }
                value
            }
        };
        Ok(Some(value))
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        match self.tokens.next() {
            Some(Token::Close) => Ok(()),
            Some(Token::Right) => Err(TemplateError::new("unexpected right paren")),
            _ => Err(TemplateError::new("unclosed action")),
        }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(TemplateError::new(format!("nested deeper than {DEEPEST}"))) } else { Ok(()) }
    }
}

fn constant(word: &str) -> Result<Expr, TemplateError> {
    match word {
        "true" => Ok(Expr::Bool(true)),
        "false" => Ok(Expr::Bool(false)),
        _ => Err(TemplateError::new(format!("function \"{word}\" not defined"))),
    }
}

fn field(name: &str) -> Result<Field, TemplateError> {
    match name {
        "DisplayName" => Ok(Field::DisplayName),
        "PolicyName" => Ok(Field::PolicyName),
        "Type" => Ok(Field::Type),
        _ => Err(TemplateError::new(format!("can't evaluate field {name}"))),
    }
}

const DEEPEST: usize = 32;
const MOST_ARGUMENTS: usize = 16;
