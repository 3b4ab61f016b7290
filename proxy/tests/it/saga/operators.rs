//! What operators see of sagas and say to them: `refrain sagas`.

use serde_json::Value;

use crate::support::{
    books::Outcome::{Kept, Undone},
    client::Answer,
    gate::Moment,
    refrain::{Refrain, command},
    shop::{Endpoint, Fault},
    sidecars::{Order, Setup, Sidecars},
    within,
};

/// `refrain sagas …`, with JSON where it is asked for.
fn sagas(refrain: &Refrain, words: &[&str]) -> (bool, String) {
    let words: Vec<_> = std::iter::once("sagas").chain(words.iter().copied()).collect();
    let output = command(&words, Some(refrain.admin_address()));
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Says something that is obeyed.
fn say(refrain: &Refrain, words: &[&str]) {
    let words: Vec<_> = words.iter().copied().chain(["--reason", "it is a test"]).collect();
    let (obeyed, said) = sagas(refrain, &words);
    assert!(obeyed, "{words:?}: {said}");
}

fn show(refrain: &Refrain, id: &str) -> Value {
    let (found, said) = sagas(refrain, &["show", id, "--json"]);
    assert!(found, "{said}");
    serde_json::from_str(&said).unwrap()
}

async fn until_state(refrain: &Refrain, id: &str, state: &str) {
    within(&format!("{id} to be {state}"), async {
        while show(refrain, id)["state"] != state {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// `create-order` that lets callers wait for 300 ms, and whose announcement must succeed and is in nobody's hands but an operator's
/// where its outcome is unknown.
fn manual() -> Setup {
    let saga = Setup::default().saga.replace("{after: 10s}", "{after: 300ms}");
    let saga = saga.replace("    compensate: none\n    on_failure: continue", "    in_doubt: manual\n    compensate: none");
    Setup { saga, ..Setup::default() }
}

/// A saga whose announcement met a fault, and that waits for an operator; and its id.
async fn quarantined(fault: Fault) -> (Sidecars, Order, String) {
    let cars = Sidecars::with_files(manual()).await;
    cars.shop().fault_times(Endpoint::Announce, fault, 1);
    let order = Order::new();
    let stuck = within("the saga to be stuck", async {
        loop {
            let answer = order.call(cars.first()).send().await;
            if answer.status != 202 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!((stuck.status, stuck.how(), stuck.problem()), (500, "pending", "quarantined"), "{}", stuck.text());
    let (found, listed) = sagas(cars.first(), &["list", "--state", "quarantined", "--json"]);
    assert!(found, "{listed}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = listed["sagas"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let shown = show(cars.first(), &id);
    assert_eq!((&shown["state"], &shown["in_doubt"][0]), (&"quarantined".into(), &"send_order_completed".into()), "{shown}");
    assert!(!shown["reason"].as_str().unwrap().is_empty());
    let again = order.call(cars.first()).send().await;
    assert_eq!((again.status, again.problem()), (500, "quarantined"), "it stays so, and is not its last word");
    (cars, order, id)
}

/// That it has ended, and its answer is replayed.
async fn ended(cars: &Sidecars, order: &Order, status: u16) -> Answer {
    let answer = order.settled(cars.first()).await;
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(order.call(cars.first()).send().await.body, answer.body);
    answer
}

#[tokio::test]
async fn a_step_in_doubt_that_was_done_is_said_to_be_done_and_the_saga_goes_on() {
    let (cars, order, id) = quarantined(Fault::Reset).await;
    say(cars.first(), &["resolve", &id, "send_order_completed", "--done"]);
    ended(&cars, &order, 201).await;
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    assert_eq!(cars.shop().count(Endpoint::Announce), 1);
    let timeline = show(cars.first(), &id)["timeline"].to_string();
    assert!(timeline.contains("it is a test"), "{timeline}");
}

#[tokio::test]
async fn a_step_in_doubt_that_was_not_done_is_said_to_be_not_done_and_the_saga_turns_back() {
    let (cars, order, id) = quarantined(Fault::ResetAtOnce).await;
    say(cars.first(), &["resolve", &id, "send_order_completed", "--not-done"]);
    ended(&cars, &order, 409).await;
    let books = cars.shop().books(order.user);
    books.assert(Undone, order.amount, "the order");
    assert_eq!(books.paid.len(), 1);
}

#[tokio::test]
async fn a_step_in_doubt_is_tried_again_with_the_same_key_or_with_another() {
    for (words, announced) in [(&["retry"][..], 1), (&["retry", "--step", "send_order_completed", "--run-again"], 2)] {
        let (cars, order, id) = quarantined(Fault::Reset).await;
        let words: Vec<_> = [words[0], &id].into_iter().chain(words[1..].iter().copied()).collect();
        say(cars.first(), &words);
        ended(&cars, &order, 201).await;
        assert!(cars.shop().books(order.user).are_kept(order.amount, announced), "{words:?}");
        let keys: Vec<_> = cars
            .shop()
            .asked_at(Endpoint::Announce)
            .into_iter()
            .map(|asked| asked.header("idempotency-key").to_owned())
            .collect();
        assert_eq!((keys.len(), keys[0] == keys[1]), (2, announced == 1), "{words:?}: {keys:?}");
    }
}

/// A saga that was paused while the account was looked up, and its id.
async fn paused() -> (Sidecars, Order, String) {
    let cars = Sidecars::with_files(manual()).await;
    let gate = cars.shop().hold_at(Endpoint::FindAccount, Moment::After);
    let order = Order::new();
    let pending = order.call(cars.first()).send().await;
    assert_eq!(pending.status, 202);
    gate.started(1).await;
    let id = pending.json()["id"].as_str().unwrap().to_owned();
    say(cars.first(), &["pause", &id]);
    within("the pause to be in the journal", async { while show(cars.first(), &id)["paused"] != true {} }).await;
    gate.open();
    let is_found = || show(cars.first(), &id)["steps"][1]["state"] == "done";
    within("what was under way to be answered", async { while !is_found() {} }).await;
    assert_eq!(cars.shop().count(Endpoint::Pay), 0, "nothing new begins");
    (cars, order, id)
}

#[tokio::test]
async fn a_paused_saga_begins_nothing_until_it_is_resumed() {
    let (mut cars, order, id) = paused().await;
    // Nor does another driver.
    cars.orders[0].restart().await;
    assert_eq!(order.call(cars.first()).send().await.status, 202);
    assert_eq!((show(cars.first(), &id)["paused"].clone(), cars.shop().count(Endpoint::Pay)), (true.into(), 0));
    say(cars.first(), &["resume", &id]);
    ended(&cars, &order, 201).await;
    cars.shop().books(order.user).assert(Kept, order.amount, "the order");
}

#[tokio::test]
async fn a_saga_is_turned_back_by_an_operator() {
    let (cars, order, id) = paused().await;
    say(cars.first(), &["compensate", &id]);
    say(cars.first(), &["resume", &id]);
    ended(&cars, &order, 409).await;
    cars.shop().books(order.user).assert(Undone, order.amount, "the order");
}

#[tokio::test]
async fn a_step_is_left_out_by_an_operator() {
    let (cars, order, id) = paused().await;
    say(cars.first(), &["skip", &id, "send_order_completed"]);
    say(cars.first(), &["resume", &id]);
    ended(&cars, &order, 201).await;
    assert!(cars.shop().books(order.user).are_kept(order.amount, 0));
}

#[tokio::test]
async fn all_sagas_that_call_a_service_are_paused_and_resumed_together() {
    let (cars, order, id) = paused().await;
    say(cars.first(), &["resume", "--upstream", "billing"]);
    ended(&cars, &order, 201).await;
    until_state(cars.first(), &id, "completed").await;
    let gate = cars.shop().hold_at(Endpoint::CreateOrder, Moment::After);
    let orders = [Order::new(), Order::new(), Order::new()];
    for order in &orders {
        assert_eq!(order.call(cars.first()).send().await.status, 202);
    }
    gate.started(orders.len()).await;
    say(cars.first(), &["pause", "--upstream", "billing"]);
    let (_, listed) = sagas(cars.first(), &["list", "--state", "running", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    for saga in listed["sagas"].as_array().unwrap() {
        let id = saga["id"].as_str().unwrap();
        within("each pause to be in its journal", async { while show(cars.first(), id)["paused"] != true {} }).await;
    }
    gate.open();
    assert_eq!(cars.shop().count(Endpoint::FindAccount), 1, "the first one's");
    say(cars.first(), &["resume", "--upstream", "billing"]);
    for order in &orders {
        ended(&cars, order, 201).await;
        cars.shop().books(order.user).assert(Kept, order.amount, "the order");
    }
}

#[tokio::test]
async fn what_does_not_apply_is_refused_with_why() {
    let (cars, order, id) = quarantined(Fault::Reset).await;
    let reason = ["--reason", "it is a test"];
    let refused = |words: &[&str]| {
        let words: Vec<_> = words.iter().copied().chain(reason).collect();
        let (obeyed, said) = sagas(cars.first(), &words);
        assert!(!obeyed, "{words:?}: {said}");
        said
    };
    assert!(!refused(&["skip", &id, "create_payment"]).is_empty());
    assert!(!refused(&["resolve", &id, "nowhere", "--done"]).is_empty());
    assert!(!refused(&["retry", &"0".repeat(32)]).is_empty());
    say(cars.first(), &["resolve", &id, "send_order_completed", "--done"]);
    ended(&cars, &order, 201).await;
    assert!(!refused(&["compensate", &id]).is_empty(), "it has ended");
}
