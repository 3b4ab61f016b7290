//! Sagas that turn back while something is in doubt.

use crate::support::{
    books::Outcome::{Kept, Undone},
    client::{Answer, Call},
    gate::Moment,
    refrain::Refrain,
    shop::{Endpoint, Fault},
    sidecars::{Order, Setup, Sidecars},
    within,
};

/// `create-order`, with other times.
fn times(deadline: &str, timeout: &str, after: &str) -> String {
    let saga = Setup::default().saga.replace("deadline: 30s", &format!("deadline: {deadline}"));
    saga.replace("timeout: 5s", &format!("timeout: {timeout}")).replace("{after: 10s}", &format!("{{after: {after}}}"))
}

/// `create-order`, with payment and completion at once.
fn grouped(on_failure: &str) -> String {
    let saga = times("30s", "300ms", "10s");
    let at = saga.find("  - id: create_payment").unwrap();
    let end = saga.find("  - id: send_order_completed").unwrap();
    let children: String = saga[at..end].lines().map(|line| format!("      {line}\n")).collect();
    let group = format!("  - id: both\n    parallel:\n      on_failure: {on_failure}\n      steps:\n{children}");
    format!("{}{group}\n{}", &saga[..at], &saga[end..])
}

fn with(saga: String) -> Setup {
    Setup { saga, ..Setup::default() }
}

async fn state(refrain: &Refrain, pending: &Answer) -> String {
    let shown = Call::get(&refrain.url(pending.header("location").unwrap())).send().await;
    shown.json()["state"].as_str().unwrap_or_default().to_owned()
}

async fn until_it_turns(refrain: &Refrain, pending: &Answer) {
    within("the saga to turn back", async { while state(refrain, pending).await != "compensating" {} }).await;
}

#[tokio::test]
async fn a_group_of_which_one_fails_while_another_is_in_doubt_ends_right() {
    for on_failure in ["cancel_others", "wait_for_all"] {
        for fault in [Fault::Silence, Fault::Reset, Fault::ResetAtOnce] {
            let cars = Sidecars::with_files(with(grouped(on_failure))).await;
            cars.shop().fault_times(Endpoint::Pay, fault.clone(), 1);
            cars.shop().fault(Endpoint::Complete, Fault::Refuse(422));
            let order = Order::new();
            let answer = order.settled(cars.first()).await;
            assert_eq!(answer.status, 409, "{}", answer.text());
            let books = cars.shop().books(order.user);
            books.assert(Undone, order.amount, &format!("{on_failure}, {fault:?}"));
            assert_eq!(books.orders.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_group_of_which_one_is_in_doubt_and_none_fails_ends_right() {
    let cars = Sidecars::with_files(with(grouped("cancel_others"))).await;
    cars.shop().fault_times(Endpoint::Pay, Fault::Silence, 1);
    let order = Order::new();
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
}

#[tokio::test]
async fn at_the_deadline_what_was_done_is_undone() {
    let cars = Sidecars::with_files(with(times("1s", "200ms", "10s"))).await;
    cars.shop().fault(Endpoint::FindAccount, Fault::Silence);
    let order = Order::new();
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!((books.orders.len(), cars.shop().count(Endpoint::Pay)), (1, 0));
}

#[tokio::test]
async fn an_undo_waits_for_its_step_that_is_still_on_its_way() {
    let cars = Sidecars::with_files(with(times("300ms", "5s", "10ms"))).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::Late);
    let order = Order::new();
    let pending = order.call(cars.first()).send().await;
    assert_eq!(pending.status, 202, "{}", pending.text());
    gate.started(1).await;
    cars.shop().hold_none();
    until_it_turns(cars.first(), &pending).await;
    assert_eq!(cars.shop().count(Endpoint::Refund), 0, "nobody knows yet whether there is anything to give back");
    gate.open();
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!((books.paid.len(), books.refunded.len()), (1, 1));
    let asked: Vec<_> = cars.shop().asked().into_iter().map(|asked| asked.endpoint).collect();
    let place = |of| asked.iter().position(|endpoint| *endpoint == of).unwrap();
    assert!(place(Endpoint::Pay) < place(Endpoint::Refund), "{asked:?}");
}

#[tokio::test]
async fn a_step_is_not_done_after_its_undo() {
    // Billing's Refrain dies with the payment, and is back when the saga has turned back.
    let mut cars = Sidecars::with_files(with(times("1s", "300ms", "10ms"))).await;
    let gate = cars.shop().hold_at(Endpoint::Pay, Moment::Before);
    let order = Order::new();
    let pending = order.call(cars.first()).send().await;
    assert_eq!(pending.status, 202);
    gate.started(1).await;
    cars.billing.kill9();
    gate.one_is_gone().await;
    cars.shop().hold_none();
    until_it_turns(cars.first(), &pending).await;
    cars.billing.restart().await;
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!((books.orders.len(), books.paid.len()), (1, 0), "it is asked for, and not carried out any more");
    assert_eq!(cars.shop().count(Endpoint::Pay), 1);
}
