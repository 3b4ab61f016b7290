//! The steps of the tour, in order.

use std::time::Duration;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::kill::{self, Held};
use super::narrator::Narrator;
use super::{Opened, TourError};
use crate::books::{Books, Said, Told, Totals, Wish};
use crate::client::{Account, Answer, Edge, Fate, Intent, Item, Order, Patience, Patient, Registration, Session, Transaction};

/// How long a sidecar that was killed may take to run again.
const MAX_RESTART: Duration = Duration::from_secs(60);

/// What a customer puts on the account first, in cents.
const CHARGE: i64 = 1000;

/// Two pieces at 100 cents each.
const TWO: [Item; 1] = [Item { product_id: 7, quantity: 2 }];

/// Somebody who has registered.
struct Customer {
    session: Session,
    account: Account,
}

struct Tour<'a> {
    shop: &'a mut Opened,
    narrator: &'a mut Narrator,
    edge: Edge,
    patient: Patient,
    /// What customers were told under their keys, to hold the books against.
    told: Vec<Told>,
}

/// Shows everything.
pub(super) async fn show(shop: &mut Opened, narrator: &mut Narrator) -> Result<Totals, TourError> {
    let edge = Edge::at(&shop.state()?.edge.url)?;
    narrator.says(&format!("It is open at {}", shop.state()?.edge.url));
    let patient = Patient::new(edge.clone(), Patience::default());
    let mut tour = Tour { shop, narrator, edge, patient, told: Vec::new() };

    tour.narrator.step("Ada registers. One request; behind it users, billing, auth and notifications are called, all or none.");
    let ada = tour.registers("Ada").await?;
    tour.narrator.step("She reads her account, which is new and empty.");
    must(ada.account.balance == 0, || format!("a new account has {} cents", ada.account.balance))?;
    tour.reads_account(&ada, 0).await?;
    tour.narrator.step("She puts 10 dollars on it.");
    tour.tops_up(&ada).await?;

    tour.narrator.step("She orders two pieces, and sends the same request again: the key is the same, so it is the same order.");
    let key = tour.orders_twice(&ada).await?;
    tour.narrator.step("The same key with another order: that cannot be a retry, and is refused.");
    tour.changes_her_mind(&ada, &key).await?;
    tour.narrator.step("An order beyond what she has: billing says no, and the order that was begun is taken back.");
    tour.orders_too_much(&ada).await?;
    tour.narrator.step("Bob happens to use Ada's key. Keys belong to who the token says: he gets an order of his own.");
    tour.orders_as_another(&ada, &key).await?;
    tour.narrator.step("Ada orders again, and while it is being paid, the sidecar that runs the order is killed (kill -9).");
    tour.survives_a_kill(&ada).await?;

    tour.narrator.step("The books: orders' and billing's databases, read behind everybody's back.");
    let totals = tour.balances().await?;
    tour.narrator.step("Ada logs out. Her token is worth nothing any more.");
    tour.logs_out(&ada).await?;
    Ok(totals)
}

