//! `kill -9` at every fsync of an embedded store, one by one: what is written and not yet durable is lost, or not.
//!
//! It takes strace, and a system that lets one process trace another: `scripts/test` leaves it out, and says so, where that is not so.

use std::{ops::RangeInclusive, time::Duration};

use futures_util::{StreamExt as _, stream};

use super::kills::{COMPLETES, Plot, TURNS_BACK, Victim};
use crate::support::{
    refrain::Refrain,
    sidecars::{EMBEDDED, Order, Setup, Sidecars, Surroundings},
    strace::Trace,
    within,
};

/// Runs at a time.
const AT_ONCE: usize = 4;

/// Runs before the one that counts: the store's writer has then made more fsyncs than the thread that opened it.
const BEFORE: usize = 4;
/// An embedded store asks for no lease's end, and no renewal comes between.
const LONG: Duration = Duration::from_secs(60);

/// Fresh sidecars, of which the victim is traced.
async fn traced(plot: Plot, victim: Victim, killed_at: Option<usize>) -> (Sidecars, Trace) {
    let (around, trace) = (Surroundings::new(Setup { lease: Some(LONG), ..Setup::default() }), Trace::new());
    let launcher = trace.launcher(killed_at);
    let (orders, billing) = match victim {
        Victim::Orders => {
            let yaml = around.orders_yaml(EMBEDDED);
            tokio::join!(Refrain::start_by(launcher, &yaml), around.billing(EMBEDDED))
        }
        Victim::Billing => {
            let yaml = around.billing_yaml(EMBEDDED);
            tokio::join!(around.orders(EMBEDDED), Refrain::start_by(launcher, &yaml))
        }
    };
    let cars = Sidecars { orders: vec![orders], billing, around, redis: None };
    for _ in 0..BEFORE {
        assert_eq!(Order::new().call(cars.first()).send().await.status, 201);
    }
    plot.set(&cars);
    (cars, trace)
}

/// The numbers of the fsyncs that a run makes.
async fn counted(plot: Plot, victim: Victim) -> RangeInclusive<usize> {
    let (cars, trace) = traced(plot, victim, None).await;
    let (order, before) = (Order::new(), trace.fsyncs());
    let answer = order.call(cars.first()).send().await;
    assert_eq!(answer.status, plot.status, "{}", answer.text());
    let after = trace.fsyncs();
    let mut grown = after.iter().filter(|(thread, count)| before.get(*thread) != Some(*count));
    let (writer, last) = grown.next().expect("a run writes");
    assert_eq!(grown.next(), None, "one thread writes");
    let first = before[writer] + 1;
    let others = after.iter().filter(|(thread, _)| *thread != writer);
    assert!(others.into_iter().all(|(_, count)| *count < first), "another thread would die first: {after:?}");
    first..=*last
}

async fn killed(plot: Plot, victim: Victim, n: usize) {
    let point = format!("{victim:?} killed at fsync {n} of {plot:?}");
    eprintln!("{point}");
    let (mut cars, _trace) = traced(plot, victim, Some(n)).await;
    let order = Order::new();
    let caller = tokio::spawn(order.call(cars.first()).try_send());
    let process = match victim {
        Victim::Orders => &mut cars.orders[0],
        Victim::Billing => &mut cars.billing,
    };
    within(&format!("{point}: its death"), process.wait_exit()).await;
    process.restart().await;
    let answer = order.settled(cars.first()).await;
    plot.holds(&cars, &order, &answer, &point).await;
    // Its connection died, or it waited as long as it took.
    if let Ok(first) = caller.await.unwrap() {
        assert!(first.status == 202 || first.body == answer.body, "{point}: {first:?}");
    }
}

async fn at_every_fsync(plot: Plot, victim: Victim, least: usize) {
    let all = counted(plot, victim).await;
    assert!(all.clone().count() >= least, "a run makes {all:?} only");
    stream::iter(all).for_each_concurrent(AT_ONCE, |n| killed(plot, victim, n)).await;
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs strace")]
#[tokio::test]
async fn whoever_runs_it_is_killed_at_every_fsync_and_started_again() {
    for plot in [COMPLETES, TURNS_BACK] {
        at_every_fsync(plot, Victim::Orders, plot.calls + 1).await;
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs strace")]
#[tokio::test]
async fn whoever_takes_part_is_killed_at_every_fsync_and_started_again() {
    for plot in [COMPLETES, TURNS_BACK] {
        at_every_fsync(plot, Victim::Billing, 2).await;
    }
}
