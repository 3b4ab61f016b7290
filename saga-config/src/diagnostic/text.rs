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
pub(crate) fn escaped(text: &str) -> String {
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

/// Control characters, line and paragraph separators, characters that cannot be seen or pass for a space, and the
/// bidirectional controls (Unicode TR 36 section 3.6), which make a line look like another.
pub(super) fn must_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{a0}'
                | '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202f}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_cuts_long_text_and_escapes_what_a_terminal_would_obey() {
        assert_eq!(quoted("\u{1b}[31m\u{202e}"), r"`\u{1b}[31m\u{202e}`");
        assert_eq!(quoted("listen\u{a0}\u{200b}"), r"`listen\u{a0}\u{200b}`");
        let long = "é".repeat(100);
        assert_eq!(quoted(&long).chars().count(), QUOTED_CHARS + 3);
        assert_eq!(quoted(&"x".repeat(60)).chars().count(), 62);
    }
}
