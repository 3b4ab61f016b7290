//! A request's key: where it is found, and what it may look like.
//!
//! A key is written as an RFC 8941 string (`"8e03978e"`, section 3.3.3; so the draft wants it) or as a bare token (`8e03978e`, as
//! many clients send it). Both are the same key. What could be read in two ways is refused rather than guessed at, since two
//! readings of one request are two executions.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use regex::Regex;

/// The longest key a policy can allow, in characters.
pub const LONGEST: usize = 1024;

/// A key: 1 to [`LONGEST`] visible ASCII characters and spaces. `Debug` hides it: keys do not belong in logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A key that does not come from a header. Every character counts, quotes as well.
    ///
    /// # Errors
    ///
    /// The first thing about the text that `form` does not allow.
    pub fn from_text(text: &str, form: &KeyForm) -> Result<Self, KeyError> {
        if !text.is_ascii() {
            return Err(KeyError::NotAscii);
        }
        if text.bytes().any(|c| c.is_ascii_control()) {
            return Err(KeyError::ControlCharacter);
        }
        form.check(text)?;
        Ok(Self(text.into()))
    }

    /// The key's text. Never log it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// What a key may look like.
#[derive(Clone, Debug)]
pub struct KeyForm {
    /// Whether bare tokens are refused, so that only RFC 8941 strings are keys.
    pub strict: bool,
    /// In characters, at least 1.
    pub min_length: usize,
    /// In characters, at most [`LONGEST`].
    pub max_length: usize,
    /// What the characters must be.
    pub format: KeyFormat,
    /// Whether a comma is refused.
    pub no_comma: bool,
}

impl Default for KeyForm {
    fn default() -> Self {
        Self { strict: false, min_length: 1, max_length: 255, format: KeyFormat::Any, no_comma: false }
    }
}

impl KeyForm {
    fn check(&self, text: &str) -> Result<(), KeyError> {
        // All ASCII by now: bytes are characters.
        let length = text.len();
        if length == 0 {
            return Err(KeyError::Empty);
        }
        if length > self.max_length.min(LONGEST) {
            return Err(KeyError::TooLong { length, max: self.max_length.min(LONGEST) });
        }
        if length < self.min_length {
            return Err(KeyError::TooShort { length, min: self.min_length });
        }
        if self.no_comma && text.contains(',') {
            return Err(KeyError::Comma);
        }
        match &self.format {
            KeyFormat::Uuid if !is_uuid(text) => Err(KeyError::NotUuid),
            KeyFormat::Pattern(pattern) if !pattern.matches(text) => Err(KeyError::OtherPattern(pattern.as_str().to_owned())),
            KeyFormat::Any | KeyFormat::Uuid | KeyFormat::Pattern(_) => Ok(()),
        }
    }
}

/// What a key's characters must be.
#[derive(Clone, Debug, Default)]
pub enum KeyFormat {
    /// Visible ASCII and spaces.
    #[default]
    Any,
    /// A UUID in its usual text form (RFC 9562, section 4).
    Uuid,
    /// A regular expression that the whole key matches.
    Pattern(KeyPattern),
}

/// A regular expression that a whole key matches.
#[derive(Clone)]
pub struct KeyPattern {
    text: Box<str>,
    anchored: Regex,
}

impl KeyPattern {
    /// Compiles an expression. It need not be anchored.
    ///
    /// # Errors
    ///
    /// What is wrong with the expression, or that it grows too large when compiled.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        // Alone first: `a)|(?:b` must not become right by being wrapped.
        Regex::new(text)?;
        Ok(Self { text: text.into(), anchored: Regex::new(&format!(r"\A(?:{text})\z"))? })
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, key: &str) -> bool {
        self.anchored.is_match(key)
    }
}

impl fmt::Debug for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPattern({:?})", self.text)
    }
}

