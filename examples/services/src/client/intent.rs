//! Requests as a client means them.

use reqwest::Method;
use serde::Serialize;
use uuid::Uuid;

/// A request with the key by which the shop knows it again. Sent twice, it is the same request.
#[derive(Clone, Debug)]
pub struct Intent {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<String>,
    pub(super) key: Option<String>,
    pub(super) token: Option<String>,
}

/// Who wants to be a user of the shop.
#[derive(Clone, Debug, Serialize)]
pub struct Registration {
    /// By which it logs in.
    pub email: String,
    /// Its password.
    pub password: String,
    /// What it is called.
    pub first_name: String,
    /// Its family's name.
    pub last_name: String,
}

/// So many pieces of a product.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Item {
    /// The product.
    pub product_id: i64,
    /// How many of it.
    pub quantity: i64,
}

#[derive(Serialize)]
struct NewOrder<'a> {
    items: &'a [Item],
}

#[derive(Serialize)]
struct Credentials<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct Charge<'a> {
    account_id: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    amount: i64,
    currency: &'static str,
    /// The client's own name of it, by which it can be found again.
    reference: &'a str,
}

impl Intent {
    /// To become a user.
    pub fn register(registration: &Registration) -> Self {
        Self::post("/register/", json(registration))
    }

    /// To log in.
    pub fn log_in(email: &str, password: &str) -> Self {
        Self::post("/login/", json(&Credentials { email, password }))
    }

    /// To log out: the token stops working.
    pub fn log_out(token: &str) -> Self {
        Self { body: None, ..Self::post("/logout/", String::new()) }.by(token)
    }

    /// To put `amount` cents on the account. The key is the reference as well.
    pub fn top_up(token: &str, account_id: i64, amount: i64, key: &str) -> Self {
        let charge = Charge { account_id, kind: "charge", amount, currency: "USD", reference: key };
        Self::post("/balance_transactions/", json(&charge)).by(token).under(key)
    }

    /// To order.
    pub fn order(token: &str, items: &[Item]) -> Self {
        Self::post("/orders/", json(&NewOrder { items })).by(token)
    }

    /// To read: without a key, for it changes nothing.
    pub fn read(path: &str, token: &str) -> Self {
        Self::look(path).by(token)
    }

    /// To read without saying who asks.
    pub fn look(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: None, key: None, token: None }
    }

    /// The same under this key. Printable ASCII without `"` and `\`.
    #[must_use]
    pub fn under(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// Its key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Its body, as it is sent.
    pub fn body(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }

    /// For people: `POST /orders/`.
    pub fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn by(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    fn post(path: &str, body: String) -> Self {
        let key = Some(Uuid::new_v4().to_string());
        Self { method: Method::POST, path: path.to_owned(), body: Some(body), key, token: None }
    }
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts and whole numbers are JSON")
}
