//! Users who order and put money on their accounts, all at once, and ask until they have an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shop::books::{Books, Said, Told, Wish};
use shop::client::{Account, Edge, Fate, Intent, Item, Order, Patience, Patient, Registration, Session, Transaction};
use tokio::task::JoinSet;

/// What a piece costs, in cents.
const PRICE: i64 = 100;

/// How often a user tries to register, each time under a new key and a new address.
const MAX_REGISTRATIONS: usize = 20;

/// At how many things each user is at once.
const AT_ONCE: u64 = 2;

/// How many keys are asked for once more at the end.
const ASKED_AGAIN: usize = 100;

/// The users while they are in the shop.
pub(crate) struct Crowd {
    users: JoinSet<Result<Tally, String>>,
    is_over: Arc<AtomicBool>,
}

/// What users asked for, and what they were told.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) told: Vec<Told>,
    /// The users there are.
    users: BTreeSet<i64>,
    retries: u64,
    /// Requests that were made to be sent again, with the answers they had.
    answered: Vec<(Intent, u16, Vec<u8>)>,
}

impl Crowd {
    /// So many users begin, who draw what they do from `seed`.
    pub(crate) fn enter(edge: &str, users: usize, seed: u64) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let edge = Edge::at(edge).unwrap();
        let users = (0..users).map(|number| {
            let patient = Patient::new(edge.clone(), Patience::default());
            user(patient, number, seed, Arc::clone(&is_over))
        });
        Self { users: users.collect(), is_over }
    }

    /// Nobody begins anything more.
    pub(crate) fn close(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits until everybody knows what became of what they have begun.
    pub(crate) async fn leave(mut self) -> Result<Tally, String> {
        let mut all = Tally::default();
        while let Some(user) = self.users.join_next().await {
            all.add(user.map_err(|error| format!("a user failed: {error}"))??);
        }
        Ok(all)
    }
}

/// One user, from the registration on.
async fn user(patient: Patient, number: usize, seed: u64, is_over: Arc<AtomicBool>) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let session = registered(&patient, number, &mut tally).await?;
    let account = patient.settle::<Account>(&Intent::read("/account/", &session.access_token)).await;
    let account = account.and_then(|settled| settled.done("GET /account/")).map_err(|error| format!("user {number}: {error}"))?;
    tally.users.insert(session.user.id);
    let mut hands = JoinSet::new();
    for hand in 0..AT_ONCE {
        let chances = StdRng::seed_from_u64(seed ^ ((number as u64 * AT_ONCE + hand + 1) << 20));
        let hand = Hand {
            patient: patient.clone(),
            session: session.clone(),
            account: account.clone(),
            name: format!("user-{number}-{hand}"),
            chances,
            tally: Tally::default(),
        };
        hands.spawn(hand.busy(Arc::clone(&is_over)));
    }
    while let Some(hand) = hands.join_next().await {
        tally.add(hand.map_err(|error| format!("user {number} failed: {error}"))??);
    }
    Ok(tally)
}

async fn registered(patient: &Patient, number: usize, tally: &mut Tally) -> Result<Session, String> {
    let mut last = String::new();
    for attempt in 0..MAX_REGISTRATIONS {
        let registration = Registration {
            email: format!("user-{number}-{attempt}@shop.example"),
            password: "a long enough password".to_owned(),
            first_name: format!("User {number}"),
            last_name: "Example".to_owned(),
        };
        let settled = patient.settle::<Session>(&Intent::register(&registration)).await.map_err(|error| error.to_string())?;
        tally.retries += u64::from(settled.retries);
        match settled.fate {
            Fate::Final { said, .. } => return Ok(said),
            // Taken back: what a person does then is to try once more.
            Fate::Refused { status, said } => last = format!("{status} {said}"),
            Fate::GaveUp { last } => {
                return Err(format!("user {number} never knew whether it is registered; the last answer: {last}"));
            }
        }
    }
    Err(format!("user {number} was refused {MAX_REGISTRATIONS} times; the last time: {last}"))
}

/// One of the things that a user is at.
struct Hand {
    patient: Patient,
    session: Session,
    account: Account,
    name: String,
    chances: StdRng,
    tally: Tally,
}

impl Hand {
    async fn busy(mut self, is_over: Arc<AtomicBool>) -> Result<Tally, String> {
        self.tops_up(0).await?;
        let mut number = 1;
        while !is_over.load(Ordering::Relaxed) {
            match self.chances.random_range(0..100) {
                0..15 => self.tops_up(number).await?,
                // Beyond what there can be.
                15..25 => self.orders(number, 10_000).await?,
                _ => {
                    let quantity = self.chances.random_range(1..=5);
                    self.orders(number, quantity).await?;
                }
            }
            number += 1;
        }
        Ok(self.tally)
    }

