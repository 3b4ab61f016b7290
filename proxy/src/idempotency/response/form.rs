//! The stored form of a response: the version, a head, and the body as it is.
//!
//! The head is a variant (0: an answer, 1: too large, 2: a stream), the status, and, for an answer, the header and the trailer lines:
//! their count, and of each the name and the value, each preceded by its length. Numbers are LEB128. A change needs a new version.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Answer, DecodeError, MAX_LINES, NotKept, Recorded, Tombstone};

/// The first byte of the stored form.
pub(super) const VERSION: u8 = 1;
const ANSWER: u8 = 0;
const TOO_LARGE: u8 = 1;
const STREAM: u8 = 2;
/// The most bytes that a number takes: 64 bits, 7 in each.
const LONGEST_NUMBER: usize = 10;
/// What a replay adds to the lines that were kept, so that the map has room for it at once.
const ADDED_TO_A_REPLAY: usize = 8;

/// A header line, by reference.
pub(super) type Line<'a> = (&'a HeaderName, &'a HeaderValue);

/// How many bytes lines take, without what tells their lengths.
pub(super) fn bytes_of(lines: &[Line<'_>]) -> usize {
    lines.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Appends an answer.
pub(super) fn write_answer(out: &mut Vec<u8>, status: StatusCode, headers: &[Line<'_>], trailers: &[Line<'_>], body: &[u8]) {
    let numbers = 3 + 2 * (headers.len() + trailers.len());
    // A number is a byte or two, but for a line of more than 16 KiB.
    out.reserve(2 + 2 * numbers + bytes_of(headers) + bytes_of(trailers) + body.len());
    out.extend_from_slice(&[VERSION, ANSWER]);
    write_number(out, usize::from(status.as_u16()));
    for lines in [headers, trailers] {
        write_number(out, lines.len());
        for (name, value) in lines {
            write_bytes(out, name.as_str().as_bytes());
            write_bytes(out, value.as_bytes());
        }
    }
    out.extend_from_slice(body);
}

/// Appends a tombstone.
pub(super) fn write_tombstone(out: &mut Vec<u8>, tombstone: Tombstone) {
    let variant = match tombstone.reason {
        NotKept::TooLarge => TOO_LARGE,
        NotKept::Stream => STREAM,
    };
    out.extend_from_slice(&[VERSION, variant]);
    write_number(out, usize::from(tombstone.status.as_u16()));
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn write_number(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or_default());
}

/// Reads the stored form. The body and the header values are slices of `stored`, not copies.
pub(super) fn read(stored: &Bytes) -> Result<Recorded, DecodeError> {
    match stored.first() {
        None => return Err(DecodeError::Empty),
        Some(&VERSION) => {}
        Some(&version) => return Err(DecodeError::UnknownVersion(version)),
    }
    let mut reader = Reader { stored, at: 1 };
    let variant = reader.number()?;
    let status = u16::try_from(reader.number()?).map_err(|_| DecodeError::Malformed)?;
    let status = StatusCode::from_u16(status).map_err(|_| DecodeError::Malformed)?;
    let reason = match u8::try_from(variant) {
        Ok(ANSWER) => {
            let headers = reader.lines(ADDED_TO_A_REPLAY)?;
            let trailers = reader.lines(0)?;
            return Ok(Recorded::Answer(Answer { status, headers, trailers, body: stored.slice(reader.at..) }));
        }
        Ok(TOO_LARGE) => NotKept::TooLarge,
        Ok(STREAM) => NotKept::Stream,
        Ok(_) | Err(_) => return Err(DecodeError::Malformed),
    };
    match reader.at == stored.len() {
        true => Ok(Recorded::Tombstone(Tombstone { status, reason })),
        false => Err(DecodeError::Malformed),
    }
}

struct Reader<'a> {
    stored: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Result<usize, DecodeError> {
        let mut number: u64 = 0;
        for place in 0..LONGEST_NUMBER {
            let byte = *self.stored.get(self.at).ok_or(DecodeError::Malformed)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            let placed = bits << (7 * place);
            if placed >> (7 * place) != bits {
                return Err(DecodeError::Malformed);
            }
            number |= placed;
            if byte & 0x80 == 0 {
                return usize::try_from(number).map_err(|_| DecodeError::Malformed);
            }
        }
        Err(DecodeError::Malformed)
    }

    /// Where the bytes are that follow, with their length before them.
    fn bytes(&mut self) -> Result<std::ops::Range<usize>, DecodeError> {
        let length = self.number()?;
        let from = self.at;
        let to = from.checked_add(length).filter(|to| *to <= self.stored.len()).ok_or(DecodeError::Malformed)?;
        self.at = to;
        Ok(from..to)
    }

    fn lines(&mut self, room_for: usize) -> Result<HeaderMap, DecodeError> {
        let count = self.number()?;
        if count > MAX_LINES {
            return Err(DecodeError::Malformed);
        }
        let mut headers = if count == 0 && room_for == 0 { HeaderMap::new() } else { HeaderMap::with_capacity(count + room_for) };
        for _ in 0..count {
            let (name, value) = (self.bytes()?, self.bytes()?);
            let name = HeaderName::from_bytes(&self.stored[name]).map_err(|_| DecodeError::Malformed)?;
            let value = HeaderValue::from_maybe_shared(self.stored.slice(value)).map_err(|_| DecodeError::Malformed)?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}
