//! Text from files, made safe to print.

/// The most characters of a user's text that a message repeats.
const QUOTED_CHARS: usize = 60;

/// `text` between back-quotes, on one line, safe for a terminal, and cut to 60 characters.
///
/// ```
/// use saga_config::diagnostic::quoted;
/// assert_eq!(quoted("30s"), "`30s`");
/// assert_eq!(quoted("a\nb"), r"`a\nb`");
/// ```
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((cut, _)) => format!("`{}…`", escaped(&text[..cut])),
        None => format!("`{}`", escaped(text)),
    }
}

/// `text` with every character that could move the cursor, change colours or reorder text written as an escape.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if must_escape(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Control characters, line and paragraph separators, and the bidirectional overrides (Unicode TR 36 section 3.6),
/// which make a line look like another.
pub(super) fn must_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
        )
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_cuts_long_text_and_escapes_what_a_terminal_would_obey() {
        assert_eq!(quoted("\u{1b}[31m\u{202e}"), r"`\u{1b}[31m\u{202e}`");
        let long = "é".repeat(100);
        assert_eq!(quoted(&long).chars().count(), QUOTED_CHARS + 3);
        assert_eq!(quoted(&"x".repeat(60)).chars().count(), 62);
    }
}
