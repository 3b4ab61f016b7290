//! JSON pointers (RFC 6901): places in a JSON body.

use super::canonical::{MAX_DEPTH, write_escaped};

/// A JSON pointer (RFC 6901): where in a body something is. At most [`MAX_DEPTH`] reference tokens, for nothing deeper is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer {
    text: Box<str>,
    tokens: Vec<Token>,
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    /// The member's name, escaped as canonical JSON is.
    member: Box<[u8]>,
    /// The element's place, if the token can be one: digits without a leading zero (RFC 6901, section 4).
    index: Option<usize>,
}

/// What is wrong with the text of a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// Neither empty nor begun with a slash.
    #[error("a JSON pointer begins with `/`, like `/items/0/price` (the empty pointer is the whole body)")]
    NoSlash,
    /// The fragment form of section 6.
    #[error("a JSON pointer is written here without `#`, like `/items/0/price`")]
    Fragment,
    /// A tilde that escapes nothing.
    #[error("`~` at character {at} must be followed by `0` (for `~`) or `1` (for `/`)")]
    BadEscape {
        /// Which character, from 1.
        at: usize,
    },
    /// More tokens than any body that is looked into is deep.
    #[error("a JSON pointer has at most {MAX_DEPTH} steps")]
    TooDeep,
}

impl JsonPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    ///
    /// The first thing that RFC 6901, section 3, does not allow.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.starts_with('#') {
            return Err(PointerError::Fragment);
        }
        let mut tokens = Vec::new();
        if !text.is_empty() {
            let rest = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
            let mut at = 2;
            for token in rest.split('/') {
                if tokens.len() == MAX_DEPTH {
                    return Err(PointerError::TooDeep);
                }
                tokens.push(Token::parse(token, at)?);
                at += token.chars().count() + 1;
            }
        }
        Ok(Self { text: text.into(), tokens })
    }

    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many steps down it leads.
    pub(super) fn steps(&self) -> usize {
        self.tokens.len()
    }

    /// Whether its step from `depth` on is the member of this name (escaped as canonical JSON is).
    pub(super) fn takes_member(&self, depth: usize, name: &[u8]) -> bool {
        self.tokens.get(depth).is_some_and(|token| *token.member == *name)
    }

    /// Whether its step from `depth` on is this element.
    pub(super) fn takes_element(&self, depth: usize, index: usize) -> bool {
        self.tokens.get(depth).is_some_and(|token| token.index == Some(index))
    }
}

impl Token {
    /// Reads a token that begins at the character `at`.
    fn parse(text: &str, at: usize) -> Result<Self, PointerError> {
        let mut member = Vec::with_capacity(text.len());
        let mut chars = text.chars().enumerate();
        while let Some((offset, c)) = chars.next() {
            let c = match c {
                '~' => match chars.next() {
                    Some((_, '0')) => '~',
                    Some((_, '1')) => '/',
                    _ => return Err(PointerError::BadEscape { at: at + offset }),
                },
                other => other,
            };
            write_escaped(&mut member, c);
        }
        let is_index = text == "0" || (text.bytes().all(|c| c.is_ascii_digit()) && !text.starts_with('0'));
        Ok(Self { member: member.into(), index: if is_index { text.parse().ok() } else { None } })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pointers_are_read_as_rfc_6901_says() {
        let pointer = JsonPointer::parse("/a~1b/m~0n//0/01").unwrap();
        assert_eq!(pointer.steps(), 5);
        assert!(pointer.takes_member(0, b"a/b"));
        assert!(pointer.takes_member(1, b"m~n"));
        assert!(pointer.takes_member(2, b""));
        assert!(pointer.takes_member(3, b"0") && pointer.takes_element(3, 0));
        assert!(pointer.takes_member(4, b"01") && !pointer.takes_element(4, 1), "an index has no leading zero");
        assert!(!pointer.takes_member(5, b""));
        assert_eq!(JsonPointer::parse("").unwrap().steps(), 0);
        assert_eq!(JsonPointer::parse("/").unwrap().steps(), 1);
        assert_eq!(pointer.as_str(), "/a~1b/m~0n//0/01");
    }

    #[test]
    fn a_wrong_pointer_says_what_would_be_right() {
        assert_eq!(JsonPointer::parse("a"), Err(PointerError::NoSlash));
        assert_eq!(JsonPointer::parse("#/a"), Err(PointerError::Fragment));
        assert_eq!(JsonPointer::parse("/é/a~b"), Err(PointerError::BadEscape { at: 5 }));
        assert_eq!(JsonPointer::parse("/~"), Err(PointerError::BadEscape { at: 2 }));
        assert!(JsonPointer::parse(&"/a".repeat(MAX_DEPTH)).is_ok());
        assert_eq!(JsonPointer::parse(&"/a".repeat(MAX_DEPTH + 1)), Err(PointerError::TooDeep));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = JsonPointer::parse(&text);
        }
    }
}
