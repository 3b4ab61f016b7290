//! A driver that sleeps past its lease while another finishes its saga, and then wakes.

use futures_util::future::join_all;

use super::kills::{COMPLETES, Plot, TURNS_BACK};
use crate::support::{
    gate::Moment,
    refrain::Signal,
    sidecars::{Order, Setup, Sidecars, is_final},
};

async fn sleeps(plot: Plot, moment: Moment) {
    let mut cars = Sidecars::with_redis(Setup::default(), 2).await;
    plot.set(&cars);
    for call in 1..=plot.calls {
        let point = format!("asleep at call {call}, {moment:?}, of {plot:?}");
        eprintln!("{point}");
        let gate = cars.shop().hold_nth(call, moment);
        let order = Order::new();
        let caller = order.call(cars.first()).start();
        gate.started(1).await;
        let sleeper = &cars.orders[0];
        sleeper.signal(Signal::Stop);
        // The answer comes while it sleeps.
        gate.open();
        let answer = order.settled(&cars.orders[1]).await;
        assert!(cars.orders[1].metric("refrain_sagas_adopted_total").await >= 1.0, "{point}");
        sleeper.signal(Signal::Cont);
        let of_sleeper = caller.answer().await;
        assert!(!is_final(&of_sleeper) || of_sleeper.body == answer.body, "{point}: there is one answer: {of_sleeper:?}");
        sleeper.until_admin("/metrics", |metrics| metrics.text().contains("\nrefrain_sagas_driven 0\n")).await;
        plot.holds(&cars, &order, &answer, &point).await;
        cars.orders.swap(0, 1);
    }
}

#[tokio::test]
async fn a_driver_that_slept_past_its_lease_does_nothing_of_what_another_has_done() {
    let all = [(COMPLETES, Moment::Late), (COMPLETES, Moment::After), (TURNS_BACK, Moment::Late), (TURNS_BACK, Moment::After)];
    join_all(all.map(|(plot, moment)| sleeps(plot, moment))).await;
}
