//! `kill -9` at every write that a saga's driver and a participant's sidecar make in Redis, journal and records alike, one by one:
//! before Redis has it, and when it is applied and nobody knows.

use futures_util::future::join_all;

use super::kills::{COMPLETES, Plot, TURNS_BACK, Victim};
use crate::support::{
    gate::{Gate, Moment},
    redis::RedisServer,
    relay::Relay,
    sidecars::{EMBEDDED, Order, Setup, Sidecars, Surroundings},
};

/// More writes than any run has: start and five steps, the records of two, renewals.
const MANY: usize = 60;

/// Sidecars of which those that are to be killed have each their own way to Redis.
struct Relayed {
    cars: Sidecars,
    victim: Victim,
    /// Of the replica of orders' with the same index, or of billing's.
    relays: Vec<Relay>,
}

impl Relayed {
    async fn start(victim: Victim, replicas: usize) -> Self {
        let (around, redis) = (Surroundings::new(Setup::default()), RedisServer::start());
        let relays = join_all((0..replicas).map(|_| Relay::to(redis.port()))).await;
        let stores: Vec<_> = relays.iter().map(Relay::url).collect();
        let (of_orders, of_billing) = match victim {
            Victim::Orders => (stores, EMBEDDED.to_owned()),
            Victim::Billing => (vec![EMBEDDED.to_owned()], stores[0].clone()),
        };
        let orders = join_all(of_orders.iter().map(|store| around.orders(store)));
        let (orders, billing) = tokio::join!(orders, around.billing(&of_billing));
        Self { cars: Sidecars { orders, billing, around, redis: Some(redis) }, victim, relays }
    }

    fn kill(&mut self) {
        match self.victim {
            Victim::Orders => self.cars.orders[0].kill9(),
            Victim::Billing => self.cars.billing.kill9(),
        }
    }

    async fn restart(&mut self) {
        match self.victim {
            Victim::Orders => self.cars.orders[0].restart().await,
            Victim::Billing => self.cars.billing.restart().await,
        }
    }

    /// Starts a run, and kills the victim at its `n`th write; `None`: the run had fewer.
    async fn cut(&mut self, n: usize, moment: Moment, order: &Order) -> Option<Gate> {
        let gate = self.relays[0].hold_nth(n, moment);
        let mut caller = tokio::spawn(order.call(self.cars.first()).try_send());
        tokio::select! {
            () = gate.started(1) => {}
            _answer = &mut caller => {
                self.relays[0].hold_none();
                return None;
            }
        }
        self.kill();
        Some(gate)
    }
}

/// The victim is killed and started again.
async fn restarted(plot: Plot, victim: Victim, moment: Moment, least: usize) {
    let mut relayed = Relayed::start(victim, 1).await;
    plot.set(&relayed.cars);
    for n in 1..MANY {
        let (order, point) = (Order::new(), format!("{victim:?} killed at write {n}, {moment:?}, of {plot:?}"));
        eprintln!("{point}");
        let cut = relayed.cut(n, moment, &order).await;
        if cut.is_some() {
            relayed.restart().await;
        }
        let answer = order.settled(relayed.cars.first()).await;
        plot.holds(&relayed.cars, &order, &answer, &point).await;
        if cut.is_none() {
            return assert!(n > least, "a run had {} writes only", n - 1);
        }
    }
    panic!("a run has more than {MANY} writes");
}

/// One replica is killed, and the other takes over. What was on its way to Redis arrives when all is over.
async fn taken_over(plot: Plot, moment: Moment) {
    let mut relayed = Relayed::start(Victim::Orders, 2).await;
    plot.set(&relayed.cars);
    for n in 1..MANY {
        let (order, point) = (Order::new(), format!("killed at write {n}, {moment:?}, of {plot:?}, taken over"));
        eprintln!("{point}");
        let Some(gate) = relayed.cut(n, moment, &order).await else {
            return assert!(n > plot.calls + 1, "a run had {} writes only", n - 1);
        };
        let answer = order.settled(&relayed.cars.orders[1]).await;
        // Fenced.
        gate.open();
        relayed.restart().await;
        plot.holds(&relayed.cars, &order, &answer, &point).await;
        relayed.cars.orders.swap(0, 1);
        relayed.relays.swap(0, 1);
    }
    panic!("a run has more than {MANY} writes");
}

const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];

#[tokio::test]
async fn whoever_runs_it_is_killed_at_any_write_and_started_again() {
    let sweep = |plot: Plot| MOMENTS.map(|moment| restarted(plot, Victim::Orders, moment, plot.calls + 1));
    join_all([COMPLETES, TURNS_BACK].into_iter().flat_map(sweep)).await;
}

#[tokio::test]
async fn whoever_runs_it_is_killed_at_any_write_and_another_takes_over() {
    let sweep = |plot: Plot| MOMENTS.map(|moment| taken_over(plot, moment));
    join_all([COMPLETES, TURNS_BACK].into_iter().flat_map(sweep)).await;
}

#[tokio::test]
async fn whoever_takes_part_is_killed_at_any_write_and_started_again() {
    let sweep = |plot: Plot| MOMENTS.map(|moment| restarted(plot, Victim::Billing, moment, 2));
    join_all([COMPLETES, TURNS_BACK].into_iter().flat_map(sweep)).await;
}
