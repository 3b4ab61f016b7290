//! Rules of leases and renewals: in whose hands a saga is.

use refrain::{
    ids::Fence,
    store::{Store, journal::SagaHeld},
};

use super::*;

const KEPT: SagaHeld = SagaHeld::Kept { commands: false };

pub(crate) async fn a_driven_saga_is_not_leased(on: Setup<impl Store + Journal>) {
    let driver = driven(&on.a.store).await;
    for store in [&on.a.store, &on.b.store] {
        let asked = asked_for(store, driver.token.id).await;
        assert!(matches!(asked, Leased::NotDue(Some(left)) if left > LONG / 2 && left <= LONG), "{asked:?}");
    }
    assert_eq!(loaded(&on.a.store, driver.token.id).await.head.fence, driver.token.fence);
}

pub(crate) async fn a_lapsed_saga_is_leased_with_its_journal_under_a_higher_fence(on: Setup<impl Store + Journal>) {
    let mut first = driven(&on.a.store).await;
    let id = first.token.id;
    first.turn(&on.a.store, Next::Run { lease: SHORT }).await;
    let before = loaded(&on.a.store, id).await.head;
    on.time.pass(SHORT).await;
    let (mut second, seen) = leased(&on.b.store, id).await;
    assert!(second.token.fence > first.token.fence);
    assert_eq!(seen.entries, ["started", "turn"].map(Bytes::from));
    assert_eq!(seen.head.due_at, Some(seen.now.plus(LONG)));
    let unmoved = |head: refrain::store::journal::Head| (head.birth, head.state, head.version, head.updated_at);
    assert_eq!(unmoved(seen.head), unmoved(before), "a lease is no change of the saga");
    second.turn(&on.b.store, run()).await;
}

pub(crate) async fn a_repeat_of_a_lease_gets_the_same_fence(on: Setup<impl Store + Journal>) {
    let mut first = driven(&on.a.store).await;
    let id = first.token.id;
    first.turn(&on.a.store, park(Duration::ZERO)).await;
    let owner = Owner::random();
    let mut fences = Vec::new();
    for lease in [SHORT, LONG, SHORT, LONG] {
        match on.b.store.lease(id, owner, lease).await.unwrap() {
            Leased::Granted(loaded) => {
                assert_eq!(loaded.entries.len(), 2);
                assert_eq!(loaded.head.due_at, Some(loaded.now.plus(lease)), "the lease is renewed");
                fences.push(loaded.head.fence);
            }
            other => panic!("{other:?}"),
        }
        if lease == SHORT {
            on.time.pass(SHORT).await;
        }
    }
    assert!(fences.iter().all(|fence| *fence == fences[0]), "{fences:?}");
    // Given up, it is nobody's: the same driver takes it anew.
    let mut second = Driver { token: SagaToken { id, owner, fence: fences[0] }, version: 2 };
    second.turn(&on.b.store, park(LONG)).await;
    let asked = on.b.store.lease(id, owner, LONG).await.unwrap();
    assert!(matches!(asked, Leased::NotDue(Some(_))), "{asked:?}");
}

pub(crate) async fn the_fence_grows_though_the_clock_does_not(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    for _ in 0..10 {
        driver.turn(&on.a.store, park(Duration::ZERO)).await;
        let (next, _) = leased(&on.b.store, driver.token.id).await;
        assert!(next.token.fence > driver.token.fence);
        driver = next;
    }
}

