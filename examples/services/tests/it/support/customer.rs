//! Someone with an account and money on it.

use serde::de::DeserializeOwned;
use shop::client::{Account, Answer, Edge, Intent, Item, Order, Patience, Patient, Registration, Session, Transaction};

/// A customer of the shop, who asks until there is an answer.
pub(crate) struct Customer {
    patient: Patient,
    token: String,
    account: i64,
}

impl Customer {
    /// Registers, and puts 10.00 on the account.
    pub(crate) async fn register(edge: &Edge) -> Self {
        let [email, password, first_name, last_name] =
            ["ada@shop.example", "analytical engine", "Ada", "Lovelace"].map(str::to_owned);
        let patient = Patient::new(edge.clone(), Patience::default());
        let register = Intent::register(&Registration { email, password, first_name, last_name });
        let session: Session = patient.settle(&register).await.unwrap().done("registering").unwrap();
        let mut customer = Self { patient, token: session.access_token, account: 0 };
        customer.account = customer.read::<Account>("/account/").await.id;
        customer.done::<Transaction>(&customer.top_up("ten")).await;
        customer
    }

    /// The same customer, who goes to another edge from now on.
    pub(crate) fn at(self, edge: &Edge) -> Self {
        Self { patient: Patient::new(edge.clone(), Patience::default()), ..self }
    }

    /// Asks until it is done.
    pub(crate) async fn done<T: DeserializeOwned>(&self, intent: &Intent) -> T {
        self.patient.settle(intent).await.unwrap().done(&intent.what()).unwrap()
    }

    /// To put 10.00 on the account.
    pub(crate) fn top_up(&self, key: &str) -> Intent {
        Intent::top_up(&self.token, self.account, 1_000, key)
    }

    /// To order two things of 1.00 under this key.
    pub(crate) fn order(&self, key: &str) -> Intent {
        Intent::order(&self.token, &[Item { product_id: 1, quantity: 2 }]).under(key)
    }

    /// How much is left, and how many orders are complete.
    pub(crate) async fn books(&self) -> (i64, usize) {
        let orders: Vec<Order> = self.read("/orders/").await;
        let complete = orders.iter().filter(|order| order.status == "complete").count();
        (self.read::<Account>("/account/").await.balance, complete)
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        self.done(&Intent::read(path, &self.token)).await
    }
}

/// The second answer is the first one, byte for byte, and says so.
#[track_caller]
pub(crate) fn assert_replayed(first: &Answer, second: &Answer) {
    assert_eq!(first.status, 201, "{}", first.said());
    assert_eq!((second.status, &second.body), (first.status, &first.body), "{}", second.said());
    for header in ["content-type", "location"] {
        assert_eq!(second.headers.get(header), first.headers.get(header));
    }
    assert!(second.is_replayed() && !first.is_replayed());
}
