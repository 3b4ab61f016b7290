//! Rules of the mailbox, and of the store as a whole.

use refrain::store::{Claim, Claimed, OnUnknown, ProbeVerdict, Resolution, Settle, Store, StoreError, wakes::Listener};

use super::*;

/// A process that waits for the record: it listens, then claims.
async fn waiter<S: Store>(process: &Process<S>, first: &Claim) -> Listener {
    let listener = process.wakes.listen(first.name);
    let claim = Claim { mailbox: Some(process.wakes.mailbox()), ..again(first) };
    let seen = process.store.claim(claim).await.unwrap();
    assert!(matches!(seen, Claimed::InFlight { .. } | Claimed::Unknown { .. }), "{seen:?}");
    listener
}

async fn is_woken(mut listener: Listener, why: &str) {
    tokio::time::timeout(PATIENCE, listener.woken()).await.unwrap_or_else(|_| panic!("not woken: {why}"));
}

pub(crate) async fn a_completion_wakes_waiters_in_both_processes(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    let (one, two) = (waiter(&on.a, &first).await, waiter(&on.b, &first).await);
    on.a.store.complete(completion(&first, grant, b"ok")).await.unwrap();
    is_woken(one, "own process").await;
    is_woken(two, "other process").await;
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"ok");
}

pub(crate) async fn giving_up_wakes_waiters(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    let waiting = waiter(&on.b, &first).await;
    on.a.store.doubt(token(&first, grant.fence)).await.unwrap();
    is_woken(waiting, "doubt").await;

    let first = claim();
    fresh(&on.a.store, &first).await;
    let waiting = waiter(&on.b, &first).await;
    on.a.store.release(first.name, first.owner, None).await.unwrap();
    is_woken(waiting, "release").await;
    fresh(&on.b.store, &again(&first)).await;

    let (first, _) = lapsed(&on.a.store).await;
    let second = Claim { on_unknown: OnUnknown::Resend, lease: LONG, ..again(&first) };
    let waiting = waiter(&on.b, &first).await;
    let grant = retaken(&on.a.store, &second).await;
    on.a.store.release(first.name, second.owner, Some(grant.fence)).await.unwrap();
    is_woken(waiting, "release of a later attempt, by one who waited before the retake").await;
}

pub(crate) async fn the_end_of_a_probe_wakes_waiters(on: Setup<impl Store>) {
    for verdict in [ProbeVerdict::Undecided, ProbeVerdict::Done { response: "ok".into(), ttl: LONG }] {
        let (first, _) = lapsed(&on.a.store).await;
        let prober = Claim { on_unknown: OnUnknown::Probe { lease: LONG }, ..again(&first) };
        let Claimed::Probe { fence, .. } = on.a.store.claim(prober.clone()).await.unwrap() else { panic!("no prober") };
        let waiting = waiter(&on.b, &first).await;
        let why = format!("{verdict:?}");
        on.a.store.settle(Settle { name: first.name, prober: prober.owner, fence, verdict }).await.unwrap();
        is_woken(waiting, &why).await;
    }
}

pub(crate) async fn an_operator_wakes_waiters(on: Setup<impl Store>) {
    for resolution in [Resolution::NotDone, Resolution::Done { response: "ok".into(), ttl: LONG }] {
        let (first, _) = lapsed(&on.a.store).await;
        let waiting = waiter(&on.b, &first).await;
        let why = format!("{resolution:?}");
        on.a.store.resolve(first.name, resolution).await.unwrap();
        is_woken(waiting, &why).await;
    }
    let first = claim();
    fresh(&on.a.store, &first).await;
    let waiting = waiter(&on.b, &first).await;
    on.a.store.forget(first.name).await.unwrap();
    is_woken(waiting, "forget").await;
}

pub(crate) async fn health_counts_round_trips_and_a_closed_store_says_so(on: Setup<impl Store>) {
    let before = on.a.store.health();
    assert_eq!(before.ready, Ok(()));
    assert!(!before.durability.is_empty());
    let first = claim();
    fresh(&on.a.store, &first).await;
    on.a.store.inspect(first.name).await.unwrap();
    assert_eq!(on.a.store.health().round_trips, before.round_trips + 2);
    on.a.store.close().await;
    let refused = on.a.store.claim(again(&first)).await;
    assert!(matches!(refused, Err(StoreError::NotReached(_))), "{refused:?}");
    assert!(on.a.store.health().ready.is_err());
    on.a.store.close().await;
}