    async fn tops_up(&mut self, number: usize) -> Result<(), String> {
        let amount = self.chances.random_range(1..=20) * PRICE;
        let key = format!("{}-charge-{number}", self.name);
        let intent = Intent::top_up(&self.session.access_token, self.account.id, amount, &key);
        self.asks(intent, Wish::Charge, amount, |transaction: &Transaction| transaction.id).await
    }

    async fn orders(&mut self, number: usize, quantity: i64) -> Result<(), String> {
        let key = format!("{}-order-{number}", self.name);
        let items = [Item { product_id: 1, quantity }];
        let intent = Intent::order(&self.session.access_token, &items).under(&key);
        self.asks(intent, Wish::Order, quantity * PRICE, |order: &Order| order.id).await
    }

    /// Asks until it is decided; now and then as two or three at once, and each must be told.
    async fn asks<T>(&mut self, intent: Intent, wish: Wish, amount: i64, id: fn(&T) -> i64) -> Result<(), String>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        let at_once = if self.chances.random_bool(0.3) { self.chances.random_range(2..=3) } else { 1 };
        let mut askers = JoinSet::new();
        for _ in 0..at_once {
            let (patient, intent) = (self.patient.clone(), intent.clone());
            askers.spawn(async move { patient.settle::<T>(&intent).await });
        }
        while let Some(settled) = askers.join_next().await {
            let settled = settled.map_err(|error| error.to_string())?.map_err(|error| format!("{}: {error}", self.name))?;
            self.tally.retries += u64::from(settled.retries);
            let answer = match settled.fate {
                Fate::Final { said, answer } => {
                    self.tally.answered.push((intent.clone(), answer.status, answer.body));
                    Said::Done(id(&said))
                }
                Fate::Refused { status, .. } => Said::Refused(status),
                Fate::GaveUp { last } => {
                    eprintln!("{}: {:?} was given up: {last}", self.name, intent.key());
                    Said::Nothing
                }
            };
            let key = intent.key().unwrap_or_default().to_owned();
            self.tally.told.push(Told { key, user_id: self.session.user.id, amount, wish, answer });
        }
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.told.extend(other.told);
        self.users.extend(other.users);
        self.retries += other.retries;
        self.answered.extend(other.answered);
    }

    /// Where users and accounts do not fit, on lines.
    pub(crate) fn unlike_accounts(&self, books: &Books) -> String {
        let mut lines = String::new();
        for account in &books.accounts {
            if !self.users.contains(&account.user_id) {
                lines += &format!("  account {} is of user {}, who was never told of it\n", account.id, account.user_id);
            }
        }
        for user in &self.users {
            let count = books.accounts.iter().filter(|account| account.user_id == *user).count();
            if count != 1 {
                lines += &format!("  user {user} has {count} accounts\n");
            }
        }
        lines
    }

    /// Where an answer is not the same when it is asked for once more, on lines.
    pub(crate) async fn told_otherwise_now(&self, edge: &str) -> Result<String, String> {
        let patient = Patient::new(Edge::at(edge).map_err(|error| error.to_string())?, Patience::default());
        let mut lines = String::new();
        let step = (self.answered.len() / ASKED_AGAIN).max(1);
        for (intent, status, body) in self.answered.iter().step_by(step) {
            let settled = patient.settle::<serde_json::Value>(intent).await.map_err(|error| error.to_string())?;
            match settled.fate {
                Fate::Final { answer, .. } if answer.status == *status && answer.body == *body => {}
                fate => lines += &format!("  the key {:?} has another answer now: {fate:?}\n", intent.key()),
            }
        }
        Ok(lines)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: BTreeMap<(i64, &str), &Told> = self.told.iter().map(|told| ((told.user_id, told.key.as_str()), told)).collect();
        let mut refused: BTreeMap<u16, usize> = BTreeMap::new();
        let (mut orders, mut charges) = (0, 0);
        for told in keys.values() {
            match (told.answer, told.wish) {
                (Said::Done(_), Wish::Order) => orders += 1,
                (Said::Done(_), Wish::Charge) => charges += 1,
                (Said::Refused(status), _) => *refused.entry(status).or_default() += 1,
                (Said::Nothing, _) => {}
            }
        }
        let refused = refused.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>().join(", ");
        let (asked, keys, retries) = (self.told.len(), keys.len(), self.retries);
        write!(
            f,
            "{keys} keys asked for {asked} times with {retries} retries: {orders} orders, {charges} charges, refused {refused}"
        )
    }
}
