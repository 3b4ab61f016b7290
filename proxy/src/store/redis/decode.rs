//! The answers of the scripts. What is not one of them is [`StoreError::Corrupt`]; nothing panics.

use std::{ops::Range, time::Duration, vec};

use bytes::Bytes;
use redis::Value;

use super::{
    super::{
        Claimed, Completed, Done, Grant, Held, Inspection, ProbeVerdict, Reserved, Resolved, Settle, Settled, Standing,
        StoreError, Undone,
    },
    facts::kind_of,
};
use crate::ids::{Fence, HashKey};

pub(super) type Decoded<T> = Result<T, StoreError>;

pub(super) fn claimed(answer: Value) -> Decoded<Claimed> {
    claim_of(Reply::read(answer)?)
}

pub(super) fn undone(answer: Value) -> Decoded<Undone> {
    let mut reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'i' => Undone::StepInFlight { left: reply.duration()? },
        b'u' => Undone::StepUnknown { probing: reply.number()? == 1 },
        b'p' => {
            let (fence, sent_ago) = (reply.fence()?, reply.duration()?);
            Undone::StepProbe { fence, sent_ago, note: reply.bytes("a note")? }
        }
        _ => Undone::Own(claim_of(reply)?),
    })
}

fn claim_of(mut reply: Reply) -> Decoded<Claimed> {
    Ok(match reply.tag {
        b'F' => Claimed::Fresh(reply.grant()?),
        b'T' => Claimed::Retake(reply.grant()?),
        b'D' => Claimed::Replay(reply.done()?),
        b'M' => Claimed::Mismatch,
        b'S' => Claimed::Sealed,
        b'I' => Claimed::InFlight { left: reply.duration()? },
        b'U' => Claimed::Unknown { probing: reply.number()? == 1 },
        b'P' => Claimed::Probe { fence: reply.fence()?, attempt: reply.attempt()?, sent_ago: reply.duration()? },
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn completed(answer: Value) -> Decoded<Completed> {
    let mut reply = Reply::read(answer)?;
    Ok(match reply.tag {
        b'K' => Completed::Kept,
        b'A' => Completed::Already,
        b'X' if reply.is_bare() => Completed::Fenced(None),
        b'X' => Completed::Fenced(Some(reply.done()?)),
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn held(answer: Value) -> Decoded<Held> {
    let reply = Reply::read(answer)?;
    match reply.tag {
        b'K' => Ok(Held::Kept),
        b'L' => Ok(Held::Lost),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn settled(answer: Value, settle: Settle) -> Decoded<Settled> {
    let mut reply = Reply::read(answer)?;
    Ok(match (reply.tag, settle.verdict) {
        (b'D', _) => Settled::Done(reply.done()?),
        (b'W', ProbeVerdict::Done { response, .. }) => {
            Settled::Done(Done { response, fence: reply.fence()?, attempt: reply.attempt()?, ttl_left: reply.duration()? })
        }
        (b'T', _) => Settled::Retake(reply.grant()?),
        (b'S', _) => Settled::Sealed,
        (b'U', _) => Settled::Freed,
        (b'L', _) => Settled::Lost,
        _ => return Err(reply.unexpected()),
    })
}

pub(super) fn resolved(answer: Value) -> Decoded<Resolved> {
    let reply = Reply::read(answer)?;
    match reply.tag {
        b'K' => Ok(Resolved::Applied),
        b'A' => Ok(Resolved::Absent),
        b'N' => Ok(Resolved::NotUnknown),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn forgotten(answer: Value) -> Decoded<bool> {
    let reply = Reply::read(answer)?;
    match reply.tag {
        b'1' => Ok(true),
        b'0' => Ok(false),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn inspected(answer: Value) -> Decoded<Option<Inspection>> {
    let mut reply = Reply::read(answer)?;
    if reply.tag == b'-' {
        return Ok(None);
    }
    if reply.tag == b'D' {
        let Done { response, fence, attempt, ttl_left } = reply.done()?;
        return Ok(Some(Inspection { standing: Standing::Done(response), attempt, fence, ttl_left }));
    }
    let (fence, attempt, ttl_left) = (reply.fence()?, reply.attempt()?, reply.duration()?);
    let standing = match reply.tag {
        b'I' => Standing::InFlight { left: reply.duration()? },
        b'U' => Standing::Unknown,
        b'S' => Standing::Sealed,
        _ => return Err(reply.unexpected()),
    };
    Ok(Some(Inspection { standing, attempt, fence, ttl_left }))
}

pub(super) fn reserved(answer: Value) -> Decoded<Reserved> {
    let reply = Reply::read(answer)?;
    match reply.tag {
        b'O' => Ok(Reserved::Ours),
        b'T' => Ok(Reserved::Theirs),
        _ => Err(reply.unexpected()),
    }
}

pub(super) fn unreserved(answer: Value) -> Decoded<()> {
    held(answer).map(|_| ())
}

pub(super) fn hash_key(answer: &Value) -> Decoded<HashKey> {
    match answer {
        Value::BulkString(bytes) => HashKey::from_slice(bytes),
        _ => None,
    }
    .ok_or_else(|| StoreError::Corrupt(format!("the key of record names is {}", kind_of(Some(answer)))))
}

/// A tag of one letter and the fields behind it, with blanks between them; and where there are fields that are no numbers, an array of
/// that and them.
pub(super) struct Reply {
    pub(super) tag: u8,
    head: Vec<u8>,
    /// What is left of the head.
    rest: Range<usize>,
    fields: vec::IntoIter<Value>,
}

impl Reply {
    pub(super) fn read(answer: Value) -> Decoded<Self> {
        let (head, fields) = match answer {
            Value::Array(values) => {
                let mut fields = values.into_iter();
                (fields.next(), fields)
            }
            bare => (Some(bare), Vec::new().into_iter()),
        };
        match head {
            Some(Value::BulkString(head)) if !head.is_empty() => Ok(Self { tag: head[0], rest: 1..head.len(), head, fields }),
            other => Err(StoreError::Corrupt(format!("the answer's tag is {}", kind_of(other.as_ref())))),
        }
    }

    pub(super) fn is_bare(&self) -> bool {
        self.rest.is_empty() && self.fields.len() == 0
    }

    pub(super) fn unexpected(&self) -> StoreError {
        StoreError::Corrupt(format!("the answer's tag {:?} is not known", char::from(self.tag)))
    }

    pub(super) fn wrong(&self, wanted: &str, got: Option<&Value>) -> StoreError {
        StoreError::Corrupt(format!("the answer {:?} needs {wanted} where it is {}", char::from(self.tag), kind_of(got)))
    }

    pub(super) fn number(&mut self) -> Decoded<u64> {
        if !self.rest.is_empty() {
            return self.number_of_head();
        }
        let value = self.fields.next();
        match &value {
            Some(Value::Int(number)) => u64::try_from(*number).ok(),
            Some(Value::BulkString(digits)) => number(digits),
            _ => None,
        }
        .ok_or_else(|| self.wrong("a number", value.as_ref()))
    }

    fn number_of_head(&mut self) -> Decoded<u64> {
        let digits = self.head[self.rest.clone()].split(|byte| *byte == b' ').next().unwrap_or_default();
        self.rest.start = (self.rest.start + digits.len() + 1).min(self.rest.end);
        number(digits).ok_or_else(|| self.wrong("a number", None))
    }

    fn attempt(&mut self) -> Decoded<u32> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| StoreError::Corrupt("the attempt is out of range".to_owned()))
    }

    pub(super) fn fence(&mut self) -> Decoded<Fence> {
        self.number().map(Fence)
    }

    pub(super) fn duration(&mut self) -> Decoded<Duration> {
        self.number().map(Duration::from_millis)
    }

    pub(super) fn next(&mut self) -> Option<Value> {
        self.fields.next()
    }

    fn grant(&mut self) -> Decoded<Grant> {
        Ok(Grant { fence: self.fence()?, attempt: self.attempt()? })
    }

    fn bytes(&mut self, wanted: &str) -> Decoded<Bytes> {
        match self.fields.next() {
            Some(Value::BulkString(bytes)) => Ok(Bytes::from(bytes)),
            other => Err(self.wrong(wanted, other.as_ref())),
        }
    }

    fn done(&mut self) -> Decoded<Done> {
        let response = self.bytes("a response")?;
        Ok(Done { response, fence: self.fence()?, attempt: self.attempt()?, ttl_left: self.duration()? })
    }
}

/// Decimal digits, and nothing else.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Owner, RecordName};

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[FTDMSIUPKAXLNWO01iup-]([0-9]{0,22} ?){0,4}", "[0-9]{1,22}", "[a-z]{0,3}"];
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<i64>().prop_map(Value::Int),
            text.prop_map(|text| Value::BulkString(text.into_bytes())),
            Just(Value::Okay),
        ];
        prop_oneof![leaf.clone(), prop::collection::vec(leaf, 0..6).prop_map(Value::Array)]
    }

    #[test]
    fn numbers_come_behind_the_tag_and_what_is_no_number_after_them() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let done = Done { response: "x y".into(), fence: Fence(17), attempt: 2, ttl_left: Duration::from_millis(3000) };
        assert_eq!(claimed(Value::Array(vec![text("D17 2 3000"), text("x y")])), Ok(Claimed::Replay(done)));
        assert_eq!(claimed(text("F17 1")), Ok(Claimed::Fresh(Grant { fence: Fence(17), attempt: 1 })));
        for broken in ["F17", "F17 ", "F 17 1", "F-1 1", "F17 x", "F17 4294967296", "F18446744073709551616 1", "D17 2 3000"] {
            assert!(matches!(claimed(text(broken)), Err(StoreError::Corrupt(_))), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_decoded_or_corrupt_and_nothing_panics(answer in value()) {
            let settle = Settle {
                name: RecordName::from_bytes([1; 32]),
                prober: Owner::from_bytes([2; 16]),
                fence: Fence(3),
                verdict: ProbeVerdict::Done { response: Bytes::new(), ttl: Duration::ZERO },
            };
            let errors = [
                claimed(answer.clone()).err(),
                undone(answer.clone()).err(),
                completed(answer.clone()).err(),
                held(answer.clone()).err(),
                settled(answer.clone(), settle).err(),
                resolved(answer.clone()).err(),
                forgotten(answer.clone()).err(),
                inspected(answer.clone()).err(),
                reserved(answer.clone()).err(),
                unreserved(answer.clone()).err(),
                hash_key(&answer).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!(matches!(error, StoreError::Corrupt(_)));
            }
        }
    }
}
