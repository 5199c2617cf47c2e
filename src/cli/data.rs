//! Data arguments: `k=v`, `k=@file`, `k=-`, `@file`, `-` (spec `cli.md` §3).

use serde_json::{Map, Value};

use super::cx::Cx;
use super::io::read_file;
use super::stop::Stop;

/// Reads the words after the path into one object.
///
/// # Errors
/// `Failed to parse K=V data: …`, exit 1.
pub(crate) fn parse(cx: &mut Cx<'_>, words: &[String]) -> Result<Map<String, Value>, Stop> {
    let mut data = Map::new();
    for word in words {
        add(cx, &mut data, word)
            .map_err(|error| Stop::Local(format!("Failed to parse K=V data: invalid key/value pair \"{word}\": {error}")))?;
    }
    Ok(data)
}

/// The same for places that only take text: queries, options.
pub(crate) fn parse_pairs(cx: &mut Cx<'_>, words: &[String]) -> Result<Vec<(String, String)>, Stop> {
    let data = parse(cx, words)?;
    let mut pairs = Vec::with_capacity(data.len());
    for (key, value) in data {
        match value {
            Value::Array(items) => pairs.extend(items.iter().map(|item| (key.clone(), plain(item)))),
            other => pairs.push((key, plain(&other))),
        }
    }
    Ok(pairs)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn add(cx: &mut Cx<'_>, data: &mut Map<String, Value>, word: &str) -> Result<(), String> {
    if word == "-" {
        let text = cx.stdin_text()?;
        return merge(data, &text);
    }
    if let Some(path) = word.strip_prefix('@') {
        return merge(data, &file(path)?);
    }
    let (key, value) = word.split_once('=').ok_or("format must be key=value")?;
    let value = match value {
        "-" => cx.stdin_text()?,
        "\\-" => "-".to_owned(),
        _ => match (value.strip_prefix('@'), value.strip_prefix("\\@")) {
            (Some(path), _) => file(path)?,
            (None, Some(rest)) => format!("@{rest}"),
            (None, None) => value.to_owned(),
        },
    };
    put(data, key, Value::String(value));
    Ok(())
}

/// A key given before becomes a list.
fn put(data: &mut Map<String, Value>, key: &str, value: Value) {
    match data.get_mut(key) {
        None => {
            data.insert(key.to_owned(), value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn merge(data: &mut Map<String, Value>, text: &str) -> Result<(), String> {
    let object: Map<String, Value> =
        crate::base::json::read(text.as_bytes()).map_err(|error| format!("not a JSON object: {error}"))?;
    data.extend(object);
    Ok(())
}

fn file(path: &str) -> Result<String, String> {
    let bytes = read_file(path).map_err(|error| format!("error reading file: {error}"))?;
    // JSON carries text; replacing bytes silently would store something else than the file.
    String::from_utf8(bytes)
        .map_err(|_| format!("error reading file: {path} is not UTF-8 text; encode it first, for example with base64"))
}
