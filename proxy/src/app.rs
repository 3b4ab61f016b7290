//! The wiring: one control thread, one thread per core, and what they share.
//!
//! The control thread renews leases, makes owed writes, listens for completions, serves the admin side, reloads the configuration
//! and drains. A core's thread accepts connections, answers requests and runs their exchanges; nothing it does crosses cores.

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, atomic::AtomicUsize},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin,
    authentication::Authenticator,
    body::Budget,
    config::Config,
    gateway::{Gateway, Sagas, Table},
    idempotency::{
        backlog::Backlog as Owing,
        barrier::{Barrier, StepRoute},
        context::{Context, Unknowns},
        heartbeat,
        lease::Leases,
        seal::{DuplicateKeyId, Sealer},
    },
    metrics::Metrics,
    peers::Peers,
    router::{Route, Router},
    saga::{
        call::{directory::Directory, http_caller::HttpCaller},
        engine::{Common, Engine},
        leases,
        operate::Operations,
        plan::Plan,
        recovery,
    },
    server::{self, Shared, listener},
    store::{
        Store,
        backend::{self, Backend},
        wakes::Wakes,
    },
    upstream::{Send as SendCall, SetUpError, Upstream},
};

/// Writes that may be owed to the store at once.
const MAX_OWED: usize = 65_536;
/// How long the last owed writes get once nobody serves any more.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// How long a release is tried: past it, its lease has lapsed long since.
const LONGEST_RELEASE: Duration = Duration::from_secs(30);
/// How often idle connections to upstreams are looked through.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// Why Refrain does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] listener::BindError),
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] backend::OpenError),
    /// An upstream cannot be set up.
    #[error(transparent)]
    Upstream(#[from] SetUpError),
    /// Two encryption keys have one id.
    #[error("store.encryption: {0}")]
    Encryption(#[from] DuplicateKeyId),
    /// A thread or a runtime cannot be had.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// A Refrain that serves.
#[derive(Debug)]
pub struct App {
    config: Config,
    store: Backend,
    addresses: Vec<SocketAddr>,
    admin_address: SocketAddr,
    force: Force,
    shared: Shared,
    leases: Leases,
    barrier: Barrier,
    stop_control: CancellationToken,
    cores: Vec<oneshot::Receiver<()>>,
    control: TaskTracker,
    owed: tokio::task::JoinHandle<()>,
}

impl App {
    /// Starts everything. Must be called on the control thread's runtime.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listeners = config.listeners.iter().map(|at| listener::bind(*at, config.workers)).collect::<Result<Vec<_>, _>>()?;
        let admin_listener = listener::bind(config.admin, 1)?;
        let address_of = |listeners: &Vec<StdListener>| listeners.first().and_then(|listener| listener.local_addr().ok());
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(address_of).collect();
        let admin_address = address_of(&admin_listener).unwrap_or(config.admin);
        let sealer = Arc::new(Sealer::new(&config.store.encryption)?);
        let metrics = Metrics::new();
        let force = Force::new(InForce::of(&config, None, &metrics)?);
        let wakes = Wakes::default();
        let store = Backend::open(&config.store, wakes.clone()).await?;

        let (backlog, owed) = Owing::new(MAX_OWED);
        let leases = Leases::new(backlog.clone(), metrics.clone());
        leases.expect(shortest_lease(&config));
        let shared = Shared {
            limits: config.limits,
            connections: Arc::default(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
            metrics: metrics.clone(),
        };
        let parts = Parts {
            wakes,
            leases: leases.clone(),
            backlog,
            sealer,
            budget: Budget::new(config.limits.buffered.get()),
            unknowns: Unknowns::default(),
            barrier: Barrier::default(),
            in_flight: Arc::default(),
        };
        parts.barrier.expect(step_routes(&config));
        let barrier = parts.barrier.clone();
        let sagas = Common::default();
        let (mut cores, mut handing) = (Vec::new(), Vec::new());
        for (core, listeners) in by_core(listeners, config.workers).into_iter().enumerate() {
            let context = Arc::new(parts.context(store.handle(), &metrics));
            let directory = Arc::clone(&force.directory);
            let caller = HttpCaller::new(core, directory, Arc::clone(&context), shared.clone(), SendCall);
            let engine = Engine::new(Arc::clone(&context), Arc::clone(&force.plan), sagas.clone(), shared.clone(), caller);
            let (table, in_flight) = (Arc::clone(&force.table), Arc::clone(&parts.in_flight));
            let gateway = Gateway::new(core, table, context, engine.clone(), shared.clone(), in_flight);
            let (hand, handed) = recovery::queue();
            handing.push(hand);
            cores.push(start_core(Core {
                core,
                listeners,
                gateway,
                engine,
                handed,
                force: force.clone(),
                shared: shared.clone(),
            })?);
        }
        let stop_control = CancellationToken::new();
        let control = TaskTracker::new();
        control.spawn(store.handle().run_background());
        control.spawn(heartbeat::run(store.handle(), leases.clone(), metrics.clone(), stop_control.clone()));
        let beat =
            leases::run(store.handle(), sagas.leases.clone(), Arc::clone(&force.plan), metrics.clone(), stop_control.clone());
        control.spawn(beat);
        let context = Arc::new(parts.context(store.handle(), &metrics));
        control.spawn(recovery::run(context, Arc::clone(&force.plan), sagas.clone(), handing, shared.drain.clone()));
        let owed = tokio::spawn(owed.work(store.handle(), LONGEST_RELEASE));
        let state = admin::State {
            context: Arc::new(parts.context(store.handle(), &metrics)),
            table: Arc::clone(&force.table),
            directory: Arc::clone(&force.directory),
            operations: Operations::new(store.handle(), Arc::clone(&parts.sealer), Arc::clone(&force.plan), &sagas),
            driven: sagas.leases,
            shared: shared.clone(),
            in_flight: Arc::clone(&parts.in_flight),
        };
        for listener in admin_listener {
            let listener = TcpListener::from_std(listener).map_err(StartError::Thread)?;
            control.spawn(admin::serve(listener, state.clone(), stop_control.clone()));
        }
        Ok(Self { config, store, addresses, admin_address, force, shared, leases, barrier, stop_control, cores, control, owed })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin side listens.
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The configuration in force.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The counters.
    pub const fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Puts another configuration in force, as far as that goes without a restart; tells what does not.
    ///
    /// # Errors
    ///
    /// An upstream that cannot be set up: the old configuration stays in force.
    pub fn reload(&mut self, config: Config) -> Result<Vec<&'static str>, SetUpError> {
        let needs_restart = config.needs_restart(&self.config);
        let config = config.keeping_what_needs_a_restart(&self.config);
        let (directory, table) = (self.force.directory.load_full(), self.force.table.load_full());
        self.force.put(InForce::of(&config, Some((&directory, &table)), &self.shared.metrics)?);
        self.leases.expect(shortest_lease(&config));
        self.barrier.expect(step_routes(&config));
        self.config = config;
        Ok(needs_restart)
    }

    /// Stops: no new connections, then the requests under way are finished, until `hurry` or `limits.drain`; what is left then is
    /// given up, and the store is told.
    pub async fn drain(self, hurry: impl Future<Output = ()>) {
        let Self { config, store, force, shared, leases, stop_control, cores, control, owed, .. } = self;
        let under_way = shared.tasks.len();
        tracing::info!(tasks = under_way, at_most = ?config.limits.drain, "draining");
        shared.drain.cancel();
        shared.tasks.close();
        tokio::select! {
            () = shared.tasks.wait() => tracing::info!("every request is finished"),
            () = tokio::time::sleep(config.limits.drain) => {
                tracing::warn!(tasks = shared.tasks.len(), "the drain's time is over: what is left is given up");
            }
            () = hurry => tracing::warn!(tasks = shared.tasks.len(), "told to hurry: what is left is given up"),
        }
        shared.cut.cancel();
        for core in cores {
            // An error means that the core's thread is gone, which is what is waited for.
            let _gone = core.await;
        }
        stop_control.cancel();
        // The last who can owe a write: when they are gone, the owed writes come to their end.
        drop((leases, force, shared));
        if tokio::time::timeout(LAST_WRITES, owed).await.is_err() {
            tracing::warn!("the store did not take all owed writes in time; their records become unknown");
        }
        store.close().await;
        control.close();
        if tokio::time::timeout(LAST_WRITES, control.wait()).await.is_err() {
            tracing::warn!("the control thread's tasks did not end in time");
        }
    }
}

/// What every core's context is made of.
struct Parts {
    wakes: Wakes,
    leases: Leases,
    backlog: Owing,
    sealer: Arc<Sealer>,
    budget: Budget,
    unknowns: Unknowns,
    barrier: Barrier,
    in_flight: Arc<AtomicUsize>,
}

impl Parts {
    fn context(&self, store: Backend, metrics: &Metrics) -> Context<Backend> {
        Context {
            store,
            wakes: self.wakes.clone(),
            leases: self.leases.clone(),
            backlog: self.backlog.clone(),
            sealer: Arc::clone(&self.sealer),
            budget: self.budget.clone(),
            metrics: metrics.clone(),
            unknowns: self.unknowns.clone(),
            barrier: self.barrier.clone(),
        }
    }
}

/// What a reload replaces, as a configuration has it.
struct InForce {
    table: Table,
    directory: Arc<Directory>,
}

impl InForce {
    /// The routes, upstreams and sagas of a configuration. An upstream that has not changed keeps its connections, and who verifies
    /// tokens its keys.
    fn of(config: &Config, old: Option<(&Directory, &Table)>, metrics: &Metrics) -> Result<Self, SetUpError> {
        let (old, old_table) = old.unzip();
        let kept = |wanted: &crate::config::UpstreamConfig| {
            old.and_then(|old| old.upstreams().find(|upstream| upstream.config() == wanted)).map(Arc::clone)
        };
        let upstreams = config
            .upstreams
            .iter()
            .map(|wanted| match kept(wanted) {
                Some(upstream) => Ok(upstream),
                None => Upstream::new(Arc::clone(wanted), config.workers).map(Arc::new),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let route = |route: &Arc<crate::config::RouteConfig>| {
            let upstream = upstreams.get(route.upstream).map(Arc::clone)?;
            let metrics = metrics.route(&route.label);
            Some(Arc::new(Route { config: Arc::clone(route), upstream, metrics }))
        };
        let routes = config.routes.iter().filter_map(route).collect();
        let fallback = config.fallback.as_ref().and_then(route);
        let router = Router::new(routes, fallback);
        let directory =
            Directory::new(&upstreams, &router, Peers::new(&config.saga_peers), Arc::clone(&config.secrets), metrics, old);
        let directory = Arc::new(directory);
        let local = config.upstreams.iter().find(|upstream| upstream.local).map(|upstream| upstream.name.to_string());
        let sagas = Plan::new(&config.sagas, config.public_url.as_ref(), local, Arc::<Directory>::clone(&directory));
        let old_authentication = old_table.and_then(|table| table.authentication.as_ref());
        let authenticator = |jwt: &Arc<_>| Authenticator::new(jwt, &upstreams, config.workers, metrics, old_authentication);
        let authentication = config.authentication.as_ref().map(authenticator).transpose()?;
        let table = Table {
            router,
            authentication,
            forwarded: config.forwarded,
            peers: Peers::new(&config.saga_peers),
            sagas: Arc::new(sagas),
            trigger_policy: Arc::clone(&config.trigger_policy),
            access_log: config.access_log,
        };
        Ok(Self { table, directory })
    }
}

/// What is in force, shared by all threads.
#[derive(Clone, Debug)]
struct Force {
    table: Arc<ArcSwap<Table>>,
    directory: Arc<ArcSwap<Directory>>,
    plan: Arc<ArcSwap<Plan>>,
}

impl Force {
    fn new(first: InForce) -> Self {
        Self {
            plan: Arc::new(ArcSwap::new(Arc::clone(&first.table.sagas))),
            directory: Arc::new(ArcSwap::new(first.directory)),
            table: Arc::new(ArcSwap::from_pointee(first.table)),
        }
    }

    /// Puts another in force. What is called is there before what calls it.
    fn put(&self, next: InForce) {
        self.directory.store(next.directory);
        self.plan.store(Arc::clone(&next.table.sagas));
        self.table.store(Arc::new(next.table));
    }
}

/// By which ways steps come.
fn step_routes(config: &Config) -> impl Iterator<Item = StepRoute<'_>> {
    config.routes.iter().chain(&config.fallback).filter_map(|route| {
        let upstream = config.upstreams.get(route.upstream)?;
        let policy = route.policy.as_deref();
        Some(StepRoute { upstream: upstream.name.as_str(), max_execution: upstream.max_execution, policy })
    })
}

fn shortest_lease(config: &Config) -> Duration {
    let policies = config.routes.iter().chain(&config.fallback).filter_map(|route| route.policy.as_ref());
    policies.map(|policy| policy.lease).min().unwrap_or(Duration::from_secs(3))
}

/// One listener of each address for each core.
fn by_core(addresses: Vec<Vec<StdListener>>, cores: usize) -> Vec<Vec<StdListener>> {
    let mut by_core: Vec<Vec<StdListener>> = (0..cores).map(|_| Vec::new()).collect();
    for listeners in addresses {
        by_core.iter_mut().zip(listeners).for_each(|(core, listener)| core.push(listener));
    }
    by_core
}

/// What one core's thread has.
struct Core {
    core: usize,
    listeners: Vec<StdListener>,
    gateway: Gateway<Backend>,
    engine: Sagas<Backend>,
    handed: mpsc::Receiver<recovery::Handed>,
    force: Force,
    shared: Shared,
}

/// Starts a core's thread. The receiver hears, by its sender's end, that the thread is done.
fn start_core(core: Core) -> Result<oneshot::Receiver<()>, StartError> {
    let (done, is_done) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let name = format!("refrain-core-{}", core.core);
    let run = move || {
        runtime.block_on(run_core(core));
        // Dropping the runtime drops what is left of its tasks; their leases give themselves up.
        drop(runtime);
        drop(done);
    };
    thread::Builder::new().name(name).spawn(run).map_err(StartError::Thread)?;
    Ok(is_done)
}

async fn run_core(core: Core) {
    let Core { core, listeners, gateway, engine, handed, force, shared } = core;
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                // Tracked, so that a drain does not end before the last connection is taken.
                shared.tasks.spawn(server::serve(listener, gateway.clone(), shared.clone()));
            }
            Err(error) => tracing::error!(%error, core, "a listener cannot be used by this core"),
        }
    }
    drop(gateway);
    // Ends with the drain. What it began is tracked.
    let take_over = tokio::spawn(recovery::take_over(engine, handed));
    let mut reap = tokio::time::interval(REAP_EVERY);
    loop {
        tokio::select! {
            () = shared.cut.cancelled() => break,
            _tick = reap.tick() => {
                force.directory.load().upstreams().for_each(|upstream| upstream.reap(core));
                if let Some(authentication) = &force.table.load().authentication {
                    authentication.tend(core);
                }
            }
        }
    }
    take_over.abort();
}
