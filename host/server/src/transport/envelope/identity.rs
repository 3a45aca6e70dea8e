//! The id of a message of which only the beginning is there: clients write it before what is long.

use serde_json::Value;

/// The id that stands in the outermost object, if it stands in what is there; else `null`.
pub(super) fn id_in(beginning: &[u8]) -> Value {
    let mut depth = 0_usize;
    let mut key: Option<&[u8]> = None;
    let mut at = 0;
    while let Some(byte) = beginning.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let Some(text) = string_at(beginning, at) else { return Value::Null };
                at += text.len();
                let is_key = depth == 1 && next_of(beginning, at) == Some(b':');
                if depth == 1 && !is_key && key == Some(b"\"id\"") {
                    return scalar(text);
                }
                if depth == 1 {
                    key = is_key.then_some(text);
                }
                continue;
            }
            b',' if depth == 1 => key = None,
            b'-' | b'0'..=b'9' if depth == 1 && key == Some(b"\"id\"") => {
                let rest = beginning.get(at..).unwrap_or_default();
                let end = rest.iter().position(|b| matches!(b, b',' | b'}') || b.is_ascii_whitespace());
                // A number that is cut off is another number.
                return end.and_then(|end| rest.get(..end)).map_or(Value::Null, scalar);
            }
            _ => {}
        }
        at += 1;
    }
    Value::Null
}

/// The string that begins there, with its quotes; none if it does not end.
fn string_at(text: &[u8], at: usize) -> Option<&[u8]> {
    let mut end = at + 1;
    loop {
        match text.get(end)? {
            b'\\' => end += 2,
            b'"' => return text.get(at..=end),
            _ => end += 1,
        }
    }
}

/// The next byte that is no white space.
fn next_of(text: &[u8], at: usize) -> Option<u8> {
    text.get(at..)?.iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// An id: a string or an integer.
fn scalar(text: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(text) {
        Ok(Value::String(id)) => Value::String(id),
        Ok(Value::Number(id)) if id.is_i64() => Value::Number(id),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_found_in_the_outermost_object_only() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a"#, json!(7)),
            (r#" { "id" : "x\"y" , "params": ["#, json!("x\"y")),
            (r#"{"params":{"id":1},"id":-2,"#, json!(-2)),
            (r#"{"params":[{"id":1}],"method":"id","#, Value::Null),
            (r#"{"method":"id","id":3}"#, json!(3)),
            (r#"{"id":7"#, Value::Null),
            (r#"{"id":"abc"#, Value::Null),
            (r#"{"id":null,"a":1"#, Value::Null),
            (r#"{"id":1.5,"#, Value::Null),
            (r#"{"id":{"id":1},"#, Value::Null),
            (r#"[{"id":1}]"#, Value::Null),
            ("", Value::Null),
            ("\"", Value::Null),
        ] {
            assert_eq!(id_in(text.as_bytes()), id, "{text}");
        }
    }
}
