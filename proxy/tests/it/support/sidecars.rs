//! The shop's sidecars: the Refrain of orders, in one or more replicas, which runs the sagas, and the Refrain of billing.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    client::{Answer, Call},
    redis::{RedisServer, free_port},
    refrain::Refrain,
    shop::Shop,
};

/// `create-order`, as it stands in the shop.
const CREATE_ORDER: &str = include_str!("../../../../examples/services/sagas/create-order.yaml");
/// How long a request may still act, in all services. Undo and probes wait for it.
pub(crate) const MAX_EXECUTION: Duration = Duration::from_millis(700);
/// One file, one process.
pub(crate) const EMBEDDED: &str = "embedded:./refrain.db";

static CUSTOMERS: AtomicU64 = AtomicU64::new(1);

/// What sidecars share: the shop, the key that signs saga calls, the sagas' files.
pub(crate) struct Surroundings {
    pub(crate) shop: Shop,
    folder: TempDir,
    /// Where billing's sidecar listens, whenever it runs.
    billing_port: u16,
    /// How the sidecars are set up.
    pub(crate) setup: Setup,
}

/// How sidecars are set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The saga of orders' sidecar.
    pub(crate) saga: String,
    /// `sagas.lease`; `None`: the default.
    pub(crate) lease: Option<Duration>,
    /// What else orders' sidecar is told, at top level.
    pub(crate) more: String,
    /// What else orders' sidecar is told of its upstream `notifications`, and of `billing`.
    pub(crate) of_notifications: &'static str,
    pub(crate) of_billing: &'static str,
}

/// The shop's `create-order` with quick retries, the announcement's as those of all steps, and without tokens: the user is in the body.
/// Without comments as well, so that tests can change what stands there.
fn create_order() -> String {
    let without_comment = |line: &'static str| line.split("  #").next().unwrap().trim_end();
    let lines = CREATE_ORDER.lines().take_while(|line| *line != "test:").map(without_comment);
    let bare: String = lines.filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    let changes = [
        ("${claims.user_id}", "${request.body.user_id}"),
        ("${claims.email}", "ann@shop.example"),
        ("    timeout: 2s\n    retry: {for: 3s, initial: 200ms}\n", ""),
        ("retry: {max: 5, initial: 200ms, max_delay: 5s}", "retry: {max: 5, initial: 20ms, max_delay: 200ms}"),
        ("retry: {for: 24h, initial: 500ms, max_delay: 1m}", "retry: {for: 24h, initial: 50ms, max_delay: 500ms}"),
    ];
    changes.into_iter().fold(bare, |saga, (from, to)| {
        assert_eq!(saga.matches(from).count(), 1, "{from} in {saga}");
        saga.replace(from, to)
    })
}

impl Default for Setup {
    fn default() -> Self {
        let lease = Some(Duration::from_millis(300));
        let (of_notifications, of_billing) = ("idempotency_window: 24h", "refrain: true");
        Self { saga: create_order(), lease, more: String::new(), of_notifications, of_billing }
    }
}

