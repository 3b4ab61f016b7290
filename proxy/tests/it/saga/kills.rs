//! `kill -9` at every call of `create-order`, of the sidecar that runs it and of the one that it calls, one by one: before the service
//! has acted, when it has, and while it still will. Each run ends completed or compensated, and the books are balanced.

use std::fmt;

use futures_util::{StreamExt as _, stream};

use crate::support::{
    books::Outcome,
    client::Answer,
    gate::{Gate, Moment},
    shop::{Endpoint, Fault},
    sidecars::{Order, Setup, Sidecars},
};

/// How an undisturbed run goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    /// What is refused, with what.
    refused: Option<(Endpoint, u16)>,
    /// How many calls reach the services.
    pub(super) calls: usize,
    pub(super) outcome: Outcome,
    pub(super) status: u16,
}

/// Everything is done.
pub(super) const COMPLETES: Plot = Plot { refused: None, calls: 5, outcome: Outcome::Kept, status: 201 };
/// The payment is refused, the order is cancelled.
pub(super) const IS_REFUSED: Plot = Plot { refused: Some((Endpoint::Pay, 402)), calls: 4, outcome: Outcome::Undone, status: 402 };
/// The order cannot be completed: the payment is given back, and the order is cancelled.
pub(super) const TURNS_BACK: Plot =
    Plot { refused: Some((Endpoint::Complete, 422)), calls: 6, outcome: Outcome::Undone, status: 409 };

impl Plot {
    pub(super) fn set(self, cars: &Sidecars) {
        if let Some((endpoint, status)) = self.refused {
            cars.shop().fault(endpoint, Fault::Refuse(status));
        }
    }

    /// That a run has ended as it should, and that its answer stays what it is.
    pub(super) async fn holds(self, cars: &Sidecars, order: &Order, answer: &Answer, point: &impl fmt::Display) {
        assert_eq!(answer.status, self.status, "{point}: {}", answer.text());
        cars.shop().books(order.user).assert(self.outcome, order.amount, &point.to_string());
        for refrain in &cars.orders {
            let again = order.settled(refrain).await;
            assert_eq!((again.status, again.how(), &again.body), (answer.status, "replayed", &answer.body), "{point}");
        }
    }
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// The sidecar that runs the saga.
    Orders,
    /// The sidecar beside billing.
    Billing,
}

/// Where a run is cut.
#[derive(Clone, Copy, Debug)]
struct Point {
    plot: Plot,
    victim: Victim,
    /// The number of the call.
    call: usize,
    moment: Moment,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plot, victim, call, moment } = self;
        write!(f, "{victim:?} killed at call {call}, {moment:?}, of {plot:?}")
    }
}

/// What is held at a gate when its sender is gone: lost, or let go.
async fn let_go_or_lose(cars: &Sidecars, gate: &Gate, point: Point) {
    let last = cars.shop().asked().last().map(|asked| asked.endpoint);
    let of_billing = matches!(last, Some(Endpoint::Pay | Endpoint::Refund | Endpoint::FindAccount));
    let by_victim = of_billing == (point.victim == Victim::Billing);
    if by_victim && point.moment == Moment::Before {
        gate.one_is_gone().await;
    } else {
        gate.open();
    }
}

/// Kills the victim, which is started again, at every call of a plot. One run after the other, by the same sidecars.
async fn restarted(mut cars: Sidecars, plot: Plot, victim: Victim, moment: Moment) {
    plot.set(&cars);
    for call in 1..=plot.calls {
        let point = Point { plot, victim, call, moment };
        eprintln!("{point}");
        let gate = cars.shop().hold_nth(call, moment);
        let order = Order::new();
        let caller = tokio::spawn(order.call(cars.first()).try_send());
        gate.started(1).await;
        match victim {
            Victim::Orders => cars.orders[0].kill9(),
            Victim::Billing => cars.billing.kill9(),
        }
        let_go_or_lose(&cars, &gate, point).await;
        match victim {
            Victim::Orders => cars.orders[0].restart().await,
            Victim::Billing => cars.billing.restart().await,
        }
        let answer = order.settled(cars.first()).await;
        plot.holds(&cars, &order, &answer, &point).await;
        // Its connection died, or it waited as long as it took.
        if let Ok(first) = caller.await.unwrap() {
            assert!(first.status == 202 || first.body == answer.body, "{point}: {first:?}");
        }
    }
}

/// Kills one replica, and lets the other take over.
async fn taken_over(mut cars: Sidecars, plot: Plot, moment: Moment) {
    plot.set(&cars);
    for call in 1..=plot.calls {
        let point = Point { plot, victim: Victim::Orders, call, moment };
        eprintln!("{point}, taken over");
        let gate = cars.shop().hold_nth(call, moment);
        let order = Order::new();
        let _caller = tokio::spawn(order.call(cars.first()).try_send());
        gate.started(1).await;
        cars.orders[0].kill9();
        let_go_or_lose(&cars, &gate, point).await;
        let answer = order.settled(&cars.orders[1]).await;
        cars.orders[0].restart().await;
        plot.holds(&cars, &order, &answer, &point).await;
        cars.orders.swap(0, 1);
    }
}

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Late, Moment::After];
const PLOTS: [Plot; 3] = [COMPLETES, IS_REFUSED, TURNS_BACK];
/// Plots and moments at a time, each with sidecars of its own.
const AT_ONCE: usize = 5;

/// Every plot with every moment.
async fn all<F: Future<Output = ()>>(sweep: impl Fn(Plot, Moment) -> F) {
    let sweeps = PLOTS.into_iter().flat_map(|plot| MOMENTS.map(|moment| (plot, moment)));
    stream::iter(sweeps).for_each_concurrent(AT_ONCE, |(plot, moment)| sweep(plot, moment)).await;
}

#[tokio::test]
async fn whoever_runs_it_is_killed_at_any_call_and_started_again_with_a_file() {
    let cars = || Sidecars::with_files(Setup::default());
    all(|plot, moment| async move { restarted(cars().await, plot, Victim::Orders, moment).await }).await;
}

#[tokio::test]
async fn whoever_runs_it_is_killed_at_any_call_and_started_again_with_redis() {
    let cars = || Sidecars::with_redis(Setup::default(), 1);
    all(|plot, moment| async move { restarted(cars().await, plot, Victim::Orders, moment).await }).await;
}

#[tokio::test]
async fn whoever_runs_it_is_killed_at_any_call_and_another_takes_over() {
    let cars = || Sidecars::with_redis(Setup::default(), 2);
    all(|plot, moment| async move { taken_over(cars().await, plot, moment).await }).await;
}

#[tokio::test]
async fn whoever_takes_part_is_killed_at_any_call_and_started_again() {
    let cars = || Sidecars::with_files(Setup::default());
    all(|plot, moment| async move { restarted(cars().await, plot, Victim::Billing, moment).await }).await;
}
