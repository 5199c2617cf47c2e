//! JSON as XML, in IBM's notation `JSONx`: one element for each value, named by its type.

use serde_json::Value;

/// The document of a JSON text; nothing for what is not JSON.
pub(super) fn of_json(json: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(json.len() * 2);
    if let Ok(value) = serde_json::from_slice(json) {
        element(&mut out, &value, None, NAMESPACE);
    }
    out.into_bytes()
}

/// As deep as the value, whose depth the parser bounds.
fn element(out: &mut String, value: &Value, name: Option<&str>, attributes: &str) {
    let (tag, text) = match value {
        Value::Null => ("null", String::new()),
        Value::Bool(flag) => ("boolean", flag.to_string()),
        Value::Number(number) => ("number", number.to_string()),
        Value::String(text) => ("string", escaped(text)),
        Value::Array(_) => ("array", String::new()),
        Value::Object(_) => ("object", String::new()),
    };
    out.extend(["<json:", tag, attributes]);
    if let Some(name) = name {
        out.extend([" name=\"", &escaped(name), "\""]);
    }
    if value.is_null() {
        out.push_str(" />");
        return;
    }
    out.extend([">", &text]);
    match value {
        Value::Array(items) => items.iter().for_each(|item| element(out, item, None, "")),
        Value::Object(fields) => fields.iter().for_each(|(key, field)| element(out, field, Some(key), "")),
        _ => {}
    }
    out.extend(["</json:", tag, ">"]);
}

/// Ends of lines become references, so that the document stays one line; characters XML cannot hold become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

const NAMESPACE: &str = " xmlns:json=\"http://www.ibm.com/xmlns/prod/2009/jsonx\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_element() {
        let json = br#"{"b":true,"l":["x",1.50],"n":null,"o":{"k<\"":"a&b\n\u0001"}}"#;
        assert_eq!(
            String::from_utf8(of_json(json)).unwrap(),
            "<json:object xmlns:json=\"http://www.ibm.com/xmlns/prod/2009/jsonx\"><json:boolean name=\"b\">true</json:boolean>\
             <json:array name=\"l\"><json:string>x</json:string><json:number>1.50</json:number></json:array>\
             <json:null name=\"n\" /><json:object name=\"o\"><json:string name=\"k&lt;&quot;\">a&amp;b&#10;\u{fffd}</json:string>\
             </json:object></json:object>"
        );
    }
}