impl Tour<'_> {
    async fn registers(&mut self, first_name: &str) -> Result<Customer, TourError> {
        let registration = Registration {
            email: format!("{}@shop.example", first_name.to_lowercase()),
            password: Uuid::new_v4().to_string(),
            first_name: first_name.to_owned(),
            last_name: "Example".to_owned(),
        };
        let session: Session = self.asks(&Intent::register(&registration), 201).await?;
        let account = self.edge.account(&session.access_token).await?;
        must(account.user_id == session.user.id, || format!("{first_name}'s account is user {}'s", account.user_id))?;
        Ok(Customer { session, account })
    }

    async fn reads_account(&mut self, customer: &Customer, balance: i64) -> Result<(), TourError> {
        let account: Account = self.asks(&Intent::read("/account/", customer.token()), 200).await?;
        must(account.balance == balance, || format!("the account has {} cents instead of {balance}", account.balance))
    }

    async fn tops_up(&mut self, customer: &Customer) -> Result<(), TourError> {
        let key = Uuid::new_v4().to_string();
        let intent = Intent::top_up(customer.token(), customer.account.id, CHARGE, &key);
        let charge: Transaction = self.asks(&intent, 201).await?;
        self.tells(customer, &key, Wish::Charge, CHARGE, Said::Done(charge.id));
        Ok(())
    }

    async fn orders_twice(&mut self, ada: &Customer) -> Result<String, TourError> {
        let key = Uuid::new_v4().to_string();
        let intent = Intent::order(ada.token(), &TWO).under(&key);
        let first = self.sends(&intent).await?;
        let order = ordered(&first, 200)?;
        self.tells(ada, &key, Wish::Order, order.amount, Said::Done(order.id));
        let second = self.sends(&intent).await?;
        must(second.status == 201 && second.body == first.body, || "the second answer differs from the first".to_owned())?;
        must(second.is_replayed(), || "the second answer is not marked as a replay".to_owned())?;
        let orders = self.edge.orders(ada.token()).await?;
        must(orders == [order], || format!("there is more than the one order: {orders:?}"))?;
        self.narrator.says("One order, the same bytes twice.");
        self.reads_account(ada, 800).await?;
        self.narrator.says("One payment.");
        Ok(key)
    }

    async fn changes_her_mind(&mut self, ada: &Customer, key: &str) -> Result<(), TourError> {
        let three = [Item { product_id: 7, quantity: 3 }];
        let answer = self.sends(&Intent::order(ada.token(), &three).under(key)).await?;
        must(answer.status == 422, || format!("another body under the same key was answered {}", answer.status))
    }

    async fn orders_too_much(&mut self, ada: &Customer) -> Result<(), TourError> {
        let key = Uuid::new_v4().to_string();
        let many = [Item { product_id: 7, quantity: 50 }];
        let answer = self.sends(&Intent::order(ada.token(), &many).under(&key)).await?;
        must(answer.status == 402, || format!("an order beyond the balance was answered {}", answer.status))?;
        self.tells(ada, &key, Wish::Order, 5000, Said::Refused(402));
        self.reads_account(ada, 800).await
    }

    async fn orders_as_another(&mut self, ada: &Customer, key: &str) -> Result<(), TourError> {
        let bob = self.registers("Bob").await?;
        self.tops_up(&bob).await?;
        let answer = self.sends(&Intent::order(bob.token(), &TWO).under(key)).await?;
        let order = ordered(&answer, 200)?;
        must(!answer.is_replayed() && order.user_id == bob.session.user.id, || {
            format!("Bob got an order of user {}", order.user_id)
        })?;
        let adas = self.edge.orders(ada.token()).await?;
        must(adas.iter().all(|one| one.id != order.id), || "Ada sees Bob's order".to_owned())?;
        self.tells(&bob, key, Wish::Order, order.amount, Said::Done(order.id));
        Ok(())
    }

    async fn survives_a_kill(&mut self, ada: &Customer) -> Result<(), TourError> {
        let state = self.shop.state()?;
        let sidecar = state.sidecar("orders")?.clone();
        let pid = sidecar.pid.ok_or_else(|| TourError::Wrong("the sidecar of orders does not run".to_owned()))?;
        let key = Uuid::new_v4().to_string();
        let intent = Intent::order(ada.token(), &TWO).under(&key);

        self.narrator.says("Billing's database is locked for a moment, so that the payment has to wait there.");
        let held = Held::lock(&state.databases()?.billing).await?;
        self.narrator.sent(&intent);
        let (edge, sent) = (self.edge.clone(), intent.clone());
        let first = tokio::spawn(async move { edge.send(&sent).await });
        let saga = kill::until_paying(&sidecar).await?;
        self.narrator.says(&format!("Saga {saga} has sent its payment and waits for the answer."));
        kill::kill_at_once(pid)?;
        held.release().await?;
        self.narrator.says(&format!(
            "kill -9 {pid}, and the database is free again: the payment is made, and nobody is there to hear of it."
        ));
        match first.await.map_err(|error| TourError::Wrong(format!("the first request ended badly: {error}")))? {
            Ok(answer) => self.narrator.came(&answer),
            Err(error) => self.narrator.says(&format!("← no answer ({error})")),
        }

        self.narrator.says("She asks again with the same key, until there is an answer.");
        self.narrator.sent(&intent);
        let settled = self.patient.settle::<Order>(&intent).await?;
        let retries = settled.retries;
        let Fate::Final { said: order, answer } = settled.fate else {
            return Err(TourError::Wrong(format!("the order is not done after {retries} retries: {:?}", settled.fate)));
        };
        self.narrator.came(&answer);
        must(ordered(&answer, 200)? == order, || "the order is another one".to_owned())?;
        self.tells(ada, &key, Wish::Order, order.amount, Said::Done(order.id));
        let runs_again =
            |state: &super::State| state.sidecar("orders").is_ok_and(|sidecar| sidecar.pid.is_some_and(|now| now != pid));
        let again = self.shop.until(MAX_RESTART, runs_again).await?;
        let again = again.ok_or_else(|| TourError::Wrong("the sidecar of orders was not started again".to_owned()))?;
        let now = again.sidecar("orders")?.pid.unwrap_or_default();
        self.narrator.says(&format!("The shop has started the sidecar again (process {now}); it read its journal and went on."));
        let count = self.edge.orders(ada.token()).await?.iter().filter(|order| order.status == "complete").count();
        must(count == 2, || format!("Ada has {count} complete orders instead of 2"))?;
        self.reads_account(ada, 600).await?;
        self.narrator.says("One order, one payment.");
        Ok(())
    }

    async fn balances(&mut self) -> Result<Totals, TourError> {
        let report = Books::read(&self.shop.state()?.databases()?).await?.audit(&self.told);
        must(report.is_balanced(), || format!("the books do not balance:\n{}", report.lines()))?;
        self.narrator.says(&report.totals.to_string());
        Ok(report.totals)
    }

    async fn logs_out(&mut self, ada: &Customer) -> Result<(), TourError> {
        let answer = self.sends(&Intent::log_out(ada.token())).await?;
        must(answer.status == 204, || format!("logging out was answered {}", answer.status))?;
        let answer = self.sends(&Intent::read("/account/", ada.token())).await?;
        must(answer.status == 401, || format!("a token that was logged out was answered {}", answer.status))
    }

    /// Sends a request and tells of both it and its answer.
    async fn sends(&self, intent: &Intent) -> Result<Answer, TourError> {
        self.narrator.sent(intent);
        let answer = self.edge.send(intent).await?;
        self.narrator.came(&answer);
        Ok(answer)
    }

    /// The same, where the answer must have this status.
    async fn asks<T: DeserializeOwned>(&self, intent: &Intent, status: u16) -> Result<T, TourError> {
        Ok(self.sends(intent).await?.expect(status)?)
    }

    fn tells(&mut self, customer: &Customer, key: &str, wish: Wish, amount: i64, answer: Said) {
        self.told.push(Told { key: key.to_owned(), user_id: customer.session.user.id, amount, wish, answer });
    }
}

impl Customer {
    fn token(&self) -> &str {
        &self.session.access_token
    }
}

/// The complete order of this amount that the answer tells.
fn ordered(answer: &Answer, amount: i64) -> Result<Order, TourError> {
    let order: Order = answer.expect(201)?;
    must(order.status == "complete" && order.amount == amount, || format!("the order is {} of {}", order.status, order.amount))?;
    Ok(order)
}

fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), TourError> {
    if holds { Ok(()) } else { Err(TourError::Wrong(what())) }
}