/// Why a request's key is refused. `Display` is for the client: it says what is expected, and does not repeat the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// More than one line of one header.
    #[error("the header {0} is there more than once; send exactly one line")]
    Repeated(HeaderName),
    /// Two of the accepted headers, and they differ.
    #[error("the headers {0} and {1} hold different keys; send one of them, or the same key in both")]
    Differ(HeaderName, HeaderName),
    /// Nothing, or `""`.
    #[error("the key is empty; it needs at least one character")]
    Empty,
    /// A byte over 127.
    #[error("the key has a character that is not ASCII; use letters, digits and punctuation of ASCII")]
    NotAscii,
    /// A tab or another control character.
    #[error("the key has a control character; use letters, digits and punctuation of ASCII")]
    ControlCharacter,
    /// A string that has no closing quote.
    #[error("the key begins with a quote but has no closing quote; write it as \"key\" or without quotes")]
    Unterminated,
    /// A backslash before something else than a quote or a backslash.
    #[error(
        "the key has a backslash before a character that is not escaped by one; inside quotes only \\\" and \\\\ are allowed"
    )]
    BadEscape,
    /// Parameters after the string or the token.
    #[error("the key is followed by parameters (;…), which mean nothing here; put a key with a semicolon in double quotes")]
    Parameters,
    /// Something else after the closing quote: most often a second key.
    #[error("something follows the closing quote; send exactly one key")]
    AfterString,
    /// A bare token, and the route wants strings.
    #[error("the key is not in double quotes; this route takes only strings as of RFC 8941, like \"key\"")]
    NotAString,
    /// A space or a quote inside a bare token.
    #[error("the key has a space or a quote and is not in double quotes; put it in double quotes, like \"my key\"")]
    NotAToken,
    /// Over the limit.
    #[error("the key has {length} characters; at most {max} are allowed")]
    TooLong {
        /// In characters; of a key over the limit, as far as it was read.
        length: usize,
        /// In characters.
        max: usize,
    },
    /// Under the limit.
    #[error("the key has {length} characters; at least {min} are required")]
    TooShort {
        /// In characters.
        length: usize,
        /// In characters.
        min: usize,
    },
    /// Not a UUID.
    #[error("the key is not a UUID; one looks like 8e03978e-40d5-43dd-bc93-6894a57f9324")]
    NotUuid,
    /// Does not match the route's expression.
    #[error("the key does not match the pattern that is required here: {0}")]
    OtherPattern(String),
    /// A comma where none is allowed.
    #[error("the key has a comma, which is not allowed here; send exactly one key without commas")]
    Comma,
}

/// The key of a request: the first of `names` that is there. Several of them may be there if they agree.
///
/// # Errors
///
/// What is wrong with the first header that does not hold a key as `form` wants it, or that two headers disagree.
pub fn find(headers: &HeaderMap, names: &[HeaderName], form: &KeyForm) -> Result<Option<Key>, KeyError> {
    let mut found: Option<(&HeaderName, Key)> = None;
    for name in names {
        let mut lines = headers.get_all(name).into_iter();
        let Some(line) = lines.next() else { continue };
        if lines.next().is_some() {
            return Err(KeyError::Repeated(name.clone()));
        }
        let key = parse(line, form)?;
        match &found {
            Some((earlier, other)) if *other != key => return Err(KeyError::Differ((*earlier).clone(), name.clone())),
            Some(_) => {}
            None => found = Some((name, key)),
        }
    }
    Ok(found.map(|(_, key)| key))
}

/// The text that a client sent as its key, right or wrong, for the answer that refuses it; `None` if it sent none.
/// At most [`LONGEST`] characters.
pub fn as_sent(headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
    let line = names.iter().find_map(|name| headers.get(name))?;
    Some(String::from_utf8_lossy(line.as_bytes()).chars().take(LONGEST).collect())
}

fn parse(line: &HeaderValue, form: &KeyForm) -> Result<Key, KeyError> {
    let bytes = line.as_bytes().trim_ascii();
    if !bytes.is_ascii() {
        return Err(KeyError::NotAscii);
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return Err(KeyError::ControlCharacter);
    }
    let text = match bytes {
        [] => return Err(KeyError::Empty),
        [b'"', rest @ ..] => Cow::Owned(parse_string(rest)?),
        _ if form.strict => return Err(KeyError::NotAString),
        _ => Cow::Borrowed(parse_token(bytes)?),
    };
    form.check(&text)?;
    Ok(Key(text.into()))
}

