//! Rules of lists and counts.

use refrain::store::{Store, journal::Listing};

use super::*;

async fn ids(store: &impl Journal, listing: Listing) -> Vec<SagaId> {
    store.list(listing).await.unwrap().into_iter().map(|(id, _)| id).collect()
}

fn all() -> Listing {
    Listing { limit: 100, ..Listing::default() }
}

const TICK: Duration = Duration::from_millis(2);

pub(crate) async fn lists_show_the_newest_change_first(on: Setup<impl Store + Journal>) {
    assert_eq!(ids(&on.a.store, all()).await, []);
    let mut drivers = Vec::new();
    for _ in 0..4 {
        drivers.push(driven(&on.a.store).await);
        on.time.pass(TICK).await;
    }
    let order = |order: [usize; 4], drivers: &[Driver]| order.map(|n| drivers[n].token.id);
    assert_eq!(ids(&on.b.store, all()).await, order([3, 2, 1, 0], &drivers));
    drivers[1].turn(&on.a.store, run()).await;
    on.time.pass(TICK).await;
    drivers[2].turn(&on.a.store, end()).await;
    let listed = on.b.store.list(all()).await.unwrap();
    assert_eq!(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), order([2, 1, 3, 0], &drivers));
    for (id, head) in listed {
        let mut seen = loaded(&on.a.store, id).await.head;
        seen.answer = None;
        assert_eq!(head, seen, "lists leave out the answer alone");
    }
}

pub(crate) async fn lists_are_of_the_states_and_the_name_asked_for(on: Setup<impl Store + Journal>) {
    let mut made = Vec::new();
    for name in ["order", "orders", "refund"] {
        for state in [SagaState::Running, SagaState::Compensating, SagaState::Completed, SagaState::Quarantined] {
            let next = match state {
                SagaState::Completed => end(),
                SagaState::Quarantined => Next::Rest { answer: None },
                _ => run(),
            };
            let birth = Birth { name: name.to_owned(), ..create().birth };
            let create = Create { birth, state: SagaState::Running, ..create() };
            let mut driver = fresh(&on.a.store, &create).await;
            driver.keep(&on.a.store, Append { state, ..driver.append(&["turn"], next) }).await;
            made.push((name, state, driver.token.id));
            on.time.pass(TICK).await;
        }
    }
    made.reverse();
    for name in [None, Some("order"), Some("orders"), Some("refund"), Some("nothing"), Some("")] {
        for states in [
            vec![],
            vec![SagaState::Running],
            vec![SagaState::Compensated],
            vec![SagaState::Quarantined, SagaState::Compensating],
            vec![SagaState::Running, SagaState::Running],
            SagaState::ALL.to_vec(),
        ] {
            let wanted = made.iter().filter(|(its_name, state, _)| {
                name.is_none_or(|name| name == *its_name) && (states.is_empty() || states.contains(state))
            });
            let expected: Vec<SagaId> = wanted.map(|(.., id)| *id).collect();
            let listing = Listing { states: states.clone(), name: name.map(str::to_owned), ..all() };
            assert_eq!(ids(&on.b.store, listing.clone()).await, expected, "{name:?} {states:?}");
            let few = Listing { limit: 2, ..listing };
            assert_eq!(ids(&on.b.store, few).await, expected[..expected.len().min(2)], "{name:?} {states:?}");
        }
    }
}

pub(crate) async fn pages_have_no_gap_and_no_repeat(on: Setup<impl Store + Journal>) {
    let mut made = Vec::new();
    for n in 0..30 {
        let mut driver = driven(&on.a.store).await;
        if n % 3 == 0 {
            driver.turn(&on.a.store, end()).await;
        }
        made.push(driver.token.id);
        // Most of them at the same time, where time is moved by hand.
        if n % 10 == 9 {
            on.time.pass(TICK).await;
        }
    }
    for limit in [1, 7, 30] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = on.b.store.list(Listing { before, limit, ..Listing::default() }).await.unwrap();
            let Some((last, head)) = page.last() else { break };
            assert!(page.len() <= limit && found.len() < made.len(), "no repeat");
            before = Some((head.updated_at, *last));
            found.extend(page.iter().map(|(id, head)| (head.updated_at, *id)));
        }
        assert!(found.is_sorted_by(|one, next| one > next), "the newest first, and no repeat");
        assert_eq!(found.len(), made.len());
        assert!(made.iter().all(|id| found.iter().any(|(_, other)| other == id)));
    }
}

pub(crate) async fn leases_and_commands_do_not_change_the_order(on: Setup<impl Store + Journal>) {
    let mut old = driven(&on.a.store).await;
    old.turn(&on.a.store, park(Duration::ZERO)).await;
    on.time.pass(TICK).await;
    let new = driven(&on.a.store).await;
    on.time.pass(TICK).await;
    let (old, _) = leased(&on.b.store, old.token.id).await;
    on.a.store.extend_sagas(vec![old.renewal(LONG)]).await.unwrap();
    on.a.store.command(old.token.id, Owner::random(), "go".into()).await.unwrap();
    assert_eq!(ids(&on.b.store, all()).await, [new.token.id, old.token.id]);
}

pub(crate) async fn counts_are_by_state(on: Setup<impl Store + Journal>) {
    assert_eq!(on.a.store.count().await.unwrap(), [0; 5]);
    let mut driver = driven(&on.a.store).await;
    driven(&on.a.store).await;
    assert_eq!(on.b.store.count().await.unwrap(), [2, 0, 0, 0, 0]);
    driver.keep(&on.a.store, Append { state: SagaState::Compensating, ..driver.append(&["back"], run()) }).await;
    assert_eq!(on.b.store.count().await.unwrap(), [1, 1, 0, 0, 0]);
    let rest = Next::Rest { answer: None };
    driver.keep(&on.a.store, Append { state: SagaState::Quarantined, ..driver.append(&["stuck"], rest) }).await;
    assert_eq!(on.b.store.count().await.unwrap(), [1, 0, 0, 0, 1]);
    on.a.store.command(driver.token.id, Owner::random(), "go".into()).await.unwrap();
    let (mut driver, _) = leased(&on.a.store, driver.token.id).await;
    driver.keep(&on.a.store, Append { state: SagaState::Compensated, ..driver.append(&["undone"], end()) }).await;
    assert_eq!(on.b.store.count().await.unwrap(), [1, 0, 0, 1, 0]);
    driven(&on.a.store).await.turn(&on.a.store, end()).await;
    assert_eq!(on.b.store.count().await.unwrap(), [1, 0, 1, 1, 0]);
}