impl Surroundings {
    pub(crate) fn new(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("peers.key"), "a key that all sidecars share").unwrap();
        std::fs::write(folder.path().join("saga.yaml"), &setup.saga).unwrap();
        Self { shop: Shop::open(), folder, billing_port: free_port(), setup }
    }

    /// Another definition in the same file.
    pub(crate) fn rewrite_saga(&self, saga: &str) {
        std::fs::write(self.saga_file(), saga).unwrap();
    }

    pub(crate) fn saga_file(&self) -> PathBuf {
        self.file("saga.yaml")
    }

    /// A file that is not there until it is written.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of orders' sidecar.
    pub(crate) fn orders_yaml(&self, store: &str) -> String {
        let Setup { lease, more, of_notifications, of_billing, .. } = &self.setup;
        let lease = lease.map(|lease| format!("{}ms", lease.as_millis()));
        let of_sagas = lease.as_ref().map(|lease| format!(", lease: {lease}")).unwrap_or_default();
        let of_records = lease.as_ref().map(|lease| format!("lease: {lease}, ")).unwrap_or_default();
        let (peers, saga) = (shown(&self.file("peers.key")), shown(&self.saga_file()));
        let max = format!("{}ms", MAX_EXECUTION.as_millis());
        let (orders, notifications) = (self.shop.orders().url(), self.shop.notifications().url());
        let probe = probe("/internal/orders/");
        let status_probe = format!(
            "{{call: \"GET /internal/orders/at?path=${{request.path}}\", after: {max}, done: \"${{response.body.status == request.body.status}}\", response: {{status: \
             200, body: \"${{response.body}}\"}}}}"
        );
        format!(
            "store: {{url: \"{store}\"}}
sagas: {{files: [\"{saga}\"]{of_sagas}}}
saga_peers: {{key: {{file: \"{peers}\"}}}}
upstreams:
  orders: {{url: \"{orders}\", local: true, max_execution: {max}}}
  billing: {{url: \"http://127.0.0.1:{}\", {of_billing}, max_execution: {max}}}
  notifications: {{url: \"{notifications}\", {of_notifications}, max_execution: {max}}}
idempotency: {{{of_records}max_execution: {max}, ttl: 1h}}
routes:
  - match: {{path: /internal/orders/, methods: [POST]}}
    access: saga
    idempotency: {{on_unknown: {{probe: {probe}}}}}
  - match: {{template: \"/internal/orders/{{id}}/\", methods: [PATCH]}}
    access: saga
    idempotency: {{on_unknown: {{probe: {status_probe}}}}}
  - match: {{prefix: /internal/}}
    access: saga
{more}",
            self.billing_port
        )
    }

    /// The configuration of billing's sidecar.
    pub(crate) fn billing_yaml(&self, store: &str) -> String {
        let peers = shown(&self.file("peers.key"));
        let max = format!("{}ms", MAX_EXECUTION.as_millis());
        let (billing, probe) = (self.shop.billing().url(), probe("/balance_transactions/"));
        let lease = self.setup.lease.map(|lease| format!("lease: {}ms, ", lease.as_millis())).unwrap_or_default();
        format!(
            "listen: 127.0.0.1:{}
store: {{url: \"{store}\"}}
saga_peers: {{key: {{file: \"{peers}\"}}}}
upstreams:
  billing: {{url: \"{billing}\", local: true, max_execution: {max}}}
idempotency: {{{lease}max_execution: {max}, ttl: 1h}}
routes:
  - match: {{path: /balance_transactions/, methods: [POST]}}
    access: saga
    idempotency: {{on_unknown: {{probe: {probe}}}}}
",
            self.billing_port
        )
    }

    pub(crate) async fn orders(&self, store: &str) -> Refrain {
        Refrain::start(&self.orders_yaml(store)).await
    }

    pub(crate) async fn billing(&self, store: &str) -> Refrain {
        Refrain::start(&self.billing_yaml(store)).await
    }
}

/// How a ledger is asked whether it has what a step was to write.
fn probe(path: &str) -> String {
    let after = MAX_EXECUTION.as_millis();
    format!(
        "{{when: \"${{request.body.?reference.orValue('') == key}}\", call: \"GET {path}?reference=${{key}}\", after: {after}ms, done: \
         \"${{size(response.body) > 0}}\", response: {{status: 201, body: \"${{response.body[0]}}\"}}}}"
    )
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A shop and its sidecars.
pub(crate) struct Sidecars {
    /// Replicas.
    pub(crate) orders: Vec<Refrain>,
    pub(crate) billing: Refrain,
    pub(crate) around: Surroundings,
    pub(crate) redis: Option<RedisServer>,
}

impl Sidecars {
    /// One of each kind, with a file each.
    pub(crate) async fn with_files(setup: Setup) -> Self {
        let around = Surroundings::new(setup);
        let (orders, billing) = tokio::join!(around.orders(EMBEDDED), around.billing(EMBEDDED));
        Self { orders: vec![orders], billing, around, redis: None }
    }

    /// So many replicas of orders' on a Redis of their own; billing's has a file.
    pub(crate) async fn with_redis(setup: Setup, replicas: usize) -> Self {
        let (around, redis) = (Surroundings::new(setup), RedisServer::start());
        let url = redis.url();
        let orders = futures_util::future::join_all((0..replicas).map(|_| around.orders(&url)));
        let (orders, billing) = tokio::join!(orders, around.billing(EMBEDDED));
        Self { orders, billing, around, redis: Some(redis) }
    }

    /// The first replica.
    pub(crate) fn first(&self) -> &Refrain {
        &self.orders[0]
    }

    pub(crate) fn shop(&self) -> &Shop {
        &self.around.shop
    }

    pub(crate) fn redis(&mut self) -> &mut RedisServer {
        self.redis.as_mut().expect("these have a Redis")
    }
}

/// What one customer orders, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) user: u64,
    /// In cents.
    pub(crate) amount: i64,
    key: String,
}

impl Order {
    /// An order of a customer that nobody else is.
    pub(crate) fn new() -> Self {
        let user = CUSTOMERS.fetch_add(1, Ordering::Relaxed);
        Self { user, amount: 1000 + i64::try_from(user % 977).unwrap(), key: format!("order-of-{user}") }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn body(&self) -> String {
        format!(
            r#"{{"user_id": {}, "items": [{{"sku": "a", "price": 999}}, {{"sku": "b", "price": {}}}]}}"#,
            self.user,
            self.amount - 999
        )
    }

    /// The request that places it.
    pub(crate) fn call(&self, refrain: &Refrain) -> Call {
        self.call_at(&refrain.url("/orders/"))
    }

    pub(crate) fn call_at(&self, url: &str) -> Call {
        Call::post(url).key(&self.key).json(self.body())
    }

    /// Asks until the final answer is there, at whoever answers.
    pub(crate) async fn settled(&self, refrain: &Refrain) -> Answer {
        self.settled_at(&[refrain.url("/orders/")]).await
    }

    /// The same, at each of these in turn.
    pub(crate) async fn settled_at(&self, urls: &[String]) -> Answer {
        let mut last = String::new();
        let mut turn = 0;
        let asking = async {
            loop {
                turn += 1;
                match self.call_at(&urls[turn % urls.len()]).try_send().await {
                    Ok(answer) if is_final(&answer) => return answer,
                    Ok(answer) => last = format!("{} {} {}", answer.status, answer.how(), answer.text()),
                    Err(error) => last = error.to_string(),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(super::PATIENCE, asking).await {
            Ok(answer) => answer,
            Err(_) => panic!("no final answer for {self:?}; the last one: {last}"),
        }
    }
}

/// Whether this is a saga's last word.
pub(crate) fn is_final(answer: &Answer) -> bool {
    ["executed", "replayed", "joined"].contains(&answer.how())
}
