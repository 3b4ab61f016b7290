//! Rules of the barrier: a step, its undo, and a step that comes after its undo.

use std::time::Duration;

use refrain::{
    store::{
        Absence, Claim, Claimed, Completed, FirstSend, OnStepUnknown, OnUnknown, ProbeVerdict, Resolution, Settle, Settled,
        Standing, Store, Undo, Undone, undo::CLOCKS_DIFFER_BY,
    },
    time::Timestamp,
};

use super::*;

/// The claim of a step that can be undone.
pub(super) fn step() -> Claim {
    Claim { note: Bytes::from_static(b"how to ask"), ..claim() }
}

/// The undo of this step, by a new owner: it knows nothing, and holds what is unknown.
pub(super) fn undo_of(step: &Claim) -> Undo {
    let near = step.name.neighbourhood();
    let mut own = *name().as_bytes();
    own[..near.len()].copy_from_slice(near);
    Undo {
        claim: Claim { name: RecordName::from_bytes(own), ..claim() },
        step: step.name,
        knows_done: false,
        absence: Absence::Proof,
        on_step_unknown: OnStepUnknown::Hold,
    }
}

fn by_another(undo: &Undo) -> Undo {
    Undo { claim: again(&undo.claim), ..undo.clone() }
}

/// Undoes, and expects that it may be sent.
async fn sent(store: &impl Store, undo: &Undo) -> Grant {
    match store.undo(undo.clone()).await.unwrap() {
        Undone::Own(Claimed::Fresh(grant)) => grant,
        other => panic!("expected Fresh, got {other:?}"),
    }
}

/// Undoes, and expects that there is nothing to undo.
async fn nothing(store: &impl Store, undo: &Undo) -> Done {
    match store.undo(undo.clone()).await.unwrap() {
        Undone::Own(Claimed::Replay(done)) if done.is_nothing_to_undo() => done,
        other => panic!("expected nothing to undo, got {other:?}"),
    }
}

async fn is_sealed(store: &impl Store, step: &Claim) {
    assert_eq!(store.claim(again(step)).await.unwrap(), Claimed::Sealed);
    let other = Claim { fingerprint: Fingerprint::from_bytes([9; 32]), ..again(step) };
    assert_eq!(store.claim(other).await.unwrap(), Claimed::Sealed, "whatever it asks for");
}

/// A step whose send was given up: unknown.
async fn doubted(store: &impl Store) -> (Claim, Token) {
    let step = step();
    let grant = fresh(store, &step).await;
    let token = token(&step, grant.fence);
    store.doubt(token).await.unwrap();
    (step, token)
}

const PROBE: OnStepUnknown = OnStepUnknown::Probe { lease: LONG, otherwise: None };

async fn asks(store: &impl Store, undo: &Undo) -> Fence {
    match store.undo(undo.clone()).await.unwrap() {
        Undone::StepProbe { fence, note, .. } => {
            assert_eq!(note.as_ref(), b"how to ask");
            fence
        }
        other => panic!("expected StepProbe, got {other:?}"),
    }
}

fn settle(undo: &Undo, fence: Fence, verdict: ProbeVerdict) -> Settle {
    Settle { name: undo.step, prober: undo.claim.owner, fence, verdict }
}

pub(crate) async fn an_undo_before_its_step_has_nothing_to_undo_and_the_step_is_cancelled(on: Setup<impl Store>) {
    let step = step();
    let undo = undo_of(&step);
    let first = nothing(&on.a.store, &undo).await;
    assert_eq!(first.attempt, 0, "nothing was sent");
    is_sealed(&on.b.store, &step).await;
    for repeat in [undo.clone(), by_another(&undo)] {
        let again = nothing(&on.b.store, &repeat).await;
        assert_eq!((again.fence, again.attempt), (first.fence, 0), "it is recorded, and replayed");
    }
    let other = Claim { fingerprint: Fingerprint::from_bytes([9; 32]), ..again(&undo.claim) };
    assert_eq!(on.a.store.undo(Undo { claim: other, ..undo }).await.unwrap(), Undone::Own(Claimed::Mismatch));
}

pub(crate) async fn another_undo_of_a_step_that_never_ran_has_nothing_to_undo_either(on: Setup<impl Store>) {
    let step = step();
    nothing(&on.a.store, &undo_of(&step)).await;
    nothing(&on.b.store, &Undo { absence: Absence::NoProof, ..undo_of(&step) }).await;
    sent(&on.b.store, &Undo { knows_done: true, ..undo_of(&step) }).await;
}

