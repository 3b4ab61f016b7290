//! JSON in one canonical form, so that two spellings of one body are the same bytes.
//!
//! Members are sorted, white space is gone, strings have one spelling, and numbers keep theirs: `1.0` is not `1`, and an integer of
//! forty digits keeps all of them. One pass, no tree: the form is written as the body is read, and only an object whose members were
//! out of order is moved. It is never longer than the body.
//!
//! ```
//! # use refrain::idempotency::canonical::canonical;
//! let form = canonical(br#" {"b": 10e1, "a": "\u0041"} "#, &[]).unwrap();
//! assert_eq!(form, br#"{"a":"A","b":10e1}"#);
//! ```

use std::{cmp::Ordering, ops::Range};

use super::pointer::JsonPointer;

/// How deep a body may be nested. Deeper ones have no canonical form here.
pub const MAX_DEPTH: usize = 128;

/// What stands for an element, or a body, that does not count. No JSON value begins so.
const EXCLUDED: u8 = b'!';

/// Why a body has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// Not JSON in UTF-8 (RFC 8259), or a string with half of a surrogate pair.
    #[error("not JSON")]
    NotJson,
    /// An object has two members of one name: readers differ on which one counts.
    #[error("an object has two members of one name")]
    DuplicateMember,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The canonical form of a body, without the places that `exclude` points to. A member that is left out may as well be absent;
/// an element that is left out keeps its place.
///
/// # Errors
///
/// Why the body has no canonical form. What is excluded is judged too.
pub fn canonical(body: &[u8], exclude: &[JsonPointer]) -> Result<Vec<u8>, NotCanonical> {
    std::str::from_utf8(body).map_err(|_| NotCanonical::NotJson)?;
    let mut writer = Writer {
        body,
        at: 0,
        out: vec![0; body.len() + WORD],
        end: 0,
        members: Vec::new(),
        scratch: Vec::new(),
        exclude,
        followed: (0..exclude.len()).collect(),
    };
    writer.skip_space();
    writer.value(0, 0..exclude.len())?;
    writer.skip_space();
    if writer.at != body.len() {
        return Err(NotCanonical::NotJson);
    }
    if exclude.iter().any(|pointer| pointer.steps() == 0) {
        return Ok(vec![EXCLUDED]);
    }
    writer.out.truncate(writer.end);
    Ok(writer.out)
}

/// Writes a character of a string in its one spelling: escaped only where it must be (RFC 8259, section 7).
pub(super) fn write_escaped(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' | '\\' => c as u8,
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        c if c < ' ' => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let code = c as usize;
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[code >> 4], DIGITS[code & 15]]);
            return;
        }
        c => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// How many bytes of a string are looked at, and copied, at once.
const WORD: usize = 8;

/// Where in the output a member is.
struct Member {
    /// The first bytes of the name and its closing quote, in the order of names; zeros after a shorter one.
    begins: u64,
    name: Range<usize>,
    end: usize,
    excluded: bool,
}

impl Member {
    /// The order of names is the order of their bytes. Nearly all differ in the first of them.
    fn cmp(&self, other: &Self, out: &[u8]) -> Ordering {
        self.begins.cmp(&other.begins).then_with(|| out[self.name.clone()].cmp(&out[other.name.clone()]))
    }
}

/// Where in these bytes (the lowest is the first) a plain piece of a string ends: at a quote, a backslash or a control character.
const fn first_special(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; WORD]);
    const HIGH: u64 = ONES << 7;
    /// The high bit of each byte that is zero, and perhaps of others after the first such.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    let special = controls | zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
    if special == 0 { None } else { Some(special.trailing_zeros() as usize / 8) }
}

struct Writer<'a> {
    body: &'a [u8],
    at: usize,
    /// What is written, up to `end`, and room: the form is never longer than the body, and whole words are written into it.
    out: Vec<u8>,
    end: usize,
    /// The members of all objects that are open, the innermost last.
    members: Vec<Member>,
    scratch: Vec<u8>,
    exclude: &'a [JsonPointer],
    /// Which pointers lead on from the open values, the innermost last: indices into `exclude`.
    followed: Vec<usize>,
}

