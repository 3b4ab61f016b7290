//! Rules of renewal, of giving up, and of reservations.

use refrain::store::{Claim, Claimed, Held, OnUnknown, Renewal, Reserved, Standing, Store};

use super::*;

pub(crate) async fn renewals_are_answered_in_order_and_apart(on: Setup<impl Store>) {
    let claims: Vec<Claim> = (0..20).map(|_| claim()).collect();
    let mut renewals = Vec::new();
    for (n, claim) in claims.iter().enumerate() {
        let grant = fresh(&on.a.store, claim).await;
        match n % 4 {
            0 => renewals.push(renewal(&again(claim), grant.fence)),
            1 => renewals.push(renewal(claim, Fence(grant.fence.0 + 1))),
            2 => renewals.push(renewal(&super::claim(), grant.fence)),
            _ => renewals.push(renewal(claim, grant.fence)),
        }
    }
    let held = on.b.store.extend(renewals).await.unwrap();
    let expected: Vec<Held> = (0..20).map(|n| if n % 4 == 3 { Held::Kept } else { Held::Lost }).collect();
    assert_eq!(held, expected);
}

pub(crate) async fn no_renewals_have_no_answers(on: Setup<impl Store>) {
    assert_eq!(on.a.store.extend(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn a_renewal_keeps_a_claim_in_flight(on: Setup<impl Store>) {
    let first = Claim { lease: SHORT, ..claim() };
    let grant = fresh(&on.a.store, &first).await;
    for sent in [false, true] {
        let renewal = Renewal { sent, ..renewal(&first, grant.fence) };
        assert_eq!(on.a.store.extend(vec![renewal, renewal]).await.unwrap(), [Held::Kept, Held::Kept], "and a repeat is no harm");
        match on.b.store.claim(again(&first)).await.unwrap() {
            Claimed::InFlight { left } => assert!(left > LONG / 2),
            other => panic!("expected InFlight, got {other:?}"),
        }
    }
}

pub(crate) async fn a_renewal_revives_a_lapsed_claim_that_nobody_took(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    assert_eq!(on.b.store.claim(again(&first)).await.unwrap(), Claimed::Unknown { probing: false });
    assert_eq!(on.a.store.extend(vec![renewal(&first, old.fence)]).await.unwrap(), [Held::Kept]);
    let other = on.b.store.claim(again(&first)).await.unwrap();
    assert!(matches!(other, Claimed::InFlight { .. }), "{other:?}");
}

pub(crate) async fn a_fenced_owner_cannot_renew(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let second = Claim { on_unknown: OnUnknown::Resend, ..again(&first) };
    let grant = retaken(&on.b.store, &second).await;
    let both = vec![renewal(&first, old.fence), renewal(&second, grant.fence), renewal(&first, grant.fence)];
    assert_eq!(on.a.store.extend(both).await.unwrap(), [Held::Lost, Held::Kept, Held::Lost], "no two owners hold it");
}

pub(crate) async fn a_doubted_record_is_unknown_at_once(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    assert_eq!(on.a.store.doubt(token(&first, grant.fence)).await.unwrap(), Held::Kept);
    assert_eq!(on.b.store.claim(again(&first)).await.unwrap(), Claimed::Unknown { probing: false });
    assert_eq!(on.a.store.doubt(token(&first, grant.fence)).await.unwrap(), Held::Kept, "and a repeat is no harm");
}

pub(crate) async fn only_the_owner_can_doubt(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    for stranger in [token(&again(&first), grant.fence), token(&first, Fence(grant.fence.0 + 1)), token(&claim(), grant.fence)] {
        assert_eq!(on.b.store.doubt(stranger).await.unwrap(), Held::Lost);
    }
    let other = on.b.store.claim(again(&first)).await.unwrap();
    assert!(matches!(other, Claimed::InFlight { .. }), "{other:?}");
}

pub(crate) async fn a_released_first_attempt_is_free(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    assert_eq!(on.a.store.release(first.name, first.owner, Some(grant.fence)).await.unwrap(), Held::Kept);
    assert_eq!(on.b.store.inspect(first.name).await.unwrap(), None);
    let other = Claim { fingerprint: Fingerprint::from_bytes([2; 32]), ..again(&first) };
    assert_eq!(fresh(&on.b.store, &other).await.attempt, 1);
}

pub(crate) async fn a_released_later_attempt_is_unknown(on: Setup<impl Store>) {
    let (first, _) = lapsed(&on.a.store).await;
    let second = Claim { on_unknown: OnUnknown::Resend, lease: LONG, ..again(&first) };
    let grant = retaken(&on.b.store, &second).await;
    assert_eq!(on.b.store.release(first.name, second.owner, Some(grant.fence)).await.unwrap(), Held::Kept);
    assert_eq!(on.a.store.claim(again(&first)).await.unwrap(), Claimed::Unknown { probing: false }, "the first send stands");
}

pub(crate) async fn an_owner_without_a_fence_can_release(on: Setup<impl Store>) {
    let first = claim();
    fresh(&on.a.store, &first).await;
    assert_eq!(on.a.store.release(first.name, first.owner, None).await.unwrap(), Held::Kept);
    fresh(&on.b.store, &again(&first)).await;

    let never = claim();
    assert_eq!(on.a.store.release(never.name, never.owner, None).await.unwrap(), Held::Lost, "the claim never arrived");
}

pub(crate) async fn a_waiter_cannot_release_the_owners_claim(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    let waiter = again(&first);
    on.b.store.claim(waiter.clone()).await.unwrap();
    assert_eq!(on.b.store.release(first.name, waiter.owner, None).await.unwrap(), Held::Lost);
    assert_eq!(on.b.store.release(first.name, waiter.owner, Some(grant.fence)).await.unwrap(), Held::Lost);
    assert_eq!(on.b.store.release(first.name, first.owner, Some(Fence(grant.fence.0 + 1))).await.unwrap(), Held::Lost);
    assert_eq!(on.a.store.extend(vec![renewal(&first, grant.fence)]).await.unwrap(), [Held::Kept]);
}

pub(crate) async fn a_done_record_cannot_be_given_up(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    on.a.store.complete(completion(&first, grant, b"ok")).await.unwrap();
    assert_eq!(on.a.store.release(first.name, first.owner, Some(grant.fence)).await.unwrap(), Held::Lost);
    assert_eq!(on.a.store.release(first.name, first.owner, None).await.unwrap(), Held::Lost);
    assert_eq!(on.a.store.doubt(token(&first, grant.fence)).await.unwrap(), Held::Lost);
    assert_eq!(on.a.store.extend(vec![renewal(&first, grant.fence)]).await.unwrap(), [Held::Lost]);
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"ok");
}

pub(crate) async fn a_reservation_is_its_first_holders(on: Setup<impl Store>) {
    let (payload, ours, theirs) = (name(), name(), name());
    assert_eq!(on.a.store.reserve(payload, ours, LONG).await.unwrap(), Reserved::Ours);
    assert_eq!(on.b.store.reserve(payload, theirs, LONG).await.unwrap(), Reserved::Theirs);
    assert_eq!(on.b.store.reserve(payload, ours, LONG).await.unwrap(), Reserved::Ours, "a repeat");
    on.b.store.unreserve(payload, theirs).await.unwrap();
    assert_eq!(on.b.store.reserve(payload, theirs, LONG).await.unwrap(), Reserved::Theirs, "a stranger frees nothing");
    on.a.store.unreserve(payload, ours).await.unwrap();
    on.a.store.unreserve(payload, ours).await.unwrap();
    assert_eq!(on.b.store.reserve(payload, theirs, LONG).await.unwrap(), Reserved::Ours);

    let record = Claim { name: payload, ..claim() };
    fresh(&on.a.store, &record).await;
    assert_eq!(on.a.store.reserve(payload, ours, LONG).await.unwrap(), Reserved::Theirs, "records are apart from reservations");
    assert!(on.a.store.forget(payload).await.unwrap());
    assert_eq!(on.a.store.reserve(payload, ours, LONG).await.unwrap(), Reserved::Theirs);
}

pub(crate) async fn a_reservation_ends_with_its_time(on: Setup<impl Store>) {
    let (payload, ours, theirs) = (name(), name(), name());
    // A record of the same length, made after the reservation, tells the store's time.
    assert_eq!(on.a.store.reserve(payload, ours, SHORT).await.unwrap(), Reserved::Ours);
    let witness = Claim { lease: SHORT, ..claim() };
    fresh(&on.a.store, &witness).await;
    lapse(&on.a.store, witness.name).await;
    assert_eq!(on.a.store.inspect(witness.name).await.unwrap().map(|seen| seen.standing), Some(Standing::Unknown));
    assert_eq!(on.b.store.reserve(payload, theirs, LONG).await.unwrap(), Reserved::Ours);
}
