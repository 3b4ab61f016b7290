//! Rules of the probe.

use std::time::Duration;

use refrain::{
    ids::Owner,
    store::{Claim, Claimed, Completed, Held, OnUnknown, ProbeVerdict, Settle, Settled, Store},
};

use super::*;

/// A claim that would probe.
fn probing(first: &Claim, lease: Duration) -> Claim {
    Claim { on_unknown: OnUnknown::Probe { lease }, lease: LONG, ..again(first) }
}

/// Claims and expects to be the prober.
async fn prober(store: &impl Store, first: &Claim) -> Settle {
    let claim = probing(first, LONG);
    match store.claim(claim.clone()).await.unwrap() {
        Claimed::Probe { fence, .. } => settle(&claim, fence, ProbeVerdict::Undecided),
        other => panic!("expected Probe, got {other:?}"),
    }
}

fn settle(claim: &Claim, fence: Fence, verdict: ProbeVerdict) -> Settle {
    Settle { name: claim.name, prober: claim.owner, fence, verdict }
}

fn done(response: &'static [u8]) -> ProbeVerdict {
    ProbeVerdict::Done { response: Bytes::from_static(response), ttl: LONG }
}

const NOT_DONE: ProbeVerdict = ProbeVerdict::NotDone { lease: LONG, ttl: LONG };

pub(crate) async fn one_prober_at_a_time(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let claim = probing(&first, LONG);
    let Claimed::Probe { fence, attempt, .. } = on.a.store.claim(claim.clone()).await.unwrap() else { panic!("no prober") };
    assert_eq!((fence, attempt), (old.fence, 1), "a probe changes neither");
    assert_eq!(on.b.store.claim(probing(&first, LONG)).await.unwrap(), Claimed::Unknown { probing: true });
    assert_eq!(on.b.store.claim(again(&first)).await.unwrap(), Claimed::Unknown { probing: true }, "hold is told, too");
    let repeat = on.a.store.claim(claim).await.unwrap();
    assert!(matches!(repeat, Claimed::Probe { .. }), "a repeat by the prober is its own: {repeat:?}");
}

