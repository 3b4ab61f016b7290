//! The answers of the scripts on sagas. What is not one of them is [`StoreError::Corrupt`]; nothing panics.

use bytes::Bytes;
use redis::Value;
use saga_config::saga::DefinitionHash;

use super::{
    super::{
        decode::{Decoded, Reply, number as digits_of},
        facts::kind_of,
    },
    encode,
};
use crate::{
    ids::{Fence, Fingerprint, SagaId},
    store::{
        StoreError,
        journal::{Answer, Appended, Attached, Birth, Commanded, Created, Granted, Head, Leased, Loaded, SagaHeld, SagaState},
    },
    time::Timestamp,
};

/// What is due in one partition.
pub(super) struct DuePage {
    pub(super) now: Timestamp,
    /// When the first one is due that is not among `ids`.
    pub(super) next: Option<Timestamp>,
    /// The longest due first.
    pub(super) ids: Vec<(Timestamp, SagaId)>,
}

/// One line of a list.
pub(super) struct Row {
    pub(super) id: SagaId,
    pub(super) head: Head,
}

pub(super) fn created(answer: Value) -> Decoded<Created> {
    let mut reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'F' => Created::Fresh(granted(&mut reply)?),
        b'R' => Created::Running(Box::new(head(&mut reply)?)),
        b'E' => Created::Ended(Box::new(head(&mut reply)?)),
        b'M' => Created::Mismatch,
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn appended(answer: Value) -> Decoded<Appended> {
    let mut reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'K' => Appended::Kept(granted(&mut reply)?),
        b'L' => Appended::Lost,
        b'F' => Appended::Full,
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn held(answer: Value) -> Decoded<SagaHeld> {
    let mut reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'K' => SagaHeld::Kept { commands: reply.number()? == 1 },
        b'L' => SagaHeld::Lost,
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn leased(answer: Value) -> Decoded<Leased> {
    let mut reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'K' => Leased::Granted(Box::new(whole(&mut reply)?)),
        b'N' if reply.is_bare() => Leased::NotDue(None),
        b'N' => Leased::NotDue(Some(reply.duration()?)),
        b'G' => Leased::Gone,
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn loaded(answer: Value) -> Decoded<Option<Loaded>> {
    let mut reply = Reply::read(answer)?;
    match reply.tag {
        b'K' => whole(&mut reply).map(Some),
        b'-' => Ok(None),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn attached(answer: Value) -> Decoded<Option<Attached>> {
    let mut reply = Reply::read(answer)?;
    match reply.tag {
        b'H' => {
            let now = time(&mut reply)?;
            Ok(Some(Attached { head: head(&mut reply)?, now }))
        }
        b'-' => Ok(None),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn commanded(answer: Value) -> Decoded<Commanded> {
    let reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'Q' => Commanded::Queued,
        b'A' => Commanded::Absent,
        b'E' => Commanded::Ended,
        b'F' => Commanded::Full,
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn commands(answer: Value) -> Decoded<Vec<Bytes>> {
    let mut reply = Reply::read(answer)?;
    match reply.tag {
        b'K' => texts(&mut reply),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn due(answer: Value) -> Decoded<DuePage> {
    let mut reply = Reply::read(answer)?;
    if reply.tag != b'K' {
        return Err(reply.unexpected());
    }
    let now = time(&mut reply)?;
    let next = maybe_time(reply.next().as_ref())?;
    let found = texts(&mut reply)?;
    let (pairs, []) = found.as_chunks::<2>() else { return Err(corrupt("what is due comes without a time")) };
    let pair = |[id, at]: &[Bytes; 2]| Ok((Timestamp::from_unix_ms(number(at)?), saga_id(id)?));
    Ok(DuePage { now, next, ids: pairs.iter().map(pair).collect::<Decoded<_>>()? })
}

pub(super) fn rows(answer: Value) -> Decoded<Vec<Row>> {
    let mut reply = Reply::read(answer)?;
    if reply.tag != b'K' {
        return Err(reply.unexpected());
    }
    list(reply.next())?.into_iter().map(row).collect()
}

pub(super) fn counts(answer: Value) -> Decoded<[u64; 5]> {
    let mut reply = Reply::read(answer)?;
    if reply.tag != b'K' {
        return Err(reply.unexpected());
    }
    let mut counts = [0; 5];
    for count in &mut counts {
        *count = reply.number()?;
    }
    Ok(counts)
}

pub(super) fn pinned(answer: Value) -> Decoded<()> {
    let reply = Reply::read(answer)?;
    if reply.tag == b'K' { Ok(()) } else { Err(reply.unexpected()) }
}

pub(super) fn definition(answer: Value) -> Decoded<Option<Bytes>> {
    let mut reply = Reply::read(answer)?;
    match reply.tag {
        b'K' => text(reply.next()).map(Some),
        b'-' => Ok(None),
        _ => Err(reply.unexpected()),
    }
}

/// Into how many partitions the sagas of this Redis are divided.
pub(in super::super) fn partitions(answer: &Value) -> Decoded<u16> {
    let number = match answer {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    number.ok_or_else(|| corrupt(format!("the number of the sagas' partitions is {}", kind_of(Some(answer)))))
}

fn granted(reply: &mut Reply) -> Decoded<Granted> {
    Ok(Granted { fence: reply.fence()?, version: reply.number()?, now: time(reply)?, commands: reply.number()? == 1 })
}

fn whole(reply: &mut Reply) -> Decoded<Loaded> {
    let now = time(reply)?;
    Ok(Loaded { head: head(reply)?, entries: texts(reply)?, commands: texts(reply)?, now })
}

/// What the scripts call `told`.
fn head(reply: &mut Reply) -> Decoded<Head> {
    let fields: [Value; 12] = list(reply.next())?.try_into().map_err(|_| corrupt("a saga's head has not 12 fields"))?;
    let [state, paused, version, fence, updated, due, name, created, fingerprint, rest, answer, answer_fence] = fields;
    let answer = match (answer, answer_fence) {
        (Value::Nil, Value::Nil) => None,
        (bytes, fence) => Some(Answer { bytes: text(Some(bytes))?, fence: Fence(number(&text(Some(fence))?)?) }),
    };
    let birth = birth(&text(Some(name))?, number(&text(Some(created))?)?, &text(Some(fingerprint))?, &text(Some(rest))?)?;
    Ok(Head {
        birth,
        state: state_of(&text(Some(state))?)?,
        paused: text(Some(paused))? == "1",
        version: number(&text(Some(version))?)?,
        fence: Fence(number(&text(Some(fence))?)?),
        updated_at: Timestamp::from_unix_ms(number(&text(Some(updated))?)?),
        due_at: maybe_time(Some(&due))?,
        answer,
    })
}

/// A row: `1 <state> <paused> <version> <fence> <updated> <kept until> <name>`; then created at, fingerprint, and the rest of the birth.
fn row(value: Value) -> Decoded<Row> {
    const FINGERPRINT_AND_REST: usize = Fingerprint::LEN + REST;
    let fields: [Value; 4] = list(Some(value))?.try_into().map_err(|_| corrupt("a line of the list has not 4 fields"))?;
    let [id, row, born, due] = fields;
    let (row, born) = (text(Some(row))?, text(Some(born))?);
    let mut parts = row.splitn(8, |byte| *byte == b' ');
    let mut part = || parts.next().ok_or_else(|| corrupt("a row of the sagas' table is too short"));
    if part()? != b"1" {
        return Err(corrupt("a row of the sagas' table is not of version 1"));
    }
    let state = state_of(part()?)?;
    let paused = part()? == b"1";
    let (version, fence, updated, _kept_until) = (number(part()?)?, number(part()?)?, number(part()?)?, part()?);
    let name = part()?;
    let at = born.len().checked_sub(FINGERPRINT_AND_REST).ok_or_else(|| corrupt("a birth in the sagas' table is too short"))?;
    let (created, born) = born.split_at(at);
    let (fingerprint, rest) = born.split_at(Fingerprint::LEN);
    let head = Head {
        birth: birth(name, number(created)?, fingerprint, rest)?,
        state,
        paused,
        version,
        fence: Fence(fence),
        updated_at: Timestamp::from_unix_ms(updated),
        due_at: maybe_time(Some(&due))?,
        answer: None,
    };
    Ok(Row { id: saga_id(&text(Some(id))?)?, head })
}

/// Version, definition, starter.
const REST: usize = 4 + 32 + Fingerprint::LEN;

fn birth(name: &[u8], created: u64, fingerprint: &[u8], rest: &[u8]) -> Decoded<Birth> {
    let wrong = || corrupt("a saga's birth cannot be read");
    let rest: &[u8; REST] = rest.try_into().map_err(|_| wrong())?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    let (definition, starter) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
    Ok(Birth {
        name: std::str::from_utf8(name).map_err(|_| wrong())?.to_owned(),
        version: u32::from_be_bytes(*version),
        definition: DefinitionHash::from_bytes(*definition),
        fingerprint: Fingerprint::from_slice(fingerprint).ok_or_else(wrong)?,
        starter: Fingerprint::from_slice(starter).ok_or_else(wrong)?,
        created_at: Timestamp::from_unix_ms(created),
    })
}

fn state_of(letter: &[u8]) -> Decoded<SagaState> {
    let found = SagaState::ALL.into_iter().find(|state| encode::state(*state).as_bytes() == letter);
    found.ok_or_else(|| corrupt("a saga's state is none"))
}

fn saga_id(digits: &[u8]) -> Decoded<SagaId> {
    let id = std::str::from_utf8(digits).ok().and_then(SagaId::from_hex);
    id.ok_or_else(|| corrupt("a saga's id is not 32 hexadecimal digits"))
}

fn time(reply: &mut Reply) -> Decoded<Timestamp> {
    reply.number().map(Timestamp::from_unix_ms)
}

fn maybe_time(value: Option<&Value>) -> Decoded<Option<Timestamp>> {
    match value {
        Some(Value::Nil) => Ok(None),
        Some(Value::BulkString(digits)) => number(digits).map(Timestamp::from_unix_ms).map(Some),
        other => Err(corrupt(format!("a time is {}", kind_of(other)))),
    }
}

fn texts(reply: &mut Reply) -> Decoded<Vec<Bytes>> {
    list(reply.next())?.into_iter().map(|value| text(Some(value))).collect()
}

fn list(value: Option<Value>) -> Decoded<Vec<Value>> {
    match value {
        Some(Value::Array(values)) => Ok(values),
        other => Err(corrupt(format!("a list is {}", kind_of(other.as_ref())))),
    }
}

fn text(value: Option<Value>) -> Decoded<Bytes> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(bytes.into()),
        other => Err(corrupt(format!("a field is {}", kind_of(other.as_ref())))),
    }
}

fn number(digits: &[u8]) -> Decoded<u64> {
    digits_of(digits).ok_or_else(|| corrupt("a number is none"))
}

fn corrupt(reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt(reason.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[FREMKLGNHQA-]([0-9]{0,22} ?){0,5}",
            "[0-9]{1,22}",
            "[0-9a-f]{32}",
            "[RCDUQ]",
            "1 [RCDUQX] [01] [0-9]{1,3} [0-9]{1,3} [0-9]{1,3} 0 [a-z]{0,3}",
            "[a-z]{100,104}"
        ];
        let leaf = prop_oneof![
            1 => Just(Value::Nil),
            1 => any::<i64>().prop_map(Value::Int),
            8 => text.prop_map(|text| Value::BulkString(text.into_bytes())),
        ];
        leaf.prop_recursive(3, 60, 13, |inner| prop::collection::vec(inner, 0..13).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn any_answer_is_decoded_or_corrupt_and_nothing_panics(answer in value()) {
            let errors = [
                created(answer.clone()).err(),
                appended(answer.clone()).err(),
                held(answer.clone()).err(),
                leased(answer.clone()).err(),
                loaded(answer.clone()).err(),
                attached(answer.clone()).err(),
                commanded(answer.clone()).err(),
                commands(answer.clone()).err(),
                due(answer.clone()).err(),
                rows(answer.clone()).err(),
                row(answer.clone()).err(),
                counts(answer.clone()).err(),
                pinned(answer.clone()).err(),
                definition(answer.clone()).err(),
                partitions(&answer).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!(matches!(error, StoreError::Corrupt(_)));
            }
        }
    }
}
