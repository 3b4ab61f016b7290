//! Two replicas on one Redis, many sagas at once, and every few seconds one of the replicas dies. The books balance to the cent.
//!
//! The length and the crowd are said by the environment (`scripts/soak`); without it, this is short.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{
    books::Outcome,
    sidecars::{Order, Setup, Sidecars},
};

/// Between two deaths.
const PAUSE: Duration = Duration::from_secs(3);

fn said(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Where the replicas are now.
type Addresses = Arc<Mutex<Vec<String>>>;

#[tokio::test]
async fn the_books_balance_whoever_dies() {
    let seconds = Duration::from_secs(said("REFRAIN_SOAK_SECONDS", 12) as u64);
    let crowd = said("REFRAIN_SOAK_SAGAS", 40);
    let saga = Setup::default().saga.replace("deadline: 30s", "deadline: 10m");
    // A start is spent by every death, and in a crowd by every answer that is late.
    let saga = saga.replace("max: 5, initial: 20ms", "max: 100, initial: 20ms");
    assert!(saga.contains("deadline: 10m") && saga.contains("max: 100"), "the saga has these budgets");
    let mut cars = Sidecars::with_redis(Setup { saga, ..Setup::default() }, 2).await;
    cars.shop().decline_every(7);
    let addresses: Addresses = Arc::default();
    let tell = |cars: &Sidecars| *addresses.lock().unwrap() = cars.orders.iter().map(|one| one.url("/orders/")).collect();
    tell(&cars);
    let is_over = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicUsize::new(0));
    let customers: Vec<_> = (0..crowd)
        .map(|client| {
            let (addresses, is_over, number) = (Arc::clone(&addresses), Arc::clone(&is_over), Arc::clone(&number));
            tokio::spawn(async move {
                let mut placed = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let order = Order::new();
                    let answer = settled(&order, &addresses, client).await;
                    number.fetch_add(1, Ordering::Relaxed);
                    placed.push((order, answer.status, answer.body));
                }
                placed
            })
        })
        .collect();
    let begun = Instant::now();
    let mut deaths = 0;
    while begun.elapsed() < seconds {
        tokio::time::sleep(PAUSE).await;
        cars.orders[deaths % 2].restart().await;
        tell(&cars);
        deaths += 1;
    }
    is_over.store(true, Ordering::Relaxed);
    let placed: Vec<_> = join_all(customers).await.into_iter().flat_map(Result::unwrap).collect();
    eprintln!("{} sagas in {:?}, {deaths} deaths", placed.len(), begun.elapsed());
    assert!(placed.len() > crowd, "{} sagas only", placed.len());
    let (mut declined, mut kept) = (0, 0);
    for (order, status, _) in &placed {
        let outcome = match (*status, cars.shop().declines(order.user)) {
            (201, false) => Outcome::Kept,
            // Also where a step's starts were spent in the crowd: it died with its driver, or its service was too slow.
            (402, true) | (409, _) => Outcome::Undone,
            other => panic!("{other:?} for {order:?}"),
        };
        declined += usize::from(*status == 402);
        kept += if outcome == Outcome::Kept { order.amount } else { 0 };
        cars.shop().books(order.user).assert(outcome, order.amount, &format!("{order:?}"));
    }
    let spent = placed.iter().filter(|(_, status, _)| *status == 409).count();
    eprintln!("{declined} declined, {spent} with a step whose starts were spent");
    assert!(declined > 0);
    assert!(spent * 20 < placed.len(), "{spent} of {} gave up", placed.len());
    assert_eq!(cars.shop().balance(), kept, "to the cent");
    for (order, status, body) in placed.iter().take(50) {
        let again = order.settled(cars.first()).await;
        assert_eq!((again.status, again.how(), &again.body), (*status, "replayed", body));
    }
}

/// As [`Order::settled_at`], at addresses that change, and for as long as it takes within bounds.
async fn settled(order: &Order, addresses: &Mutex<Vec<String>>, client: usize) -> crate::support::client::Answer {
    const MOST: Duration = Duration::from_secs(120);
    let mut last = String::new();
    let mut turn = client;
    let asking = async {
        loop {
            let url = {
                let addresses = addresses.lock().unwrap();
                addresses[turn % addresses.len()].clone()
            };
            match order.call_at(&url).try_send().await {
                Ok(answer) if crate::support::sidecars::is_final(&answer) => return answer,
                Ok(answer) => last = format!("{} {} {}", answer.status, answer.how(), answer.text()),
                Err(error) => last = error.to_string(),
            }
            turn += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(MOST, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("no final answer for {order:?} within {MOST:?}; the last one: {last}"),
    }
}
