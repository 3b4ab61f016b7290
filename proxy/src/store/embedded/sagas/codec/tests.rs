#![allow(clippy::unwrap_used)]
use std::fmt::Write;

use bytes::Bytes;
use proptest::prelude::*;
use saga_config::saga::DefinitionHash;

use super::*;
use crate::{
    ids::{Fingerprint, Mailbox, Owner},
    store::journal::{Answer, Birth},
};

const ID: SagaId = SagaId::from_bytes([0x77; SagaId::LEN]);

fn saga(hold: Hold) -> Saga {
    Saga {
        birth: Birth {
            name: "order".to_owned(),
            version: 3,
            definition: DefinitionHash::from_bytes([0x11; 32]),
            fingerprint: Fingerprint::from_bytes([0x22; 32]),
            starter: Fingerprint::from_bytes([0x33; 32]),
            created_at: Timestamp::from_unix_ms(1_700_000_000_000),
        },
        state: SagaState::Compensating,
        paused: true,
        version: 300,
        born: Fence(1_700_000_000_000_000),
        fence: Fence(1_700_000_000_000_001),
        owner: Owner::from_bytes([0x44; 16]),
        last_append: Some(Owner::from_bytes([0x55; 16])),
        updated_at: Timestamp::from_unix_ms(1_700_000_001_000),
        hold,
        answer: Some(Answer { bytes: Bytes::from_static(b"\x00\xffok"), fence: Fence(1) }),
        mailboxes: vec![Mailbox::from_bytes([0x66; 16])],
        waiting: vec![Owner::from_bytes([0x88; 16])],
        commands_taken: 2,
    }
}

fn holds() -> [Hold; 4] {
    let at = Timestamp::from_unix_ms(1_700_000_003_000);
    [Hold::Driven { until: at, lease_ms: 3000 }, Hold::Parked { due_at: at }, Hold::Resting, Hold::Ended { expires_at: at }]
}