pub(crate) async fn a_step_that_may_be_forgotten_is_undone_and_cancelled(on: Setup<impl Store>) {
    let health = on.a.store.hash_key().await.map(|_| on.a.store.health()).unwrap();
    let since = health.remembers_since.expect("a store that was reached knows");
    let first = |at: Timestamp, kept_for| Absence::ProofSince(FirstSend { at, kept_for });
    let ago = |ms| Timestamp::from_unix_ms(since.as_unix_ms() - ms);
    let ahead = since.plus(Duration::from_secs(3600));
    for (absence, knows_done, why) in [
        (Absence::NoProof, false, "nobody says when it was sent"),
        (Absence::Proof, true, "its driver has its answer"),
        (first(ago(60_000), LONG * 1000), false, "it was sent before the store began to remember"),
        (first(since, LONG), false, "the clocks may differ"),
        (first(since.plus(CLOCKS_DIFFER_BY), Duration::ZERO), false, "its record may have expired"),
        (first(ahead, LONG), false, "the clocks do differ"),
    ] {
        let step = step();
        let undo = Undo { absence, knows_done, ..undo_of(&step) };
        match on.a.store.undo(undo.clone()).await.unwrap() {
            Undone::Own(Claimed::Fresh(grant)) => assert_eq!(grant.attempt, 1),
            other => panic!("{why}: {other:?}"),
        }
        is_sealed(&on.b.store, &step).await;
    }
    let remembered = Undo { absence: first(since.plus(CLOCKS_DIFFER_BY), LONG), ..undo_of(&step()) };
    nothing(&on.a.store, &remembered).await;
}

pub(crate) async fn an_undo_waits_for_a_step_in_flight_and_is_sent_when_it_is_done(on: Setup<impl Store>) {
    for knows_done in [false, true] {
        let step = step();
        let grant = fresh(&on.a.store, &step).await;
        let undo = Undo { knows_done, ..undo_of(&step) };
        let Undone::StepInFlight { left } = on.b.store.undo(undo.clone()).await.unwrap() else { panic!("not in flight") };
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
        assert_eq!(on.b.store.inspect(undo.claim.name).await.unwrap(), None, "it has not begun");
        on.a.store.complete(completion(&step, grant, b"done")).await.unwrap();
        sent(&on.b.store, &undo).await;
        assert_eq!(replayed(&on.a.store, &again(&step)).await.response.as_ref(), b"done", "a done step is replayed as ever");
    }
}

pub(crate) async fn an_unknown_step_is_held_until_its_time_has_passed(on: Setup<impl Store>) {
    let (step, old) = doubted(&on.a.store).await;
    let undo = undo_of(&step);
    for (on_step_unknown, held) in [
        (OnStepUnknown::Hold, true),
        (OnStepUnknown::Send { after: LONG }, true),
        (OnStepUnknown::Send { after: Duration::ZERO }, false),
    ] {
        let answer = on.b.store.undo(Undo { on_step_unknown, ..undo.clone() }).await.unwrap();
        assert_eq!(answer == Undone::StepUnknown { probing: false }, held, "{on_step_unknown:?}: {answer:?}");
        assert_eq!(matches!(answer, Undone::Own(Claimed::Fresh(_))), !held);
    }
    is_sealed(&on.a.store, &step).await;
    let late = completion(&step, Grant { fence: old.fence, attempt: 1 }, b"late");
    assert_eq!(on.a.store.complete(late).await.unwrap(), Completed::Fenced(None), "too late: it is being undone");
    assert_eq!(on.a.store.extend(vec![renewal(&step, old.fence)]).await.unwrap(), [refrain::store::Held::Lost]);
}

pub(crate) async fn a_step_that_its_driver_knows_to_be_done_is_undone_though_its_record_is_unknown(on: Setup<impl Store>) {
    let (step, _) = doubted(&on.a.store).await;
    sent(&on.b.store, &Undo { knows_done: true, ..undo_of(&step) }).await;
    is_sealed(&on.a.store, &step).await;
}

pub(crate) async fn an_operators_word_that_a_step_was_not_done_is_believed(on: Setup<impl Store>) {
    let (step, _) = doubted(&on.a.store).await;
    on.a.store.resolve(step.name, Resolution::NotDone).await.unwrap();
    nothing(&on.b.store, &undo_of(&step)).await;
    is_sealed(&on.a.store, &step).await;
}

