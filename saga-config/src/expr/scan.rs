//! A reader of CEL's surface: where strings, comments and brackets begin and end.
//!
//! It serves two callers. Before the parser sees a source, [`refuse_oversized`] bounds what could make the
//! parser recurse; and a template finds the `}` that closes its `${`.

use super::{ExprError, limits};

/// Something of the source that matters to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close(u8),
    /// `!` or `-`: an operator that may also stand before its only operand.
    Prefix,
    /// `?` of a conditional.
    Question,
    /// Any other operator, `.` and `in` among them.
    Operator,
    /// A name, a literal, or a separator.
    Other,
}

/// A string or quoted name that nothing ends, by the offset of what opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unterminated {
    /// In bytes from the start of the source.
    pub(crate) offset: usize,
}

/// Walks over a source, token by token. It accepts any text; that the text is an expression is for the parser to say.
pub(crate) struct Scanner<'s> {
    bytes: &'s [u8],
    at: usize,
}

impl<'s> Scanner<'s> {
    /// A scanner that begins at `offset` bytes.
    pub(crate) fn new(source: &'s str, offset: usize) -> Self {
        Self { bytes: source.as_bytes(), at: offset }
    }

    /// The next token and its offset in bytes, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, Token)>, Unterminated> {
        self.skip_blanks();
        let start = self.at;
        let Some(&byte) = self.bytes.get(start) else {
            return Ok(None);
        };
        let token = match byte {
            b'\'' | b'"' => {
                self.skip_string(start, false)?;
                Token::Other
            }
            b'`' => {
                self.at += 1;
                self.skip_past(b'`', start)?;
                Token::Other
            }
            b'(' | b'[' | b'{' => {
                self.at += 1;
                Token::Open
            }
            b')' | b']' | b'}' => {
                self.at += 1;
                Token::Close(byte)
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(start)?,
            b'!' if self.peek(1) != Some(b'=') => {
                self.at += 1;
                Token::Prefix
            }
            b'-' => {
                self.at += 1;
                Token::Prefix
            }
            b'?' if self.follows_dot_or_bracket(start) => {
                self.at += 1;
                Token::Operator
            }
            b'?' => {
                self.at += 1;
                Token::Question
            }
            b'&' | b'|' | b'=' | b'!' | b'<' | b'>' => {
                let doubled = self.peek(1).is_some_and(|next| next == byte || next == b'=');
                self.at += if doubled { 2 } else { 1 };
                Token::Operator
            }
            b'+' | b'*' | b'/' | b'%' | b':' | b'.' => {
                self.at += 1;
                Token::Operator
            }
            _ => {
                self.at += 1;
                Token::Other
            }
        };
        Ok(Some((start, token)))
    }

    /// Past the token that was given last.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn follows_dot_or_bracket(&self, at: usize) -> bool {
        at > 0 && matches!(self.bytes[at - 1], b'.' | b'[')
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek(0) {
                Some(b' ' | b'\t' | b'\r' | b'\n' | 0x0c) => self.at += 1,
                Some(b'/') if self.peek(1) == Some(b'/') => {
                    while self.peek(0).is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// A name, a keyword, or the prefix of a string: `r'…'` has no escapes.
    fn word(&mut self, start: usize) -> Result<Token, Unterminated> {
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        let word = &self.bytes[start..self.at];
        let is_prefix = word.len() <= 2 && word.iter().all(|byte| matches!(byte, b'r' | b'R' | b'b' | b'B'));
        if is_prefix && matches!(self.peek(0), Some(b'\'' | b'"')) {
            let raw = word.iter().any(|byte| matches!(byte, b'r' | b'R'));
            self.skip_string(start, raw)?;
            return Ok(Token::Other);
        }
        Ok(if word == b"in" { Token::Operator } else { Token::Other })
    }

    fn skip_string(&mut self, start: usize, raw: bool) -> Result<(), Unterminated> {
        let quote = self.bytes[self.at];
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if triple { 3 } else { 1 };
        loop {
            match self.peek(0) {
                None => return Err(Unterminated { offset: start }),
                Some(b'\\') if !raw => self.at += 2,
                Some(byte) if byte == quote => {
                    if !triple {
                        self.at += 1;
                        return Ok(());
                    }
                    if self.peek(1) == Some(quote) && self.peek(2) == Some(quote) {
                        self.at += 3;
                        return Ok(());
                    }
                    self.at += 1;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn skip_past(&mut self, end: u8, start: usize) -> Result<(), Unterminated> {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == end {
                return Ok(());
            }
        }
        Err(Unterminated { offset: start })
    }
}

/// Refuses a source that the parser, which recurses, should not be given: too long, too many operators, or
/// brackets, conditionals or prefix operators nested too deep.
pub(super) fn refuse_oversized(source: &str) -> Result<(), ExprError> {
    if source.len() > limits::SOURCE_BYTES {
        return Err(ExprError::new(format!(
            "the expression is {} bytes long; the limit is {}",
            source.len(),
            limits::SOURCE_BYTES
        )));
    }
    let (mut operators, mut depth, mut questions, mut prefixes) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut scanner = Scanner::new(source, 0);
    loop {
        let token = scanner.next().map_err(|Unterminated { offset }| ExprError::new("this string is never closed").at(offset))?;
        let Some((offset, token)) = token else {
            return Ok(());
        };
        match token {
            Token::Open => depth += 1,
            Token::Close(_) => depth = depth.saturating_sub(1),
            Token::Question => questions += 1,
            _ => {}
        }
        prefixes = if token == Token::Prefix { prefixes + 1 } else { 0 };
        if matches!(token, Token::Operator | Token::Prefix | Token::Question) {
            operators += 1;
        }
        let (what, count, limit) = if operators > limits::OPERATORS {
            ("operators", operators, limits::OPERATORS)
        } else if depth > limits::BRACKET_DEPTH {
            ("brackets inside each other", depth, limits::BRACKET_DEPTH)
        } else if questions > limits::CONDITIONALS {
            ("conditionals", questions, limits::CONDITIONALS)
        } else if prefixes > limits::PREFIXES {
            ("`!` or `-` in a row", prefixes, limits::PREFIXES)
        } else {
            continue;
        };
        return Err(ExprError::new(format!("the expression has {count} {what}; the limit is {limit}"))
            .at(offset)
            .help("compute the value in the service, or in steps"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn closing(source: &str) -> Option<usize> {
        let mut scanner = Scanner::new(source, 0);
        let mut depth = 0_usize;
        while let Some((at, token)) = scanner.next().unwrap() {
            match token {
                Token::Open => depth += 1,
                Token::Close(_) if depth == 0 => return Some(at),
                Token::Close(_) => depth -= 1,
                _ => {}
            }
        }
        None
    }

    #[test]
    fn brackets_inside_strings_names_and_comments_do_not_count() {
        for source in [
            r#"'}' + x}"#,
            r#""}\"}" + x}"#,
            r#"r'\' + x}"#,
            r#"'''a'}''' + x}"#,
            r#"x.`}` + 'x'}"#,
            "x // }\n + 1}",
            "{'a': [1, {'b': 2}]}}",
        ] {
            assert_eq!(closing(source), Some(source.len() - 1), "{source}");
        }
    }

    #[test]
    fn a_string_without_an_end_is_reported_where_it_begins() {
        let mut scanner = Scanner::new("a + 'b", 0);
        scanner.next().unwrap();
        scanner.next().unwrap();
        assert_eq!(scanner.next(), Err(Unterminated { offset: 4 }));
    }
}