/// With two entries in its tail.
fn row(hold: Hold) -> Row {
    let due = Some(DueAt { life: 7, at: Timestamp::from_unix_ms(1_700_000_002_000) });
    let before = Row { life: 7, due, in_tail: 0, saga: Saga { version: 298, ..saga(hold) }, tail: Vec::new() };
    let entries = [Bytes::from_static(b"one"), Bytes::new()];
    let (row, spill) = Row::after(Some(&before), 7, saga(hold), &entries).unwrap();
    assert!(spill.is_none());
    Row { due, ..row }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// These strings are what files in the field hold: a change here is a new [`VERSION`], and the old one must stay readable.
#[test]
fn the_layout_of_version_2_stays_as_it_is() {
    let written: Vec<String> = holds().into_iter().map(|hold| hex(&row(hold).encode().unwrap())).collect();
    let golden: Vec<&str> = include_str!("version-2.txt").lines().collect();
    assert_eq!(written, golden);
    for (line, hold) in golden.into_iter().zip(holds()) {
        let bytes: Vec<u8> = (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        assert_eq!(Row::decode(&bytes).unwrap(), row(hold));
    }
}

#[test]
fn a_tail_that_becomes_too_long_is_spilled_whole_and_in_order() {
    let (mut journal, mut last) = (Vec::new(), None::<Row>);
    for version in 1..=100_u64 {
        let entry = Bytes::from(vec![u8::try_from(version).unwrap(); 300]);
        let saga = Saga { version, ..saga(Hold::Resting) };
        let (row, spill) = Row::after(last.as_ref(), 7, saga, std::slice::from_ref(&entry)).unwrap();
        if let Some(Spill { first, entries }) = spill {
            assert_eq!(first, u64::try_from(journal.len()).unwrap());
            journal.extend(entries);
        }
        assert_eq!(row.elsewhere(), u64::try_from(journal.len()).unwrap());
        let tail = row.tail().unwrap();
        assert_eq!(tail.last().or(journal.last()), Some(&entry));
        assert!(tail.iter().map(Bytes::len).sum::<usize>() <= MAX_TAIL);
        last = Some(row);
    }
    let whole: Vec<u8> = journal.iter().chain(&last.unwrap().tail().unwrap()).map(|entry| entry[0]).collect();
    assert_eq!(whole, (1..=100).collect::<Vec<u8>>());
}

#[test]
fn the_due_index_is_never_late_and_moves_once_in_half_a_lease() {
    let (mut now, mut moves) = (Timestamp::from_unix_ms(1 << 40), 0);
    let mut due = None;
    for _ in 0..1000 {
        let hold = Hold::Driven { until: now.plus(Duration::from_millis(3000)), lease_ms: 3000 };
        let next = DueAt::of(&saga(hold), 7, due, now).unwrap();
        assert!(next.at <= now.plus(Duration::from_millis(3000)) && now.until(next.at) >= Duration::from_millis(1500));
        moves += usize::from(Some(next) != due);
        due = Some(next);
        now = now.plus(Duration::from_millis(10));
    }
    assert!(moves <= 8, "{moves}");
    let shorter = Hold::Driven { until: now.plus(Duration::from_millis(100)), lease_ms: 100 };
    assert_eq!(DueAt::of(&saga(shorter), 7, due, now).unwrap().at, now.plus(Duration::from_millis(100)));
    let parked = Hold::Parked { due_at: now };
    assert_eq!(DueAt::of(&saga(parked), 7, due, now), Some(DueAt { life: DueKey::PARKED, at: now }));
    let earlier = Some(DueAt { life: 6, at: now.plus(Duration::from_millis(90)) });
    assert_eq!(DueAt::of(&saga(shorter), 7, earlier, now).unwrap().life, 7, "an entry of an earlier life moves");
    assert_eq!(DueAt::of(&saga(Hold::Resting), 7, due, now), None);
}

#[test]
fn the_keys_of_version_1_stay_as_they_are() {
    let (id, born) = ("77".repeat(16), "0000000000000009");
    let at = Timestamp::from_unix_ms(5);
    assert_eq!(hex(&PartKey::to_bytes(ID, Fence(9), 300)), format!("{id}{born}000000000000012c"));
    assert_eq!(hex(&GarbageKey::to_bytes(ID, Fence(9))), format!("{id}{born}"));
    assert_eq!(hex(&ExpiryKey::to_bytes(at, ID)), format!("0000000000000005{id}"));
    assert_eq!(hex(&DueKey::to_bytes(7, at, ID)), format!("00000000000000070000000000000005{id}"));
    assert_eq!(hex(&DueKey::to_bytes(DueKey::PARKED, at, ID)), format!("ffffffffffffffff0000000000000005{id}"));
    let list = |name, state| hex(&ListKey::to_bytes(ListKey::prefix(name, state), at, ID));
    assert_eq!(list(None, SagaState::Quarantined), format!("00040000000000000005{id}"));
    assert_eq!(list(Some("ab"), SagaState::Running), format!("01000000026162000000000000000005{id}"));
}

#[test]
fn keys_keep_their_content() {
    let (at, born) = (Timestamp::from_unix_ms(1 << 40), Fence(1 << 50));
    assert_eq!(GarbageKey::from_bytes(&GarbageKey::to_bytes(ID, born)), (ID, born));
    assert_eq!(ExpiryKey::from_bytes(&ExpiryKey::to_bytes(at, ID)), (at, ID));
    assert_eq!(DueKey::from_bytes(&DueKey::to_bytes(3, at, ID)), (at, ID));
    let list = ListKey::to_bytes(ListKey::prefix(Some("order"), SagaState::Running), at, ID);
    assert_eq!(ListKey::from_bytes(&list), Some((at, ID)));
    assert_eq!(ListKey::from_bytes(&list[..20]), None);
}

#[test]
fn what_an_earlier_life_left_with_its_driver_is_due_and_timers_keep_their_time() {
    let life = Life { number: 8, since: Timestamp::from_unix_ms(1_700_000_002_000) };
    for hold in holds() {
        let adopted = life.adopt_saga(7, saga(hold));
        let expected = if matches!(hold, Hold::Driven { .. }) { Some(life.since) } else { hold.due_at() };
        assert_eq!((adopted.hold.due_at(), adopted.mailboxes.len()), (expected, 0), "{hold:?}");
        assert_eq!(life.adopt_saga(8, saga(hold)), saga(hold));
    }
}

#[test]
fn an_unknown_layout_is_named() {
    assert_eq!(Row::decode(&[1, 0]).unwrap_err(), CodecError::Version(1));
    assert_eq!(Row::decode(&[]).unwrap_err(), CodecError::Empty);
    let mut long = row(Hold::Resting).encode().unwrap();
    long.push(0);
    assert_eq!(Row::decode(&long).unwrap().tail().unwrap_err(), CodecError::Trailing(1));
    long.pop();
    long[0] = 3;
    assert_eq!(Row::decode(&long).unwrap_err(), CodecError::Version(3));
}

proptest! {
    #[test]
    fn decoding_damaged_sagas_never_panics(at in 0_usize..1000, bits in any::<u8>(), cut in 0_usize..1000) {
        let mut value = row(holds()[0]).encode().unwrap();
        let len = value.len();
        value[at % len] ^= bits;
        value.truncate(len.saturating_sub(cut % len));
        let _ = Row::decode(&value).and_then(|row| row.tail());
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(mut value in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Row::decode(&value).and_then(|row| row.tail());
        if !value.is_empty() {
            value[0] = VERSION;
        }
        let _ = Row::decode(&value).and_then(|row| row.tail());
    }
}
