//! The strings and numbers that stand in expressions: what an author compares answers with.

use saga_config::expr::Expression;
use serde_json::Value;

use super::candidates::deduplicated;

/// The literals of these expressions, in their order, each once. Strings with escapes are left out.
pub(super) fn literals<'e>(expressions: impl Iterator<Item = &'e Expression>) -> Vec<Value> {
    deduplicated(expressions.flat_map(|expression| of_text(expression.source())))
}

fn of_text(source: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = source;
    // Every round takes at least one character.
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        if matches!(first, '\'' | '"') {
            let body = &rest[1..];
            let end = body.find(first).unwrap_or(body.len());
            if !body[..end].contains('\\') {
                found.push(Value::from(&body[..end]));
            }
            taken = (end + 2).min(rest.len());
        } else if first.is_ascii_digit() {
            taken = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            found.extend(serde_json::from_str::<Value>(rest[..taken].trim_end_matches('.')));
        } else if first.is_ascii_alphabetic() || first == '_' {
            taken = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        }
        rest = &rest[taken..];
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_and_numbers_are_found_and_names_with_digits_are_not() {
        let source = r#"response.body.state2 == 'DENIED' || response.status in [402, 4.5] || x == "a b""#;
        assert_eq!(of_text(source), [json!("DENIED"), json!(402), json!(4.5), json!("a b")]);
        assert_eq!(of_text("'never closed"), [json!("never closed")]);
    }
}