impl Writer<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, NotCanonical> {
        let c = self.peek().ok_or(NotCanonical::NotJson)?;
        self.at += 1;
        Ok(c)
    }

    fn put(&mut self, byte: u8) {
        if self.end == self.out.len() {
            self.out.resize(self.end + WORD, 0);
        }
        self.out[self.end] = byte;
        self.end += 1;
    }

    fn put_all(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if end > self.out.len() {
            self.out.resize(end + WORD, 0);
        }
        self.out[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads one value and writes its form. `leading` says which of `followed` lead to this value or below it.
    fn value(&mut self, depth: usize, leading: Range<usize>) -> Result<(), NotCanonical> {
        match self.next()? {
            b'{' | b'[' if depth == MAX_DEPTH => Err(NotCanonical::TooDeep),
            b'{' => self.object(depth, leading),
            b'[' => self.array(depth, leading),
            b'"' => self.string(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(NotCanonical::NotJson),
        }
    }

    fn object(&mut self, depth: usize, leading: Range<usize>) -> Result<(), NotCanonical> {
        let start = self.end;
        let first = self.members.len();
        self.put(b'{');
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.put(b'}');
            return Ok(());
        }
        loop {
            self.member(depth, leading.clone())?;
            self.skip_space();
            match self.next()? {
                b',' => self.put(b','),
                b'}' => break,
                _ => return Err(NotCanonical::NotJson),
            }
            self.skip_space();
        }
        self.order(start, first)?;
        self.members.truncate(first);
        self.put(b'}');
        Ok(())
    }

    fn member(&mut self, depth: usize, leading: Range<usize>) -> Result<(), NotCanonical> {
        let start = self.end;
        if self.next()? != b'"' {
            return Err(NotCanonical::NotJson);
        }
        self.string()?;
        let name = start..self.end;
        self.skip_space();
        if self.next()? != b':' {
            return Err(NotCanonical::NotJson);
        }
        self.put(b':');
        self.skip_space();
        let (excluded, below) =
            self.follow(depth, leading, |writer, pointer| pointer.takes_member(depth, &writer.out[name.start + 1..name.end - 1]));
        self.value(depth + 1, below.clone())?;
        self.followed.truncate(below.start);
        let mut begins = [0; WORD];
        begins.iter_mut().zip(&self.out[name.start + 1..name.end]).for_each(|(to, from)| *to = *from);
        self.members.push(Member { begins: u64::from_be_bytes(begins), name, end: self.end, excluded });
        Ok(())
    }

    /// Puts the members from `first` on, of the object that begins at `start`, in order.
    fn order(&mut self, start: usize, first: usize) -> Result<(), NotCanonical> {
        let out = &self.out;
        let members = &mut self.members[first..];
        let in_order = members.windows(2).all(|pair| pair[0].cmp(&pair[1], out).is_lt());
        if in_order && members.iter().all(|member| !member.excluded) {
            return Ok(());
        }
        members.sort_unstable_by(|a, b| a.cmp(b, out));
        if members.windows(2).any(|pair| pair[0].cmp(&pair[1], out).is_eq()) {
            return Err(NotCanonical::DuplicateMember);
        }
        self.scratch.clear();
        for member in members.iter().filter(|member| !member.excluded) {
            if !self.scratch.is_empty() {
                self.scratch.push(b',');
            }
            self.scratch.extend_from_slice(&self.out[member.name.start..member.end]);
        }
        // What is left of the members is no longer than they were.
        self.end = start + 1 + self.scratch.len();
        self.out[start + 1..self.end].copy_from_slice(&self.scratch);
        Ok(())
    }

    fn array(&mut self, depth: usize, leading: Range<usize>) -> Result<(), NotCanonical> {
        self.put(b'[');
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.put(b']');
            return Ok(());
        }
        for index in 0.. {
            let start = self.end;
            let (excluded, below) = self.follow(depth, leading.clone(), |_, pointer| pointer.takes_element(depth, index));
            self.value(depth + 1, below.clone())?;
            self.followed.truncate(below.start);
            if excluded {
                self.end = start;
                self.put(EXCLUDED);
            }
            self.skip_space();
            match self.next()? {
                b',' => self.put(b','),
                b']' => break,
                _ => return Err(NotCanonical::NotJson),
            }
            self.skip_space();
        }
        self.put(b']');
        Ok(())
    }

    /// Which of the pointers in `leading` take this step down, and whether one ends there.
    fn follow(
        &mut self,
        depth: usize,
        leading: Range<usize>,
        takes: impl Fn(&Self, &JsonPointer) -> bool,
    ) -> (bool, Range<usize>) {
        let below = self.followed.len();
        if leading.is_empty() {
            return (false, below..below);
        }
        let mut excluded = false;
        for place in leading {
            let index = self.followed[place];
            let pointer = &self.exclude[index];
            if takes(self, pointer) {
                excluded |= pointer.steps() == depth + 1;
                self.followed.push(index);
            }
        }
        (excluded, below..self.followed.len())
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Result<(), NotCanonical> {
        self.put(b'"');
        loop {
            self.plain()?;
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    let c = self.escape()?;
                    let mut spelled = std::mem::take(&mut self.scratch);
                    spelled.clear();
                    write_escaped(&mut spelled, c);
                    self.put_all(&spelled);
                    self.scratch = spelled;
                }
                _ => return Err(NotCanonical::NotJson),
            }
        }
        self.put(b'"');
        Ok(())
    }

    /// The piece of a string up to its end or its next backslash, as it is.
    fn plain(&mut self) -> Result<(), NotCanonical> {
        while let (Some(word), Some(room)) =
            (self.body[self.at..].first_chunk::<WORD>(), self.out[self.end..].first_chunk_mut::<WORD>())
        {
            // Copied before it is known how much of it belongs here: what does not is written over.
            *room = *word;
            let plain = first_special(u64::from_le_bytes(*word));
            self.at += plain.unwrap_or(WORD);
            self.end += plain.unwrap_or(WORD);
            if plain.is_some() {
                return Ok(());
            }
        }
        let body = self.body;
        let rest = &body[self.at..];
        let plain = rest.iter().position(|c| matches!(c, b'"' | b'\\' | 0..0x20)).ok_or(NotCanonical::NotJson)?;
        self.put_all(&rest[..plain]);
        self.at += plain;
        Ok(())
    }

    /// The character that an escape stands for, after its backslash.
    fn escape(&mut self) -> Result<char, NotCanonical> {
        Ok(match self.next()? {
            c @ (b'"' | b'\\' | b'/') => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code_unit()?;
                let mut second = None;
                if (0xd800..0xdc00).contains(&first) {
                    if (self.next()?, self.next()?) != (b'\\', b'u') {
                        return Err(NotCanonical::NotJson);
                    }
                    second = Some(self.code_unit()?);
                }
                let mut decoded = char::decode_utf16([first].into_iter().chain(second));
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(c)), None) => c,
                    _ => return Err(NotCanonical::NotJson),
                }
            }
            _ => return Err(NotCanonical::NotJson),
        })
    }

    fn code_unit(&mut self) -> Result<u16, NotCanonical> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
            unit = unit << 4 | digit.ok_or(NotCanonical::NotJson)?;
        }
        Ok(unit)
    }

    /// The rest of `true`, `false` or `null`, after its first letter.
    fn literal(&mut self, whole: &[u8]) -> Result<(), NotCanonical> {
        let start = self.at - 1;
        if !self.body[start..].starts_with(whole) {
            return Err(NotCanonical::NotJson);
        }
        self.at = start + whole.len();
        self.put_all(whole);
        Ok(())
    }

    /// The rest of a number, after its first character (RFC 8259, section 6). Copied as it is.
    fn number(&mut self) -> Result<(), NotCanonical> {
        let start = self.at - 1;
        if self.body[start] == b'-' {
            self.next()?;
        }
        match self.body[self.at - 1] {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(NotCanonical::NotJson),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let body = self.body;
        self.put_all(&body[start..self.at]);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotCanonical> {
        if !self.next()?.is_ascii_digit() {
            return Err(NotCanonical::NotJson);
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
