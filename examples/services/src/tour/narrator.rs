//! Tells what happens, to the person in front of it.
#![expect(clippy::print_stdout, reason = "the tour is what it says on standard output")]

use crate::client::{Answer, Intent};

/// How much of a body is shown, in characters.
const MAX_SHOWN: usize = 110;

/// Counts the steps and tells them.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    steps: usize,
}

impl Narrator {
    /// A new step begins.
    pub(super) fn step(&mut self, what: &str) {
        self.steps += 1;
        println!("\n{}. {what}", self.steps);
    }

    /// How many steps there were.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// What was sent.
    pub(super) fn sent(&self, intent: &Intent) {
        let key = intent.key().map(|key| format!("  Idempotency-Key: {}", shortened(key, 16))).unwrap_or_default();
        println!("   → {}{key}  {}", intent.what(), shortened(&without_secrets(intent.body()), MAX_SHOWN));
    }

    /// What came.
    pub(super) fn came(&self, answer: &Answer) {
        let treated = answer.treated().map(|treated| format!(" ({treated})")).unwrap_or_default();
        let body = String::from_utf8_lossy(&answer.body);
        // Of a problem document only what it means.
        let said = if answer.status < 400 { without_secrets(&body) } else { answer.said() };
        println!("   ← {}{treated}  {}", answer.status, shortened(&said, MAX_SHOWN));
    }

    /// What else is to be known.
    pub(super) fn says(&self, what: &str) {
        println!("   {what}");
    }

    /// The end.
    pub(super) fn ends(&self, what: &str) {
        println!("\n{what}");
    }
}

/// One line of `text`, with an ellipsis where it is longer.
fn shortened(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The JSON `text` with passwords and tokens left out.
fn without_secrets(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(text) else { return text.to_owned() };
    for name in ["password", "access_token"] {
        if let Some(secret) = value.get_mut(name) {
            *secret = "…".into();
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_are_not_shown() {
        let shown = without_secrets(r#"{"email": "a@b.example", "password": "secret", "access_token": "ey"}"#);
        assert_eq!(shown, r#"{"email":"a@b.example","password":"…","access_token":"…"}"#);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("one\n  two", 20), "one two");
        assert_eq!(shortened("äöü", 2), "äö…");
    }
}