pub(crate) async fn a_lapsed_probe_lease_frees_the_probe(on: Setup<impl Store>) {
    let (first, _) = lapsed(&on.a.store).await;
    assert!(matches!(on.a.store.claim(probing(&first, SHORT)).await.unwrap(), Claimed::Probe { .. }));
    let waiting = async {
        loop {
            match on.b.store.claim(probing(&first, LONG)).await.unwrap() {
                Claimed::Probe { .. } => return,
                Claimed::Unknown { probing: true } => tokio::time::sleep(SHORT).await,
                other => panic!("expected Probe or Unknown, got {other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the probe lease lapses");
}

pub(crate) async fn a_probe_that_finds_it_done_keeps_that_response(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let settle = Settle { verdict: done(b"found"), ..prober(&on.b.store, &first).await };
    for _ in 0..2 {
        let Settled::Done(record) = on.b.store.settle(settle.clone()).await.unwrap() else { panic!("not done") };
        assert_eq!((record.response.as_ref(), record.fence, record.attempt), (b"found".as_ref(), old.fence, 1));
    }
    assert_eq!(replayed(&on.a.store, &again(&first)).await.response.as_ref(), b"found");
    let late = completion(&first, Grant { fence: old.fence, attempt: 1 }, b"late");
    let Completed::Fenced(Some(winner)) = on.a.store.complete(late).await.unwrap() else { panic!("not settled") };
    assert_eq!(winner.response.as_ref(), b"found", "the record is settled, and its owner's caller gets what every replay gives");
    assert_eq!(replayed(&on.a.store, &again(&first)).await.response.as_ref(), b"found");
}

pub(crate) async fn a_probe_that_finds_it_not_done_owns_the_record(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let settle = Settle { verdict: NOT_DONE, ..prober(&on.b.store, &first).await };
    let Settled::Retake(grant) = on.b.store.settle(settle.clone()).await.unwrap() else { panic!("no retake") };
    assert_eq!(grant.attempt, 1, "earlier sends are disproved");
    assert!(grant.fence > old.fence);
    let late = completion(&first, Grant { fence: old.fence, attempt: 1 }, b"late");
    assert_eq!(on.a.store.complete(late).await.unwrap(), Completed::Fenced(None));
    let owner = Claim { owner: settle.prober, ..first.clone() };
    assert_eq!(on.b.store.complete(completion(&owner, grant, b"new")).await.unwrap(), Completed::Kept);
    assert_eq!(replayed(&on.a.store, &again(&first)).await.response.as_ref(), b"new");
}

pub(crate) async fn an_undecided_probe_frees_its_lease(on: Setup<impl Store>) {
    let (first, _) = lapsed(&on.a.store).await;
    let settle = prober(&on.a.store, &first).await;
    assert_eq!(on.a.store.settle(settle).await.unwrap(), Settled::Freed);
    prober(&on.b.store, &first).await;
}

pub(crate) async fn a_late_completion_wins_over_a_probe(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let settle = Settle { verdict: NOT_DONE, ..prober(&on.b.store, &first).await };
    let late = completion(&first, Grant { fence: old.fence, attempt: 1 }, b"late");
    assert_eq!(on.a.store.complete(late).await.unwrap(), Completed::Kept, "a probe leaves owner and fence alone");
    let Settled::Done(record) = on.b.store.settle(settle).await.unwrap() else { panic!("the record was taken") };
    assert_eq!(record.response.as_ref(), b"late");
}

pub(crate) async fn a_renewal_ends_a_probe(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let settle = Settle { verdict: NOT_DONE, ..prober(&on.b.store, &first).await };
    assert_eq!(on.a.store.extend(vec![renewal(&first, old.fence)]).await.unwrap(), [Held::Kept]);
    assert_eq!(on.b.store.settle(settle).await.unwrap(), Settled::Lost, "its owner is at it again");
    assert_eq!(on.a.store.extend(vec![renewal(&first, old.fence)]).await.unwrap(), [Held::Kept]);
}

pub(crate) async fn a_stranger_cannot_settle(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let mine = prober(&on.a.store, &first).await;
    for verdict in [done(b"no"), NOT_DONE, ProbeVerdict::Undecided] {
        for stranger in [
            Settle { prober: Owner::random(), verdict: verdict.clone(), ..mine.clone() },
            Settle { fence: Fence(old.fence.0 + 1), verdict: verdict.clone(), ..mine.clone() },
            Settle { name: name(), verdict: verdict.clone(), ..mine.clone() },
        ] {
            assert_eq!(on.b.store.settle(stranger).await.unwrap(), Settled::Lost);
        }
    }
    assert_eq!(on.a.store.settle(mine).await.unwrap(), Settled::Freed, "and the prober still is");
}

pub(crate) async fn a_prober_whose_claim_was_lost_gives_its_probe_back(on: Setup<impl Store>) {
    let (first, _) = lapsed(&on.a.store).await;
    let lost = probing(&first, LONG);
    on.a.store.claim(lost.clone()).await.unwrap();
    assert_eq!(on.a.store.release(lost.name, lost.owner, None).await.unwrap(), Held::Kept);
    prober(&on.b.store, &first).await;
}

pub(crate) async fn a_probe_is_told_how_long_ago_the_send_began(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    on.a.store.doubt(token(&first, grant.fence)).await.unwrap();
    let told = async || match on.b.store.claim(probing(&first, Duration::ZERO)).await.unwrap() {
        Claimed::Probe { sent_ago, .. } => sent_ago,
        other => panic!("expected Probe, got {other:?}"),
    };
    assert!(told().await < PATIENCE, "at the least, so no more than since it was doubted");
    let growing = async {
        while told().await < SHORT {
            tokio::time::sleep(SHORT / 4).await;
        }
    };
    tokio::time::timeout(PATIENCE, growing).await.expect("it grows with the time");
}
