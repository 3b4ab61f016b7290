//! `kill -9` at every fsync of an embedded store, one by one: what is written and not yet durable is lost, or not.
//!
//! It takes strace, and a system that lets one process trace another: `scripts/test` leaves it out, and says so, where that is not so.

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

/// Fresh sidecars, of which the victim is traced.
async fn traced(plot: Plot, victim: Victim, killed_at: Option<usize>) -> (Sidecars, Trace) {
    let (around, trace) = (Surroundings::new(Setup::default()), Trace::new());
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
    plot.set(&cars);
    (cars, trace)
}

/// How many fsyncs there are before a run, and after it.
async fn counted(plot: Plot, victim: Victim) -> (usize, usize) {
    let (cars, trace) = traced(plot, victim, None).await;
    let (order, before) = (Order::new(), trace.fsyncs());
    let answer = order.call(cars.first()).send().await;
    assert_eq!(answer.status, plot.status, "{}", answer.text());
    (before, trace.fsyncs())
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
    let (before, after) = counted(plot, victim).await;
    assert!(after - before >= least, "a run makes {} fsyncs only", after - before);
    stream::iter(before + 1..=after).for_each_concurrent(AT_ONCE, |n| killed(plot, victim, n)).await;
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