pub(crate) async fn one_undo_at_a_time_asks_for_its_step(on: Setup<impl Store>) {
    let (step, old) = doubted(&on.a.store).await;
    let undo = Undo { on_step_unknown: PROBE, ..undo_of(&step) };
    assert_eq!(asks(&on.a.store, &undo).await, old.fence);
    assert_eq!(asks(&on.a.store, &undo).await, old.fence, "a repeat is its own");
    let impatient = OnStepUnknown::Send { after: Duration::ZERO };
    for other in [by_another(&undo), Undo { on_step_unknown: impatient, ..by_another(&undo) }] {
        assert_eq!(on.b.store.undo(other).await.unwrap(), Undone::StepUnknown { probing: true });
    }
    assert_eq!(on.b.store.claim(again(&step)).await.unwrap(), Claimed::Unknown { probing: true });
    assert_eq!(on.a.store.release(step.name, undo.claim.owner, None).await.unwrap(), refrain::store::Held::Kept);
    asks(&on.b.store, &by_another(&undo)).await;
}

pub(crate) async fn a_step_that_is_found_done_is_undone(on: Setup<impl Store>) {
    let (step, _) = doubted(&on.a.store).await;
    let undo = Undo { on_step_unknown: PROBE, ..undo_of(&step) };
    let fence = asks(&on.b.store, &undo).await;
    let verdict = ProbeVerdict::Done { response: Bytes::from_static(b"found"), ttl: LONG };
    let Settled::Done(_) = on.b.store.settle(settle(&undo, fence, verdict)).await.unwrap() else { panic!("not settled") };
    sent(&on.b.store, &undo).await;
    assert_eq!(replayed(&on.a.store, &again(&step)).await.response.as_ref(), b"found");
}

pub(crate) async fn a_step_that_is_found_not_done_is_cancelled_and_there_is_nothing_to_undo(on: Setup<impl Store>) {
    let (step, old) = doubted(&on.a.store).await;
    let undo = Undo { on_step_unknown: PROBE, ..undo_of(&step) };
    let fence = asks(&on.b.store, &undo).await;
    let verdict = settle(&undo, fence, ProbeVerdict::Seal { ttl: LONG });
    for _ in 0..2 {
        assert_eq!(on.b.store.settle(verdict.clone()).await.unwrap(), Settled::Sealed, "a repeat, too");
    }
    is_sealed(&on.a.store, &step).await;
    nothing(&on.b.store, &undo).await;
    let late = completion(&step, Grant { fence: old.fence, attempt: 1 }, b"late");
    assert_eq!(on.a.store.complete(late).await.unwrap(), Completed::Fenced(None));
}

pub(crate) async fn an_undecided_question_leaves_the_step_unknown_and_the_note_in_place(on: Setup<impl Store>) {
    let (step, _) = doubted(&on.a.store).await;
    let undo = Undo { on_step_unknown: OnStepUnknown::Probe { lease: LONG, otherwise: Some(Duration::ZERO) }, ..undo_of(&step) };
    let fence = asks(&on.b.store, &undo).await;
    assert_eq!(on.b.store.settle(settle(&undo, fence, ProbeVerdict::Undecided)).await.unwrap(), Settled::Freed);
    asks(&on.a.store, &by_another(&undo)).await;
}

pub(crate) async fn a_step_without_a_note_cannot_be_asked_for(on: Setup<impl Store>) {
    let (step, token) = lapsed(&on.a.store).await;
    on.a.store.doubt(token).await.unwrap();
    let undo = Undo { on_step_unknown: PROBE, ..undo_of(&step) };
    assert_eq!(on.b.store.undo(undo.clone()).await.unwrap(), Undone::StepUnknown { probing: false });
    let otherwise = OnStepUnknown::Probe { lease: LONG, otherwise: Some(Duration::ZERO) };
    sent(&on.b.store, &Undo { on_step_unknown: otherwise, ..undo }).await;
}

pub(crate) async fn a_repeat_of_an_undo_whose_answer_was_lost_gets_the_same_fence(on: Setup<impl Store>) {
    let step = step();
    let undo = Undo { absence: Absence::NoProof, ..undo_of(&step) };
    let grant = sent(&on.a.store, &undo).await;
    assert_eq!(sent(&on.a.store, &undo).await, grant);
    let Undone::Own(Claimed::InFlight { .. }) = on.b.store.undo(by_another(&undo)).await.unwrap() else {
        panic!("not in flight")
    };
}

