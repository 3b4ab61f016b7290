//! Rules of what is due.

use refrain::store::{Store, journal::MAX_PAGE};

use super::*;

pub(crate) async fn the_longest_due_come_first(on: Setup<impl Store + Journal>) {
    let mut drivers = Vec::new();
    for _ in 0..5 {
        drivers.push(driven(&on.a.store).await);
    }
    let mut expected: Vec<SagaId> = Vec::new();
    for n in [3, 0, 4, 1, 2] {
        let due_in = SHORT + Duration::from_millis(u64::try_from(expected.len()).unwrap());
        drivers[n].turn(&on.a.store, if n % 2 == 0 { park(due_in) } else { Next::Run { lease: due_in } }).await;
        expected.push(drivers[n].token.id);
        on.time.pass(Duration::from_millis(3)).await;
    }
    let none = on.b.store.due(10, 0).await.unwrap();
    on.time.pass(SHORT + Duration::from_millis(5)).await;
    let mut found = on.b.store.due(10, 0).await.unwrap();
    assert_eq!(found.next_in, None, "nothing else will be");
    assert!(found.now > none.now, "and it tells the store's time");
    if !on.one_partition {
        found.ids.sort_unstable();
        expected.sort_unstable();
    }
    assert_eq!(found.ids, expected);
}

pub(crate) async fn a_page_of_what_is_due_has_its_limit(on: Setup<impl Store + Journal>) {
    let mut all = Vec::new();
    for _ in 0..7 {
        let first = Create { next: park(Duration::ZERO), ..create() };
        all.push(fresh(&on.a.store, &first).await.token.id);
    }
    let mut found = Vec::new();
    for seed in 0..3 {
        let page = on.b.store.due(3, seed).await.unwrap().ids;
        assert_eq!(page.len(), if seed == 2 { 1 } else { 3 });
        for id in page {
            leased(&on.b.store, id).await;
            found.push(id);
        }
    }
    all.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, all, "each once");
    let later = on.b.store.due(3, 0).await.unwrap();
    assert_eq!(later.ids, []);
    assert!(later.next_in.is_some_and(|next| next > LONG / 2 && next <= LONG), "{later:?}");
}

pub(crate) async fn what_is_not_due_tells_when_it_will_be(on: Setup<impl Store + Journal>) {
    assert_eq!(on.a.store.due(10, 0).await.unwrap().next_in, None);
    let far = driven(&on.a.store).await;
    let next = on.b.store.due(10, 0).await.unwrap().next_in;
    assert!(next.is_some_and(|next| next > LONG / 2 && next <= LONG), "{next:?}");
    fresh(&on.a.store, &Create { next: park(LONG / 4), ..create() }).await;
    let found = on.b.store.due(10, 0).await.unwrap();
    assert!(found.next_in.is_some_and(|next| next > LONG / 8 && next <= LONG / 4), "the nearest: {found:?}");
    let due = fresh(&on.a.store, &Create { next: park(Duration::ZERO), ..create() }).await;
    let found = on.b.store.due(10, 0).await.unwrap();
    assert_eq!(found.ids, [due.token.id]);
    assert!(found.next_in.is_some_and(|next| next > LONG / 8), "what is due now is not what comes next: {found:?}");
    assert_eq!(on.a.store.extend_sagas(vec![far.renewal(LONG)]).await.unwrap().len(), 1);
}

pub(crate) async fn every_change_of_hands_moves_the_due_time(on: Setup<impl Store + Journal>) {
    let due = async || !on.b.store.due(10, 0).await.unwrap().ids.is_empty();
    let mut driver = driven(&on.a.store).await;
    let id = driver.token.id;
    assert!(!due().await, "driven");
    driver.turn(&on.a.store, park(Duration::ZERO)).await;
    assert!(due().await, "parked until now");
    let (mut driver, _) = leased(&on.a.store, id).await;
    assert!(!due().await, "leased");
    driver.turn(&on.a.store, Next::Run { lease: SHORT }).await;
    on.time.pass(SHORT).await;
    assert!(due().await, "lapsed");
    on.a.store.extend_sagas(vec![driver.renewal(LONG)]).await.unwrap();
    assert!(!due().await, "renewed");
    driver.turn(&on.a.store, park(LONG)).await;
    assert!(!due().await, "parked for long");
    on.b.store.command(id, Owner::random(), "go on".into()).await.unwrap();
    assert!(due().await, "commanded");
    let (mut driver, _) = leased(&on.a.store, id).await;
    let rest = Append { commands_taken: 1, ..driver.append(&["paused"], Next::Rest { answer: None }) };
    driver.keep(&on.a.store, rest).await;
    let found = on.b.store.due(10, 0).await.unwrap();
    assert_eq!((found.ids, found.next_in), (Vec::new(), None), "at rest");
    on.b.store.command(id, Owner::random(), "go on".into()).await.unwrap();
    let (mut driver, _) = leased(&on.a.store, id).await;
    driver.turn(&on.a.store, end()).await;
    let found = on.b.store.due(10, 0).await.unwrap();
    assert_eq!((found.ids, found.next_in), (Vec::new(), None), "at its end");
}

pub(crate) async fn the_bounds_of_a_page_hold(on: Setup<impl Store + Journal>) {
    let parks = (0..MAX_PAGE + 5).map(|_| Create { next: park(Duration::ZERO), ..create() });
    let creates = parks.map(|park| {
        let store = on.a.store.clone();
        async move { fresh(&store, &park).await }
    });
    futures_util::future::join_all(creates).await;
    assert_eq!(on.a.store.due(usize::MAX, 0).await.unwrap().ids.len(), MAX_PAGE);
    let listing = refrain::store::journal::Listing { limit: usize::MAX, ..Default::default() };
    assert_eq!(on.a.store.list(listing).await.unwrap().len(), MAX_PAGE);
    assert_eq!(on.a.store.due(0, 0).await.unwrap().ids, []);
    assert_eq!(on.a.store.list(Default::default()).await.unwrap(), []);
}
