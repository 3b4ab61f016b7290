//! What only the rules themselves show: steps of the clock, and whom a step wakes. The rest is the conformance suite's.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    ids::SagaId,
    store::journal::{SagaToken, fixture},
};

const START: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const LEASE: Duration = Duration::from_secs(3);

fn owner(n: u8) -> Owner {
    Owner::from_bytes([n; 16])
}

fn mailbox(n: u8) -> Mailbox {
    Mailbox::from_bytes([n; 16])
}

fn creation() -> Create {
    fixture::creation(SagaId::from_bytes([3; 16]), owner(1), LEASE)
}

fn created() -> Saga {
    *create(None, &creation(), START).put.unwrap()
}

fn addition(saga: &Saga, state: SagaState, next: Next) -> Append {
    Append {
        token: SagaToken { id: creation().id, owner: saga.owner, fence: saga.fence },
        expected: saga.version,
        nonce: owner(100),
        entries: Vec::new(),
        state,
        paused: false,
        commands_taken: 0,
        next,
    }
}

#[test]
fn a_lease_that_a_step_of_the_clock_made_too_long_lapses_after_its_length() {
    let saga = created();
    let stepped_back = Timestamp::from_unix_ms(START.as_unix_ms() - 3_600_000);
    let asked = lease(Some(&saga), owner(2), LEASE, stepped_back);
    assert_eq!(asked.outcome, Taken::NotDue(Some(LEASE)));
    let cut = *asked.put.expect("the lease is cut");
    assert_eq!(cut.hold.due_at(), Some(stepped_back.plus(LEASE)));
    let lapsed = stepped_back.plus(LEASE);
    let Taken::Granted(taken) = lease(Some(&cut), owner(2), LEASE, lapsed).outcome else { panic!("not granted") };
    assert!(taken.fence > saga.fence, "the fence grows though the clock went back: {:?}", taken.fence);
    assert_eq!((taken.owner, taken.hold.due_at()), (owner(2), Some(lapsed.plus(LEASE))));
}

#[test]
fn a_new_saga_under_the_id_of_one_that_is_gone_has_a_higher_fence_whatever_the_clock_says() {
    let end = Next::End { answer: Bytes::new(), retention: Duration::ZERO };
    let saga = created();
    let gone = *append(Some(&saga), &addition(&saga, SagaState::Completed, end), START).put.unwrap();
    assert!(gone.live(START).is_some(), "kept for a millisecond at least");
    let later = START.plus(Duration::from_millis(1));
    let ahead = Saga { fence: Fence(later.as_unix_us() + 5), ..gone };
    let Created::Fresh(granted) = create(Some(&ahead), &creation(), later).outcome else { panic!("not fresh") };
    assert_eq!(granted.fence, Fence(later.as_unix_us() + 6));
}

#[test]
fn word_is_sent_once_to_each_mailbox_at_quarantine_and_at_the_end_only() {
    let mut saga = created();
    for n in [1, 2, 1] {
        saga = attach(Some(&saga), Some(mailbox(n)), START).put.map_or(saga, |put| *put);
    }
    let rest = Next::Rest { answer: None };
    let end = Next::End { answer: Bytes::new(), retention: LEASE };
    let both = vec![mailbox(1), mailbox(2)];
    for (state, next, woken) in [
        (SagaState::Running, Next::Run { lease: LEASE }, vec![]),
        (SagaState::Compensating, Next::Park { due_in: LEASE }, vec![]),
        (SagaState::Quarantined, rest, both.clone()),
        (SagaState::Completed, end.clone(), both),
    ] {
        let step = append(Some(&saga), &addition(&saga, state, next), START);
        assert_eq!(step.wake, woken, "{state:?}");
        let left = step.put.unwrap().mailboxes.len();
        assert_eq!(left, 2 - woken.len(), "{state:?}");
    }
    let ended = *append(Some(&saga), &addition(&saga, SagaState::Completed, end), START).put.unwrap();
    let late = attach(Some(&ended), Some(mailbox(3)), START);
    assert_eq!((late.put, late.outcome.unwrap().head.state), (None, SagaState::Completed));
}

#[test]
fn only_so_many_mailboxes_are_registered() {
    let mut saga = created();
    for n in 0..=u8::MAX {
        saga = attach(Some(&saga), Some(mailbox(n)), START).put.map_or(saga, |put| *put);
        let other = Create { owner: owner(2), mailbox: Some(mailbox(n)), ..creation() };
        saga = create(Some(&saga), &other, START).put.map_or(saga, |put| *put);
    }
    assert_eq!(saga.mailboxes.len(), MAX_MAILBOXES);
}

#[test]
fn a_repeat_by_the_owner_changes_nothing() {
    let saga = created();
    assert_eq!(create(Some(&saga), &creation(), START.plus(LEASE * 2)).put, None);
    let more = Append { entries: vec!["more".into()], ..addition(&saga, SagaState::Running, Next::Run { lease: LEASE }) };
    let step = append(Some(&saga), &more, START);
    assert_eq!(step.entries, ["more"]);
    let grown = *step.put.unwrap();
    let again = append(Some(&grown), &more, START.plus(LEASE));
    assert_eq!((again.put, again.entries), (None, Vec::new()));
}
