//! Texts. Positions count characters (Unicode scalar values) from 0.

use cel::ExecutionError;
use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};

use super::super::limits::VALUE_BYTES;
use super::{Answer, Call};

/// `text.lowerAscii()`: the letters A to Z in lower case.
pub(in super::super) fn lower_ascii<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("lowerAscii", &args)?;
    let text = call.text(0)?;
    call.answer_of(text.len())?;
    call.give(text.to_ascii_lowercase())
}

/// `text.upperAscii()`: the letters a to z in upper case.
pub(in super::super) fn upper_ascii<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("upperAscii", &args)?;
    let text = call.text(0)?;
    call.answer_of(text.len())?;
    call.give(text.to_ascii_uppercase())
}

/// `text.trim()`: without white space (Unicode) at both ends.
pub(in super::super) fn trim<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("trim", &args)?;
    let text = call.text(0)?.trim();
    call.answer_of(text.len())?;
    call.give(text.to_owned())
}

/// `text.split(separator, limit)`: the parts between separators; by an empty one the characters. With a limit the last part is the
/// rest; a negative limit is none, 0 gives nothing.
pub(in super::super) fn split<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("split", &args)?;
    let (text, separator) = (call.text(0)?, call.text(1)?);
    let most = call.maybe_int(2)?.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let count = match separator {
        "" => text.chars().count(),
        separator => text.matches(separator).count() + 1,
    };
    call.answer_of(text.len().saturating_add(count.min(most).saturating_mul(VALUE_BYTES)))?;
    let parts: Vec<&str> = match (separator, most) {
        (_, 0) => Vec::new(),
        ("", _) => characters(text, most),
        (separator, most) => text.splitn(most, separator).collect(),
    };
    let parts: Vec<Box<dyn Val + 'v>> =
        parts.into_iter().map(|part| Box::new(CelString::from(part.to_owned())) as Box<dyn Val + 'v>).collect();
    Ok(CowVal::owned(CelList::from(parts)))
}

/// At most `most` parts of one character, the last with the rest.
fn characters(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 == most {
            parts.push(rest);
            break;
        }
        let (first, after) = rest.split_at(c.len_utf8());
        parts.push(first);
        rest = after;
    }
    parts
}

/// `list.join(separator)`: its strings, one after the other.
pub(in super::super) fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("join", &args)?;
    let list = call.arg(0).and_then(|arg| arg.downcast_ref::<CelList>()).ok_or_else(|| call.unsupported())?;
    let separator = if args.len() > 2 { call.text(1)? } else { "" };
    let parts: Option<Vec<&str>> =
        list.inner().iter().map(|item| item.downcast_ref::<CelString>().map(|text| text.inner())).collect();
    let parts = parts.ok_or_else(|| call.error("the list holds something that is no string: use .map(x, string(x))"))?;
    let separators = separator.len().saturating_mul(parts.len().saturating_sub(1));
    call.answer_of(parts.iter().map(|part| part.len()).fold(separators, usize::saturating_add))?;
    call.give(parts.join(separator))
}

/// `text.replace(old, new, limit)`: at most `limit` times; a negative limit is none.
pub(in super::super) fn replace<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("replace", &args)?;
    let (text, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let most = call.maybe_int(3)?.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let count = text.matches(old).count().min(most);
    call.answer_of((text.len() - count * old.len()).saturating_add(count.saturating_mul(new.len())))?;
    call.give(text.replacen(old, new, most))
}

/// `text.substring(start, end)`: from a position up to another, that excluded, or to the end.
pub(in super::super) fn substring<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("substring", &args)?;
    let text = call.text(0)?;
    let start = offset_of(&call, text, call.int(1)?)?;
    let end = match call.maybe_int(2)? {
        Some(end) => offset_of(&call, text, end)?,
        None => text.len(),
    };
    let part = text.get(start..end).ok_or_else(|| call.error("it would end before it begins"))?;
    call.answer_of(part.len())?;
    call.give(part.to_owned())
}

/// `text.charAt(position)`: the character there; past the last, nothing.
pub(in super::super) fn char_at<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("charAt", &args)?;
    let text = call.text(0)?;
    let at = offset_of(&call, text, call.int(1)?)?;
    call.give(text[at..].chars().take(1).collect())
}

/// `text.indexOf(part, from)`: the position of the first occurrence at or after `from`; -1: there is none.
pub(in super::super) fn index_of<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("indexOf", &args)?;
    let (text, part) = (call.text(0)?, call.text(1)?);
    let from = match call.maybe_int(2)? {
        Some(from) => offset_of(&call, text, from)?,
        None => 0,
    };
    position(text, text[from..].find(part).map(|found| from + found))
}

/// `text.lastIndexOf(part, from)`: the position of the last occurrence at or before `from`; -1: there is none.
pub(in super::super) fn last_index_of<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let call = Call::begin("lastIndexOf", &args)?;
    let (text, part) = (call.text(0)?, call.text(1)?);
    let until = match call.maybe_int(2)? {
        Some(from) => offset_of(&call, text, from)?.saturating_add(part.len()).min(text.len()),
        None => text.len(),
    };
    // What ends inside of a character ends before the part could.
    let until = (0..=until).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    position(text, text[..until].rfind(part))
}

fn position<'b, 'v>(text: &str, offset: Option<usize>) -> Answer<'b, 'v> {
    let position = offset.and_then(|offset| i64::try_from(text[..offset].chars().count()).ok());
    Ok(CowVal::owned(CelInt::from(position.unwrap_or(-1))))
}

/// The offset in bytes of a position in characters, which may be just past the last.
fn offset_of(call: &Call<'_, '_, '_>, text: &str, position: i64) -> Result<usize, ExecutionError> {
    let outside = || call.error(format!("there is no position {position}"));
    let position = usize::try_from(position).map_err(|_| outside())?;
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain([text.len()]);
    offsets.nth(position).ok_or_else(outside)
}
