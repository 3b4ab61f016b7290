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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// These strings are what files in the field hold: a change here is a new [`VERSION`], and the old one must stay readable.
#[test]
fn the_layout_of_version_1_stays_as_it_is() {
    let written: Vec<String> = holds().into_iter().map(|hold| hex(&encode(7, &saga(hold)).unwrap())).collect();
    let golden: Vec<&str> = include_str!("version-1.txt").lines().collect();
    assert_eq!(written, golden);
    for (line, hold) in golden.into_iter().zip(holds()) {
        let bytes: Vec<u8> = (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        assert_eq!(decode(&bytes).unwrap(), (7, saga(hold)));
    }
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
    assert_eq!(decode(&[2, 0]).unwrap_err(), CodecError::Version(2));
    assert_eq!(decode(&[]).unwrap_err(), CodecError::Empty);
    let mut long = encode(1, &saga(Hold::Resting)).unwrap();
    long.push(0);
    assert_eq!(decode(&long).unwrap_err(), CodecError::Trailing(1));
}

proptest! {
    #[test]
    fn decoding_damaged_sagas_never_panics(at in 0_usize..1000, bits in any::<u8>(), cut in 0_usize..1000) {
        let mut value = encode(7, &saga(holds()[0])).unwrap();
        let len = value.len();
        value[at % len] ^= bits;
        value.truncate(len.saturating_sub(cut % len));
        let _ = decode(&value);
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(mut value in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&value);
        if !value.is_empty() {
            value[0] = VERSION;
        }
        let _ = decode(&value);
    }
}