pub(crate) async fn one_of_many_concurrent_leases_is_granted(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    driver.turn(&on.a.store, park(Duration::ZERO)).await;
    let tries = (0..16).map(|n| {
        let store = if n % 2 == 0 { on.a.store.clone() } else { on.b.store.clone() };
        async move { asked_for(&store, id).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    let granted = answers.iter().filter(|answer| matches!(answer, Leased::Granted(_))).count();
    assert_eq!(granted, 1, "{answers:?}");
}

pub(crate) async fn a_parked_saga_is_leased_at_its_time(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    driver.turn(&on.a.store, park(LONG)).await;
    let asked = asked_for(&on.b.store, id).await;
    assert!(matches!(asked, Leased::NotDue(Some(left)) if left > LONG / 2 && left <= LONG), "{asked:?}");

    let mut driver = driven(&on.a.store).await;
    driver.turn(&on.a.store, park(SHORT)).await;
    on.time.pass(SHORT).await;
    let (next, _) = leased(&on.b.store, driver.token.id).await;
    assert!(next.token.fence > driver.token.fence);
}

pub(crate) async fn a_resting_saga_is_never_due(on: Setup<impl Store + Journal>) {
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    driver.turn(&on.a.store, Next::Rest { answer: None }).await;
    on.time.pass(SHORT).await;
    assert_eq!(asked_for(&on.b.store, id).await, Leased::NotDue(None));
    assert_eq!(on.b.store.lease(id, driver.token.owner, LONG).await.unwrap(), Leased::NotDue(None));
    let head = loaded(&on.a.store, id).await.head;
    assert_eq!((head.due_at, head.paused), (None, true));
}

pub(crate) async fn what_has_ended_or_never_was_is_gone(on: Setup<impl Store + Journal>) {
    assert_eq!(asked_for(&on.a.store, SagaId::random()).await, Leased::Gone);
    for state in [SagaState::Completed, SagaState::Compensated] {
        let mut driver = driven(&on.a.store).await;
        driver.keep(&on.a.store, Append { state, ..driver.append(&["end"], end()) }).await;
        assert_eq!(asked_for(&on.b.store, driver.token.id).await, Leased::Gone);
        assert_eq!(on.b.store.lease(driver.token.id, driver.token.owner, LONG).await.unwrap(), Leased::Gone);
    }
}

pub(crate) async fn renewals_are_answered_in_order_and_apart(on: Setup<impl Store + Journal>) {
    let mut renewals = Vec::new();
    for n in 0..20 {
        let renewal = driven(&on.a.store).await.renewal(LONG);
        let token = match n % 4 {
            0 => SagaToken { owner: Owner::random(), ..renewal.token },
            1 => SagaToken { fence: Fence(renewal.token.fence.0 + 1), ..renewal.token },
            2 => SagaToken { id: SagaId::random(), ..renewal.token },
            _ => renewal.token,
        };
        renewals.push(SagaRenewal { token, ..renewal });
    }
    let expected: Vec<SagaHeld> = (0..20).map(|n| if n % 4 == 3 { KEPT } else { SagaHeld::Lost }).collect();
    assert_eq!(on.b.store.extend_sagas(renewals).await.unwrap(), expected);
    assert_eq!(on.b.store.extend_sagas(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn a_renewal_keeps_a_saga_with_its_driver(on: Setup<impl Store + Journal>) {
    let driver = fresh(&on.a.store, &Create { next: Next::Run { lease: SHORT }, ..create() }).await;
    let renewal = driver.renewal(LONG);
    assert_eq!(on.a.store.extend_sagas(vec![renewal, renewal]).await.unwrap(), [KEPT, KEPT], "and a repeat is no harm");
    on.time.pass(SHORT).await;
    let asked = asked_for(&on.b.store, driver.token.id).await;
    assert!(matches!(asked, Leased::NotDue(Some(left)) if left > LONG / 2), "{asked:?}");
}

pub(crate) async fn a_renewal_revives_a_lapsed_lease_that_nobody_took(on: Setup<impl Store + Journal>) {
    let driver = fresh(&on.a.store, &Create { next: Next::Run { lease: SHORT }, ..create() }).await;
    on.time.pass(SHORT).await;
    assert_eq!(on.a.store.extend_sagas(vec![driver.renewal(SHORT)]).await.unwrap(), [KEPT]);
    on.time.pass(SHORT).await;
    let (second, _) = leased(&on.b.store, driver.token.id).await;
    let both = vec![driver.renewal(LONG), second.renewal(LONG)];
    assert_eq!(on.a.store.extend_sagas(both).await.unwrap(), [SagaHeld::Lost, KEPT], "no two drivers hold it");
}

pub(crate) async fn what_was_given_up_or_ended_cannot_be_renewed(on: Setup<impl Store + Journal>) {
    for next in [park(LONG), park(Duration::ZERO), Next::Rest { answer: None }, end()] {
        let mut driver = driven(&on.a.store).await;
        driver.turn(&on.a.store, next.clone()).await;
        let before = loaded(&on.a.store, driver.token.id).await.head;
        assert_eq!(on.a.store.extend_sagas(vec![driver.renewal(LONG)]).await.unwrap(), [SagaHeld::Lost], "{next:?}");
        assert_eq!(loaded(&on.a.store, driver.token.id).await.head, before);
    }
}
