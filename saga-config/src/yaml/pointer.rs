//! Paths into a document: JSON pointers (RFC 6901).

use std::fmt;
use std::str::FromStr;

/// A JSON pointer, built step by step or read from text.
///
/// ```
/// use saga_config::yaml::Pointer;
/// let step = Pointer::root().child("steps").child(0).child("a/b");
/// assert_eq!(step.to_string(), "/steps/0/a~1b");
/// assert_eq!("/steps/0/a~1b".parse(), Ok(step));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The whole document.
    pub fn root() -> Self {
        Self::default()
    }

    /// One step further: a key, or the index of an item.
    #[must_use]
    pub fn child(&self, token: impl fmt::Display) -> Self {
        let mut tokens = self.0.clone();
        tokens.push(token.to_string());
        Self(tokens)
    }

    /// What holds this; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// The last key or index; `None` for the root.
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Whether it is the whole document.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is `outer`, or stands somewhere in it.
    pub fn is_within(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }

    /// The keys and indices from the top.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A text that is no JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// RFC 6901 section 3: a pointer is empty or begins with `/`.
    #[error("a JSON pointer begins with `/`")]
    NoSlash,
    /// RFC 6901 section 3: `~` is written `~0`, and `/` in a key `~1`.
    #[error("in a JSON pointer `~` is followed by 0 or 1")]
    BadEscape,
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        let tokens = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        tokens.split('/').map(unescape).collect::<Result<_, _>>().map(Self)
    }
}

fn unescape(token: &str) -> Result<String, PointerError> {
    let mut out = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PointerError::BadEscape),
            },
            other => other,
        });
    }
    Ok(out)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_pointers_are_refused() {
        assert_eq!("a".parse::<Pointer>(), Err(PointerError::NoSlash));
        assert_eq!("/~".parse::<Pointer>(), Err(PointerError::BadEscape));
        assert_eq!("/~2".parse::<Pointer>(), Err(PointerError::BadEscape));
        assert_eq!("/".parse::<Pointer>(), Ok(Pointer::root().child("")));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(tokens in proptest::collection::vec("[a~/0-9]{0,4}", 0..4)) {
            let pointer = Pointer(tokens);
            prop_assert_eq!(pointer.to_string().parse(), Ok(pointer));
        }
    }
}