/// What follows the opening quote (RFC 8941, section 4.2.5). Neither controls nor anything over 127 is in it.
fn parse_string(bytes: &[u8]) -> Result<String, KeyError> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    loop {
        match rest.next() {
            None => return Err(KeyError::Unterminated),
            Some(b'"') => break,
            Some(b'\\') => match rest.next() {
                Some(c @ (b'"' | b'\\')) => text.push(char::from(*c)),
                Some(_) => return Err(KeyError::BadEscape),
                None => return Err(KeyError::Unterminated),
            },
            Some(c) => text.push(char::from(*c)),
        }
    }
    match rest.as_slice().trim_ascii_start() {
        [] => Ok(text),
        [b';', ..] => Err(KeyError::Parameters),
        _ => Err(KeyError::AfterString),
    }
}

/// A bare token. Wider than the token of RFC 8941: what clients send as keys may begin with a digit and have any punctuation, but
/// for what begins parameters or a string.
fn parse_token(bytes: &[u8]) -> Result<&str, KeyError> {
    if bytes.iter().any(|c| matches!(c, b' ' | b'"')) {
        return Err(KeyError::NotAToken);
    }
    if bytes.contains(&b';') {
        return Err(KeyError::Parameters);
    }
    std::str::from_utf8(bytes).map_err(|_| KeyError::NotAscii)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;
    use crate::headers::{IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY};

    const NAMES: [HeaderName; 2] = [IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY];

    fn one(value: &[u8], form: &KeyForm) -> Result<Option<Key>, KeyError> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        find(&headers, &NAMES, form)
    }

    fn text(value: &str) -> Result<String, KeyError> {
        one(value.as_bytes(), &KeyForm::default()).map(|key| key.unwrap().as_str().to_owned())
    }

    #[test]
    fn a_string_and_a_bare_token_are_the_same_key() {
        assert_eq!(text(r#""a:b/c""#).unwrap(), "a:b/c");
        assert_eq!(text("a:b/c").unwrap(), "a:b/c");
        assert_eq!(text(r#"  "a" "#).unwrap(), "a");
        assert_eq!(text(r#""a \" \\ b""#).unwrap(), r#"a " \ b"#);
        assert_eq!(text("8e03978e-40d5-43dd-bc93-6894a57f9324").unwrap(), "8e03978e-40d5-43dd-bc93-6894a57f9324");
    }

    #[test]
    fn every_malformed_key_has_its_own_reason() {
        let form = KeyForm::default();
        for (value, expected) in [
            (&b""[..], KeyError::Empty),
            (b"  ", KeyError::Empty),
            (br#""""#, KeyError::Empty),
            (b"k\xc3\xa9y", KeyError::NotAscii),
            (b"\"k\xffy\"", KeyError::NotAscii),
            (b"a\tb", KeyError::ControlCharacter),
            (b"\"a\tb\"", KeyError::ControlCharacter),
            (br#""abc"#, KeyError::Unterminated),
            (br#""abc\"#, KeyError::Unterminated),
            (br#""abc\""#, KeyError::Unterminated),
            (br#""a\bc""#, KeyError::BadEscape),
            (br#""abc";v=1"#, KeyError::Parameters),
            (br#""abc" ;v"#, KeyError::Parameters),
            (b"abc;v=1", KeyError::Parameters),
            (br#""a", "b""#, KeyError::AfterString),
            (br#""a"b"#, KeyError::AfterString),
            (b"a, b", KeyError::NotAToken),
            (br#"a"b""#, KeyError::NotAToken),
            (&[b'k'; 256], KeyError::TooLong { length: 256, max: 255 }),
        ] {
            assert_eq!(one(value, &form), Err(expected), "{}", String::from_utf8_lossy(value));
        }
        assert!(one(&[b'k'; 255], &form).is_ok());
    }

    #[test]
    fn a_route_can_ask_for_more() {
        let strict = KeyForm { strict: true, ..KeyForm::default() };
        assert_eq!(one(b"abc", &strict), Err(KeyError::NotAString));
        assert!(one(br#""abc""#, &strict).is_ok());

        let long = KeyForm { min_length: 21, no_comma: true, ..KeyForm::default() };
        assert_eq!(one(&[b'k'; 20], &long), Err(KeyError::TooShort { length: 20, min: 21 }));
        assert!(one(&[b'k'; 21], &long).is_ok());
        assert_eq!(one(b"aaaaaaaaaaa,bbbbbbbbbbbbbbb", &long), Err(KeyError::Comma));

        let uuid = KeyForm { format: KeyFormat::Uuid, ..KeyForm::default() };
        assert!(one(br#""8E03978e-40d5-43dd-bc93-6894a57f9324""#, &uuid).is_ok());
        for wrong in
            ["8e03978e40d543ddbc936894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f932g", "8e03978e-40d5-43dd-bc93_6894a57f9324"]
        {
            assert_eq!(one(wrong.as_bytes(), &uuid), Err(KeyError::NotUuid));
        }
    }

    #[test]
    fn a_pattern_is_about_the_whole_key() {
        let form = |pattern| KeyForm { format: KeyFormat::Pattern(KeyPattern::new(pattern).unwrap()), ..KeyForm::default() };
        assert!(one(b"ab", &form("a|ab")).is_ok(), "the longer alternative counts too");
        assert_eq!(one(b"xab", &form("ab")), Err(KeyError::OtherPattern("ab".into())));
        assert_eq!(one(b"abx", &form("^ab")), Err(KeyError::OtherPattern("^ab".into())));
        assert!(KeyPattern::new("a)|(?:b").is_err());
    }

    #[test]
    fn a_repeated_header_is_refused_even_if_its_lines_agree() {
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert_eq!(find(&headers, &NAMES, &KeyForm::default()), Err(KeyError::Repeated(IDEMPOTENCY_KEY)));
    }

    #[test]
    fn two_headers_may_agree_but_not_differ() {
        let mut headers = HeaderMap::new();
        headers.append(X_IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(r#""a""#));
        assert_eq!(find(&headers, &NAMES, &KeyForm::default()).unwrap().unwrap().as_str(), "a");
        headers.insert(X_IDEMPOTENCY_KEY, HeaderValue::from_static("b"));
        assert_eq!(find(&headers, &NAMES, &KeyForm::default()), Err(KeyError::Differ(IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY)));
        assert_eq!(find(&HeaderMap::new(), &NAMES, &KeyForm::default()), Ok(None));
    }

    #[test]
    fn a_key_is_never_shown_by_accident() {
        let key = Key::from_text("secret-key", &KeyForm::default()).unwrap();
        assert!(!format!("{key:?}").contains("secret"));
    }

    #[test]
    fn what_was_sent_is_told_back_within_bounds() {
        let mut headers = HeaderMap::new();
        assert_eq!(as_sent(&headers, &NAMES), None);
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static(""));
        assert_eq!(as_sent(&headers, &NAMES), Some(String::new()));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(&[b'\xff'; 5000]).unwrap());
        assert_eq!(as_sent(&headers, &NAMES).unwrap().chars().count(), LONGEST);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(value in proptest::collection::vec(any::<u8>(), 0..300), strict: bool) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(IDEMPOTENCY_KEY, value);
                if let Ok(key) = find(&headers, &NAMES, &KeyForm { strict, ..KeyForm::default() }) {
                    prop_assert!(key.unwrap().as_str().bytes().all(|c| (0x20..0x7f).contains(&c)));
                }
            }
        }

        #[test]
        fn quoting_changes_nothing(text in "[!#-:<-~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', r"\\"));
            let bare = one(text.as_bytes(), &KeyForm::default()).unwrap();
            prop_assert_eq!(&bare, &one(quoted.as_bytes(), &KeyForm::default()).unwrap());
            prop_assert_eq!(bare.unwrap(), Key::from_text(&text, &KeyForm::default()).unwrap());
        }

        #[test]
        fn every_text_can_be_sent_in_quotes(text in "[ -~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
            prop_assert_eq!(one(quoted.as_bytes(), &KeyForm::default()).unwrap().unwrap(), Key::from_text(&text, &KeyForm::default()).unwrap());
        }
    }
}
