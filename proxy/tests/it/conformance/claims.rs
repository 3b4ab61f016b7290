//! Rules of the claim.

use std::time::Duration;

use futures_util::future::join_all;
use refrain::{
    ids::Fingerprint,
    store::{Claim, Claimed, Completed, Inspection, OnUnknown, Standing, Store},
};

use super::*;

pub(crate) async fn a_first_claim_is_fresh(on: Setup<impl Store>) {
    let grant = fresh(&on.a.store, &claim()).await;
    assert_eq!(grant.attempt, 1);
    assert!(grant.fence.0 > 0);
}

pub(crate) async fn a_repeat_of_a_claim_gets_the_same_fence(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    assert_eq!(fresh(&on.b.store, &first).await, grant);

    let (lapsed, token) = lapsed(&on.a.store).await;
    let again = fresh(&on.a.store, &Claim { lease: LONG, ..lapsed.clone() }).await;
    assert_eq!((again.fence, again.attempt), (token.fence, 1), "a repeat after the lease is still the owner's");
    let other = on.b.store.claim(super::again(&lapsed)).await.unwrap();
    assert!(matches!(other, Claimed::InFlight { .. }), "the repeat renewed the lease: {other:?}");
}

pub(crate) async fn a_second_claim_is_told_how_long_the_first_holds(on: Setup<impl Store>) {
    let first = claim();
    fresh(&on.a.store, &first).await;
    match on.b.store.claim(again(&first)).await.unwrap() {
        Claimed::InFlight { left } => assert!(left <= LONG && left > LONG / 2, "{left:?}"),
        other => panic!("expected InFlight, got {other:?}"),
    }
}

pub(crate) async fn another_fingerprint_is_a_mismatch_even_in_flight(on: Setup<impl Store>) {
    let first = claim();
    let other = Claim { fingerprint: Fingerprint::from_bytes([2; 32]), on_unknown: OnUnknown::Resend, ..again(&first) };
    let grant = fresh(&on.a.store, &first).await;
    assert_eq!(on.b.store.claim(other.clone()).await.unwrap(), Claimed::Mismatch);
    on.a.store.doubt(token(&first, grant.fence)).await.unwrap();
    assert_eq!(on.b.store.claim(other.clone()).await.unwrap(), Claimed::Mismatch, "of an unknown record");
    let same_owner = Claim { owner: first.owner, ..other.clone() };
    assert_eq!(on.b.store.claim(same_owner).await.unwrap(), Claimed::Mismatch, "not even by the owner");
    on.a.store.complete(completion(&first, grant, b"ok")).await.unwrap();
    assert_eq!(on.b.store.claim(other).await.unwrap(), Claimed::Mismatch, "of a done record");
}

pub(crate) async fn one_of_many_concurrent_claims_is_fresh(on: Setup<impl Store>) {
    let first = claim();
    let claims = (0..64).map(|n| {
        let (store, claim) = (if n % 2 == 0 { on.a.store.handle() } else { on.b.store.handle() }, again(&first));
        tokio::spawn(async move { store.claim(claim).await.unwrap() })
    });
    let answers: Vec<Claimed> = join_all(claims).await.into_iter().map(Result::unwrap).collect();
    let fresh = answers.iter().filter(|answer| matches!(answer, Claimed::Fresh(_))).count();
    let in_flight = answers.iter().filter(|answer| matches!(answer, Claimed::InFlight { .. })).count();
    assert_eq!((fresh, in_flight), (1, 63));
}

pub(crate) async fn a_lapsed_claim_is_unknown_and_never_fresh(on: Setup<impl Store>) {
    let (first, _) = lapsed(&on.a.store).await;
    for _ in 0..2 {
        assert_eq!(on.b.store.claim(again(&first)).await.unwrap(), Claimed::Unknown { probing: false });
    }
}

pub(crate) async fn resend_retakes_an_unknown_record_under_a_higher_fence(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let second = Claim { on_unknown: OnUnknown::Resend, lease: SHORT, ..again(&first) };
    let grant = retaken(&on.b.store, &second).await;
    assert_eq!(grant.attempt, 2);
    assert!(grant.fence > old.fence);
    lapse(&on.b.store, first.name).await;
    let third = Claim { lease: LONG, ..again(&second) };
    let next = retaken(&on.a.store, &third).await;
    assert_eq!(next.attempt, 3);
    assert!(next.fence > grant.fence);
    let fourth = on.b.store.claim(again(&second)).await.unwrap();
    assert!(matches!(fourth, Claimed::InFlight { .. }), "a retaken record is in flight: {fourth:?}");
    let own_repeat = fresh(&on.a.store, &third).await;
    assert_eq!(own_repeat, next, "a repeat of a retake is the retaker's own");
}

pub(crate) async fn a_record_ends_with_its_retention(on: Setup<impl Store>) {
    let first = Claim { ttl: SHORT, ..claim() };
    fresh(&on.a.store, &first).await;
    expire(&on.a.store, first.name).await;
    let other = Claim { fingerprint: Fingerprint::from_bytes([2; 32]), ttl: SHORT, ..again(&first) };
    let grant = fresh(&on.b.store, &other).await;
    assert_eq!(grant.attempt, 1);
    on.b.store.complete(completion(&other, grant, b"ok")).await.unwrap();
    expire(&on.b.store, first.name).await;
    fresh(&on.a.store, &first).await;
}

pub(crate) async fn names_do_not_touch_each_other(on: Setup<impl Store>) {
    let (first, second) = (claim(), claim());
    let grant = fresh(&on.a.store, &first).await;
    on.a.store.complete(completion(&first, grant, b"first")).await.unwrap();
    fresh(&on.a.store, &second).await;
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"first");
    assert_eq!(on.a.store.inspect(name()).await.unwrap(), None);
}

pub(crate) async fn the_hash_key_is_the_same_for_every_handle(on: Setup<impl Store>) {
    let key = on.a.store.hash_key().await.unwrap();
    assert_eq!(on.a.store.handle().hash_key().await.unwrap(), key);
    assert_eq!(on.b.store.hash_key().await.unwrap(), key);
    assert_ne!(key.as_bytes(), &[0; 32]);
}

pub(crate) async fn inspection_tells_every_standing(on: Setup<impl Store>) {
    let first = claim();
    let seen = async || on.b.store.inspect(first.name).await.unwrap();
    assert_eq!(seen().await, None);
    let grant = fresh(&on.a.store, &first).await;
    let Some(Inspection { standing: Standing::InFlight { left }, attempt, fence, ttl_left }) = seen().await else {
        panic!("not in flight")
    };
    assert_eq!((attempt, fence), (1, grant.fence));
    assert!(left <= LONG && !left.is_zero() && ttl_left <= LONG && ttl_left > Duration::ZERO);
    on.a.store.doubt(token(&first, grant.fence)).await.unwrap();
    assert_eq!(seen().await.map(|seen| seen.standing), Some(Standing::Unknown));
    assert_eq!(on.a.store.complete(completion(&first, grant, b"ok")).await.unwrap(), Completed::Kept);
    assert_eq!(seen().await.map(|seen| seen.standing), Some(Standing::Done("ok".into())));
}
