//! `create-order`, undisturbed and with services that refuse, keep silent or are away.

use crate::support::{
    books::Outcome::{Kept, Undone},
    shop::{Endpoint, Fault},
    sidecars::{Order, Setup, Sidecars},
};

#[tokio::test]
async fn an_order_is_created_charged_completed_and_announced_once() {
    let cars = Sidecars::with_files(Setup::default()).await;
    let order = Order::new();
    let placed = order.call(cars.first()).send().await;
    assert_eq!((placed.status, placed.how()), (201, "executed"), "{}", placed.text());
    let json = placed.json();
    assert_eq!((&json["status"], &json["amount"]), (&"complete".into(), &order.amount.into()));
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    let again = order.call(cars.first()).send().await;
    assert_eq!((again.status, again.how(), &again.body), (201, "replayed", &placed.body));
    assert_eq!(cars.shop().asked().len(), 5, "nothing is asked again");
}

#[tokio::test]
async fn a_refused_payment_cancels_the_order_and_the_caller_is_told() {
    let cars = Sidecars::with_files(Setup::default()).await;
    cars.shop().fault(Endpoint::Pay, Fault::Refuse(402));
    let order = Order::new();
    let refused = order.call(cars.first()).send().await;
    assert_eq!((refused.status, refused.how()), (402, "executed"), "{}", refused.text());
    assert_eq!(refused.json()["title"], "The order was not placed");
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!((books.orders.len(), books.paid.len()), (1, 0));
    let again = order.call(cars.first()).send().await;
    assert_eq!((again.status, again.how(), &again.body), (402, "replayed", &refused.body));
}

#[tokio::test]
async fn a_payment_that_was_made_and_not_answered_is_neither_lost_nor_made_twice() {
    let quick = Setup::default().saga.replace("timeout: 5s", "timeout: 300ms");
    let cars = Sidecars::with_files(Setup { saga: quick, ..Setup::default() }).await;
    for fault in [Fault::Silence, Fault::Reset] {
        cars.shop().fault_times(Endpoint::Pay, fault.clone(), 1);
        let order = Order::new();
        let placed = order.settled(cars.first()).await;
        assert_eq!(placed.status, 201, "{fault:?}: {}", placed.text());
        cars.shop().books(order.user).assert(Kept, order.amount, &format!("{fault:?}"));
    }
    assert_eq!(cars.shop().count(Endpoint::Pay), 2, "each once");
    assert!(cars.shop().count(Endpoint::FindTransaction) >= 2, "billing was asked what became of it");
}

#[tokio::test]
async fn a_payment_that_was_not_made_and_not_answered_is_made_once() {
    let cars = Sidecars::with_files(Setup::default()).await;
    cars.shop().fault_times(Endpoint::Pay, Fault::ResetAtOnce, 1);
    let order = Order::new();
    let placed = order.settled(cars.first()).await;
    assert_eq!(placed.status, 201, "{}", placed.text());
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    assert_eq!(cars.shop().count(Endpoint::Pay), 2);
}

#[tokio::test]
async fn an_order_stands_when_it_cannot_be_announced() {
    let cars = Sidecars::with_files(Setup::default()).await;
    cars.shop().notifications().close().await;
    let order = Order::new();
    let placed = order.settled(cars.first()).await;
    assert_eq!(placed.status, 201, "{}", placed.text());
    let books = cars.shop().books(order.user);
    assert!(books.are_kept(order.amount, 0), "{books:?}");
}

#[tokio::test]
async fn a_step_that_fails_late_is_undone_with_all_before_it() {
    let cars = Sidecars::with_files(Setup::default()).await;
    cars.shop().fault_times(Endpoint::Complete, Fault::Refuse(422), 1);
    let order = Order::new();
    let refused = order.call(cars.first()).send().await;
    assert_eq!((refused.status, refused.how()), (409, "executed"), "{}", refused.text());
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!((books.orders.len(), books.paid.len()), (1, 1), "there was something to undo");
    let asked: Vec<_> = cars.shop().asked().into_iter().map(|asked| asked.endpoint).collect();
    use Endpoint::{Cancel, Complete, CreateOrder, FindAccount, Pay, Refund};
    assert_eq!(asked, [CreateOrder, FindAccount, Pay, Complete, Refund, Cancel], "the newest first");
}
