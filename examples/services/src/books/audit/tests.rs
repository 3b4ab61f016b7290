#![allow(clippy::unwrap_used)]

use super::*;
use crate::books::Mail;

/// A saga's id of which `digit` is the last one.
fn saga(digit: char) -> String {
    format!("{}{digit}", "0".repeat(31))
}

fn key(saga: &str, step: &str) -> Option<String> {
    Some(format!("{saga}-0123456789abcdef-{step}-1"))
}

fn transaction(id: i64, kind: &str, amount: i64, reference: Option<String>) -> Transaction {
    Transaction { id, account_id: 1, kind: kind.to_owned(), amount, reference }
}

fn order(id: i64, status: &str, amount: i64, reference: Option<String>) -> Order {
    Order { id, user_id: Some(5), status: status.to_owned(), amount, reference }
}

fn mail(id: i64, event_id: &str) -> Mail {
    Mail { id, event_id: event_id.to_owned(), kind: ORDER_MAIL.to_owned() }
}

/// User 5 charged 1000 under `charge`, ordered for 200 under `good`, was refused 900 under `poor`, and had an order of
/// 100 taken back under `undone`.
fn books() -> Books {
    let [good, poor, undone] = ['a', 'b', 'c'].map(saga);
    Books {
        accounts: vec![Account { id: 1, user_id: 5, balance: 800 }],
        transactions: vec![
            transaction(1, "charge", 1000, Some("charge".to_owned())),
            transaction(2, "payment", 200, key(&good, "create_payment-do")),
            transaction(3, "payment", 100, key(&undone, "create_payment-do")),
            transaction(4, "payment_refund", 100, key(&undone, "create_payment-undo")),
        ],
        orders: vec![
            order(1, "complete", 200, key(&good, "create_order-do")),
            order(2, "cancelled", 900, key(&poor, "create_order-do")),
            order(3, "cancelled", 100, key(&undone, "create_order-do")),
        ],
        users: vec![5],
        mails: vec![mail(1, &key(&good, "send_order_completed-do").unwrap())],
    }
}

fn told(key: &str, wish: Wish, amount: i64, answer: Said) -> Told {
    Told { key: key.to_owned(), user_id: 5, amount, wish, answer }
}

fn answers() -> Vec<Told> {
    vec![
        told("charge", Wish::Charge, 1000, Said::Done(1)),
        told("good", Wish::Order, 200, Said::Done(1)),
        // A double click, told the same.
        told("good", Wish::Order, 200, Said::Done(1)),
        told("poor", Wish::Order, 900, Said::Refused(402)),
        told("undone", Wish::Order, 100, Said::Refused(409)),
    ]
}

/// What is found once `change` was made to books that balance.
fn found(change: impl FnOnce(&mut Books, &mut Vec<Told>)) -> String {
    let (mut books, mut told) = (books(), answers());
    change(&mut books, &mut told);
    books.audit(&told).lines()
}

#[test]
fn books_that_balance_are_said_to_balance() {
    let report = books().audit(&answers());
    assert!(report.is_balanced(), "{}", report.lines());
    assert_eq!(
        report.totals.to_string(),
        "balances 800 + complete orders 200 = charges 1000 cents (1 complete and 2 cancelled orders, 2 payments, 1 refunds, 1 mails)"
    );
    assert!(Books::default().audit(&[]).is_balanced());
}

#[test]
fn without_answers_the_books_are_held_against_themselves_alone() {
    assert!(books().audit(&[]).is_balanced());
    let mut changed = books();
    changed.accounts[0].balance = 700;
    assert!(!changed.audit(&[]).is_balanced());
}

#[test]
fn money_that_is_missing_is_told_with_its_account_and_its_sums() {
    let lines = found(|books, _| books.accounts[0].balance = 700);
    assert!(lines.contains("700 on all accounts and 200 in complete orders are 900, and 1000 was charged"), "{lines}");
    assert!(lines.contains("account 1 of user 5 has 700, and its transactions give 800"), "{lines}");
}

#[test]
fn a_payment_made_twice_is_told_with_its_order_and_both_transactions() {
    let lines = found(|books, _| {
        books.transactions.push(transaction(5, "payment", 200, key(&saga('a'), "create_payment-do")));
        books.accounts[0].balance = 600;
    });
    assert!(lines.contains("order 1 of 200 is complete, and has the payments 2: 200, 5: 200"), "{lines}");
    assert!(lines.contains("600 on all accounts and 200 in complete orders are 800, and 1000 was charged"), "{lines}");
}

#[test]
fn an_order_that_is_complete_and_not_paid_is_told() {
    let lines = found(|books, _| {
        books.transactions.remove(1);
        books.accounts[0].balance = 1000;
    });
    assert!(lines.contains("order 1 of 200 is complete, and has the payments none"), "{lines}");
}

#[test]
fn a_payment_of_a_cancelled_order_that_was_not_given_back_once_is_told() {
    let lines = found(|books, _| {
        books.transactions.pop();
        books.accounts[0].balance = 700;
    });
    assert!(lines.contains("order 3 of 100 is cancelled, and has the payments 3: 100 and the refunds none"), "{lines}");
    let lines = found(|books, _| {
        books.transactions.push(transaction(5, "payment_refund", 100, key(&saga('c'), "create_payment-undo")));
        books.accounts[0].balance = 900;
    });
    assert!(lines.contains("has the payments 3: 100 and the refunds 4: 100, 5: 100"), "{lines}");
}

