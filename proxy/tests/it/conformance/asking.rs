//! Rules for a driver that only asks what became of a step: where the step would begin, it is sealed.

use std::time::Duration;

use refrain::{
    store::{
        Absence, Claim, Claimed, FirstSend, OnAbsent, OnUnknown, ProbeVerdict, Resolution, Settle, Settled, Store, Undo, Undone,
    },
    time::Timestamp,
};

use super::{
    barrier::{step, undo_of},
    *,
};

/// The same step's call by somebody who only asks.
fn asking(step: &Claim) -> Claim {
    Claim { on_absent: OnAbsent::Seal(Absence::Proof), ..again(step) }
}

async fn answers(store: &impl Store, claim: &Claim, expected: Claimed) {
    assert_eq!(store.claim(claim.clone()).await.unwrap(), expected);
}

pub(crate) async fn asking_for_a_step_that_never_came_cancels_it(on: Setup<impl Store>) {
    let step = step();
    let asks = asking(&step);
    answers(&on.a.store, &asks, Claimed::Sealed).await;
    answers(&on.a.store, &asks, Claimed::Sealed).await;
    answers(&on.b.store, &again(&step), Claimed::Sealed).await;
    let Undone::Own(Claimed::Replay(done)) = on.b.store.undo(undo_of(&step)).await.unwrap() else { panic!("it was sent") };
    assert!(done.is_nothing_to_undo());
}

pub(crate) async fn asking_for_a_step_that_may_be_forgotten_cancels_it_and_tells_that_nobody_knows(on: Setup<impl Store>) {
    on.a.store.hash_key().await.unwrap();
    let long_ago = FirstSend { at: Timestamp::from_unix_ms(1), kept_for: Duration::from_secs(1 << 40) };
    for absence in [Absence::NoProof, Absence::ProofSince(long_ago)] {
        let step = step();
        let asks = Claim { on_absent: OnAbsent::Seal(absence), ..again(&step) };
        answers(&on.a.store, &asks, Claimed::Unknown { probing: false }).await;
        answers(&on.b.store, &asking(&step), Claimed::Unknown { probing: false }).await;
        answers(&on.b.store, &again(&step), Claimed::Sealed).await;
        let Undone::Own(Claimed::Fresh(_)) = on.b.store.undo(undo_of(&step)).await.unwrap() else { panic!("it was not sent") };
    }
}

pub(crate) async fn asking_changes_nothing_of_a_step_in_flight_done_or_unknown(on: Setup<impl Store>) {
    let step = step();
    let grant = fresh(&on.a.store, &step).await;
    let Claimed::InFlight { .. } = on.b.store.claim(asking(&step)).await.unwrap() else { panic!("not in flight") };
    let other = Claim { fingerprint: Fingerprint::from_bytes([9; 32]), ..asking(&step) };
    answers(&on.b.store, &other, Claimed::Mismatch).await;
    on.a.store.doubt(token(&step, grant.fence)).await.unwrap();
    for on_unknown in [OnUnknown::Hold, OnUnknown::Resend] {
        let asks = Claim { on_unknown, ..asking(&step) };
        answers(&on.b.store, &asks, Claimed::Unknown { probing: false }).await;
    }
    on.a.store.complete(completion(&step, grant, b"late")).await.unwrap();
    assert_eq!(replayed(&on.b.store, &asking(&step)).await.response.as_ref(), b"late");
}

pub(crate) async fn asking_where_an_operator_said_not_done_cancels_the_step(on: Setup<impl Store>) {
    let (step, _) = lapsed(&on.a.store).await;
    on.a.store.resolve(step.name, Resolution::NotDone).await.unwrap();
    answers(&on.b.store, &asking(&step), Claimed::Sealed).await;
    answers(&on.b.store, &again(&step), Claimed::Sealed).await;
}

pub(crate) async fn asking_where_the_service_says_not_done_cancels_the_step(on: Setup<impl Store>) {
    let (step, _) = lapsed(&on.a.store).await;
    let asks = Claim { on_unknown: OnUnknown::Probe { lease: LONG }, ..asking(&step) };
    let Claimed::Probe { fence, .. } = on.b.store.claim(asks.clone()).await.unwrap() else { panic!("no prober") };
    let settle = Settle { name: step.name, prober: asks.owner, fence, verdict: ProbeVerdict::Seal { ttl: LONG } };
    let stranger = Settle { prober: Owner::random(), ..settle.clone() };
    assert_eq!(on.a.store.settle(stranger).await.unwrap(), Settled::Lost);
    assert_eq!(on.b.store.settle(settle).await.unwrap(), Settled::Sealed);
    answers(&on.a.store, &again(&step), Claimed::Sealed).await;
}

pub(crate) async fn who_asks_is_not_told_that_nothing_was_done_when_the_step_is_being_undone(on: Setup<impl Store>) {
    let (step, _) = lapsed(&on.a.store).await;
    let asks = Claim { on_unknown: OnUnknown::Probe { lease: LONG }, ..asking(&step) };
    let Claimed::Probe { fence, .. } = on.b.store.claim(asks.clone()).await.unwrap() else { panic!("no prober") };
    let undo = Undo { knows_done: true, ..undo_of(&step) };
    let Undone::Own(Claimed::Fresh(_)) = on.a.store.undo(undo).await.unwrap() else { panic!("it was not sent") };
    let settle = Settle { name: step.name, prober: asks.owner, fence, verdict: ProbeVerdict::Seal { ttl: LONG } };
    assert_eq!(on.b.store.settle(settle).await.unwrap(), Settled::Lost);
    answers(&on.b.store, &asking(&step), Claimed::Unknown { probing: false }).await;
}
