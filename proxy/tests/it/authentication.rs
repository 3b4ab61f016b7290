//! Who the caller is: tokens of a real issuer, verified by the real program.

mod issuer;
mod keys;
mod required;
mod revocation;
mod scope;

use serde_json::json;

use self::issuer::{Issuer, Signer};
use crate::support::{
    client::{Answer, Call},
    origin::{Origin, Reply},
    refrain::Refrain,
    within,
};

/// A service, who issues tokens, and a Refrain between the service and everybody else.
struct Town {
    orders: Origin,
    issuer: Issuer,
    refrain: Refrain,
}

/// Where tokens are required, unless a test says otherwise.
const REQUIRED_ON: &str = "required_on: [{prefix: /orders/}, {prefix: /admin/, check: \"${claims.role == 'admin'}\"}]";

impl Town {
    /// With `jwt` beside issuer and keys, and `more` at the top.
    async fn new(jwt: &str, more: &str) -> Self {
        let (orders, issuer) = (Origin::start(), Issuer::new());
        let refrain = Refrain::start(&yaml(&orders, &issuer, jwt, more)).await;
        Self { orders, issuer, refrain }
    }

    fn post(&self, path: &str) -> Call {
        Call::post(&self.refrain.url(path)).json("{}")
    }

    fn get(&self, path: &str) -> Call {
        Call::get(&self.refrain.url(path))
    }

    /// A token of a user, by the issuer's first key; every one has an id of its own.
    fn token(&self, user: u64) -> String {
        self.issuer.token(&json!({"user_id": user}))
    }
}

/// The store is the file's own, in memory: no test restarts.
fn yaml(orders: &Origin, issuer: &Issuer, jwt: &str, more: &str) -> String {
    let keys = format!("jwks: {{call: auth GET {}}}", issuer::KEYS);
    with_keys(orders, issuer, &keys, jwt, more)
}

fn with_keys(orders: &Origin, issuer: &Issuer, keys: &str, jwt: &str, more: &str) -> String {
    format!(
        "{}authentication:\n  jwt:\n    issuer: shop\n    {keys}\n    algorithms: [EdDSA, RS256]\n    {jwt}\n{more}\n",
        upstreams(orders, issuer)
    )
}

fn upstreams(orders: &Origin, issuer: &Issuer) -> String {
    format!(
        "store: {{url: \"memory:\"}}\nupstreams:\n  orders: {{url: \"{}\", local: true}}\n  auth: {{url: \"{}\", connect_timeout: 1s}}\n",
        orders.url(),
        issuer.origin.url()
    )
}

fn bearing(call: Call, token: &str) -> Call {
    call.header("authorization", format!("Bearer {token}"))
}

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.problem())
}

/// Sends it again until its answer is as wanted.
async fn until(call: Call, wanted: impl Fn(&Answer) -> bool) -> Answer {
    within("an answer as wanted", async {
        loop {
            let answer = call.clone().send().await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}