#[test]
fn a_payment_without_an_order_or_of_another_amount_or_from_another_account_is_told() {
    let lines = found(|books, _| {
        books.orders.remove(2);
    });
    assert!(lines.contains("has no order, and moved money: payments 3: 100, refunds 4: 100"), "{lines}");
    let lines = found(|books, _| {
        books.transactions[1].amount = 100;
        books.accounts[0].balance = 900;
    });
    assert!(lines.contains("order 1 of 200 is complete, and has the payments 2: 100"), "{lines}");
    let lines = found(|books, _| {
        books.accounts.push(Account { id: 2, user_id: 6, balance: -200 });
        books.accounts[0].balance = 1000;
        books.transactions[1].account_id = 2;
    });
    assert!(lines.contains("order 1 is user 5's, and transaction 2 is on account 2"), "{lines}");
}

#[test]
fn an_order_that_is_left_in_between_is_told_with_its_reference() {
    for status in ["created", "processing"] {
        let lines = found(|books, _| books.orders[1].status = status.to_owned());
        assert!(
            lines.contains(&format!("order 2 ({}-0123456789abcdef-create_order-do-1) is left {status}", saga('b'))),
            "{lines}"
        );
    }
}

#[test]
fn two_orders_of_one_saga_and_orders_of_none_are_told() {
    let lines = found(|books, _| books.orders.push(order(4, "cancelled", 200, key(&saga('a'), "create_order-do"))));
    assert!(lines.contains(&format!("saga {} made the orders [1, 4]", saga('a'))), "{lines}");
    for reference in [None, Some("mine".to_owned()), Some("mine-and-yours".to_owned())] {
        let lines = found(|books, _| books.orders.push(order(4, "cancelled", 200, reference)));
        assert!(lines.contains("order 4 has the reference"), "{lines}");
    }
}

#[test]
fn a_charge_made_twice_is_told() {
    let lines = found(|books, _| {
        books.transactions.push(transaction(5, "charge", 1000, Some("charge".to_owned())));
        books.accounts[0].balance = 1800;
    });
    assert!(lines.contains("the charge charge was made 2 times: transactions [1, 5]"), "{lines}");
}

#[test]
fn a_transaction_on_no_account_is_told() {
    let lines = found(|books, _| books.transactions[0].account_id = 9);
    assert!(lines.contains("transaction 1 is on account 9, which is not there"), "{lines}");
}

#[test]
fn a_key_with_two_answers_is_told_with_both() {
    let lines = found(|_, told| told.push(super::tests::told("good", Wish::Order, 200, Said::Refused(409))));
    assert!(lines.contains("the key good of user 5 was answered in different ways: [Done(1), Refused(409)]"), "{lines}");
}

#[test]
fn one_order_for_two_keys_is_told() {
    let lines = found(|_, told| told.push(super::tests::told("other", Wish::Order, 200, Said::Done(1))));
    assert!(lines.contains(r#"order 1 is the answer to several keys: ["good", "other"]"#), "{lines}");
}

#[test]
fn an_order_that_is_not_as_it_was_told_is_told() {
    for (change, instead) in [
        ((|books| books.orders[0].amount = 300) as fn(&mut Books), "it is complete and costs 300, of user Some(5)"),
        (|books| books.orders[0].user_id = Some(6), "it is complete and costs 200, of user Some(6)"),
        (|books| books.orders[0].status = "cancelled".to_owned(), "it is cancelled and costs 200"),
        (|books| books.orders[0].id = 9, "there is no such order"),
    ] {
        let lines = found(|books, _| change(books));
        let said = format!("user 5 was told under the key good that order 1 of 200 is done: {instead}");
        assert!(lines.contains(&said), "{said}\n{lines}");
    }
}

#[test]
fn what_was_done_and_told_to_nobody_is_told_once_every_key_is_decided() {
    let lines = found(|_, told| told.retain(|one| one.key != "good"));
    assert!(lines.contains("order 1 (") && lines.contains("is done, and no key was told so"), "{lines}");
    let lines = found(|_, told| told[0].key = "another".to_owned());
    assert!(lines.contains("user 5 was told under the key another that charge 1 of 1000 is done: it is a charge"), "{lines}");
    let lines = found(|_, told| {
        told.retain(|one| one.key != "good");
        told.push(super::tests::told("good", Wish::Order, 200, Said::Nothing));
    });
    assert_eq!(lines, "  the key good of user 5 was never decided\n");
}

#[test]
fn a_charge_that_was_refused_and_made_is_told() {
    let lines = found(|_, told| told[0].answer = Said::Refused(400));
    assert!(lines.contains("told under the key charge that the charge is refused (400), and it is transaction 1"), "{lines}");
}

#[test]
fn more_cancelled_orders_than_refusals_are_told() {
    let lines = found(|_, told| told.retain(|one| one.key != "poor"));
    assert!(lines.contains("user 5 has 2 cancelled orders and 1 refused keys"), "{lines}");
}

#[test]
fn an_order_that_was_mailed_twice_or_is_not_complete_is_told() {
    let good = key(&saga('a'), "send_order_completed-do").unwrap();
    let lines = found(|books, _| books.mails.push(mail(2, &good)));
    assert_eq!(lines, format!("  the event {good} was mailed 2 times: mails [1, 2]\n"));
    let lines = found(|books, _| books.mails.push(mail(2, &key(&saga('b'), "send_order_completed-do").unwrap())));
    assert_eq!(lines, format!("  mail 2 tells of an order of saga {}, which has none that is complete\n", saga('b')));
}

#[test]
fn a_user_without_an_account_and_an_account_without_a_user_are_told() {
    assert_eq!(found(|books, _| books.users.push(6)), "  user 6 has no account\n");
    assert_eq!(found(|books, _| books.users.clear()), "  account 1 is of user 5, who is not there\n");
}