pub(crate) async fn an_undo_that_sent_nothing_is_sent_by_the_next_one(on: Setup<impl Store>) {
    let step = step();
    let undo = Undo { absence: Absence::NoProof, ..undo_of(&step) };
    let grant = sent(&on.a.store, &undo).await;
    on.a.store.release(undo.claim.name, undo.claim.owner, Some(grant.fence)).await.unwrap();
    let next = Undo { absence: Absence::Proof, ..by_another(&undo) };
    sent(&on.b.store, &next).await;
    is_sealed(&on.a.store, &step).await;
}

pub(crate) async fn an_undo_is_done_unknown_or_sent_again_as_any_request(on: Setup<impl Store>) {
    let step = step();
    let undo = Undo { absence: Absence::NoProof, ..undo_of(&step) };
    let grant = sent(&on.a.store, &undo).await;
    on.a.store.doubt(token(&undo.claim, grant.fence)).await.unwrap();
    let next = by_another(&undo);
    assert_eq!(on.b.store.undo(next.clone()).await.unwrap(), Undone::Own(Claimed::Unknown { probing: false }));
    let resend = Undo { claim: Claim { on_unknown: OnUnknown::Resend, ..next.claim }, ..undo.clone() };
    let Undone::Own(Claimed::Retake(grant)) = on.b.store.undo(resend.clone()).await.unwrap() else { panic!("not sent again") };
    assert_eq!(grant.attempt, 2);
    on.b.store.complete(completion(&resend.claim, grant, b"undone")).await.unwrap();
    let Undone::Own(Claimed::Replay(done)) = on.a.store.undo(by_another(&undo)).await.unwrap() else { panic!("not done") };
    assert_eq!((done.response.as_ref(), done.is_nothing_to_undo()), (b"undone".as_ref(), false));
}

pub(crate) async fn a_seal_ends_with_its_retention_and_not_before(on: Setup<impl Store>) {
    let step = step();
    let undo = undo_of(&step);
    let undo = Undo { claim: Claim { ttl: SHORT * 10, ..undo.claim }, ..undo };
    nothing(&on.a.store, &undo).await;
    assert_eq!(on.a.store.inspect(step.name).await.unwrap().map(|seen| seen.standing), Some(Standing::Sealed));
    expire(&on.a.store, step.name).await;
    fresh(&on.b.store, &step).await;

    let (longer, _) = doubted(&on.a.store).await;
    let short = Undo { knows_done: true, claim: Claim { ttl: SHORT, ..undo_of(&longer).claim }, ..undo_of(&longer) };
    on.a.store.undo(short).await.unwrap();
    let left = on.a.store.inspect(longer.name).await.unwrap().unwrap().ttl_left;
    assert!(left > LONG / 2, "a seal is kept as long as its record would have been: {left:?}");
}

pub(crate) async fn the_barrier_wakes_whoever_waits_for_the_step(on: Setup<impl Store>) {
    let (step, grant) = {
        let step = step();
        let grant = fresh(&on.a.store, &step).await;
        (step, grant)
    };
    // An undo in the other process waits for the step.
    let undo = undo_of(&step);
    let waiting = Undo { claim: Claim { mailbox: Some(on.b.wakes.mailbox()), ..undo.claim.clone() }, ..undo };
    let mut listener = on.b.wakes.listen(step.name);
    let Undone::StepInFlight { .. } = on.b.store.undo(waiting.clone()).await.unwrap() else { panic!("not in flight") };
    on.a.store.doubt(token(&step, grant.fence)).await.unwrap();
    tokio::time::timeout(PATIENCE, listener.woken()).await.expect("the undo is woken when the step is given up");

    // A step's repeat there waits for the end of a question, and an undo seals the step.
    let ask = Undo { on_step_unknown: PROBE, ..by_another(&waiting) };
    let fence = asks(&on.a.store, &ask).await;
    let repeat = Claim { mailbox: Some(on.b.wakes.mailbox()), ..again(&step) };
    let mut listener = on.b.wakes.listen(step.name);
    assert_eq!(on.b.store.claim(repeat).await.unwrap(), Claimed::Unknown { probing: true });
    on.a.store.settle(settle(&ask, fence, ProbeVerdict::Seal { ttl: LONG })).await.unwrap();
    tokio::time::timeout(PATIENCE, listener.woken()).await.expect("the repeat is woken when the step is sealed");
}
