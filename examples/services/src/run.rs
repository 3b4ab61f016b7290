//! The shop from start to stop.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use axum::Router;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::address::{AddressError, Reserved};
use crate::announcement::{self, Place};
use crate::cli::Shop;
use crate::services::database::OpenError;
use crate::services::serving::Serving;
use crate::services::{billing, orders};
use crate::sidecar::{Plan, Sidecar, SidecarError};

const ORDERS_CONFIG: &str = include_str!("../sidecars/orders.yaml");
const BILLING_CONFIG: &str = include_str!("../sidecars/billing.yaml");

/// Why the shop did not open, or closed before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// An address given on the command line cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The folder for the data cannot be used.
    #[error("cannot use {} for the data", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A service's database cannot be used.
    #[error("cannot open the database of {service}")]
    Database {
        /// The service.
        service: &'static str,
        /// What it says.
        source: OpenError,
    },
    /// The system refuses something basic.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A sidecar does not start or does not keep running.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
}

/// Runs the shop until SIGINT or SIGTERM. A second signal cuts the stopping short and kills the sidecars.
///
/// # Errors
/// When the shop cannot be started, or when a sidecar cannot be kept running. Everything is stopped then.
pub async fn until_stopped(shop: Shop) -> Result<(), ShopError> {
    let mut signals = Signals::new()?;
    // Reserved first: the commonest mistake shall be told before anything is written.
    let addresses = Addresses::reserve(&shop)?;
    let data = Data::open(shop.data)?;
    let mut open = tokio::select! {
        open = Open::start(addresses, &data) => open?,
        () = signals.next() => return Ok(()),
    };
    announcement::opened(&open.places, &data.described());
    let outcome = tokio::select! {
        error = open.failure() => Err(error),
        () = signals.next() => Ok(()),
    };
    tokio::select! {
        () = open.stop() => outcome,
        () = signals.next() => outcome,
    }
}

/// SIGINT and SIGTERM, which mean the same.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, ShopError> {
        let listen = |kind| signal(kind).map_err(|source| ShopError::System { what: "listen for signals", source });
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

struct Addresses {
    orders: Reserved,
    orders_admin: Reserved,
    billing: Reserved,
    billing_admin: Reserved,
}

impl Addresses {
    fn reserve(shop: &Shop) -> Result<Self, AddressError> {
        Ok(Self {
            orders: Reserved::new(shop.orders_listen, "--orders-listen")?,
            orders_admin: Reserved::new(shop.orders_admin, "--orders-admin")?,
            billing: Reserved::new(shop.billing_listen, "--billing-listen")?,
            billing_admin: Reserved::new(shop.billing_admin, "--billing-admin")?,
        })
    }
}

/// The folder that holds everything the shop writes.
enum Data {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Data {
    fn open(folder: Option<PathBuf>) -> Result<Self, ShopError> {
        let Some(folder) = folder else {
            let temporary = tempfile::Builder::new()
                .prefix("shop-")
                .tempdir()
                .map_err(|source| ShopError::System { what: "create a temporary folder: give one with --data DIR", source })?;
            return Ok(Self::Temporary(temporary));
        };
        let absolute = std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
        absolute.map(Self::Kept).map_err(|source| ShopError::Data { folder, source })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn described(&self) -> String {
        let folder = self.path().display();
        match self {
            Self::Kept(_) => folder.to_string(),
            Self::Temporary(_) => format!("{folder} (removed at the end; --data DIR keeps it)"),
        }
    }
}

/// The shop while it is open.
struct Open {
    services: Vec<Serving>,
    sidecars: JoinSet<Result<(), SidecarError>>,
    stop: CancellationToken,
    places: Vec<Place>,
}

impl Open {
    async fn start(addresses: Addresses, data: &Data) -> Result<Self, ShopError> {
        let orders = Counter::open("orders", data, orders::service).await?;
        let billing = Counter::open("billing", data, billing::service).await?;
        let orders_plan = orders.plan(ORDERS_CONFIG, addresses.orders, addresses.orders_admin);
        let billing_plan = billing.plan(BILLING_CONFIG, addresses.billing, addresses.billing_admin);
        let (orders_sidecar, billing_sidecar) = tokio::try_join!(Sidecar::start(orders_plan), Sidecar::start(billing_plan))?;

        let stop = CancellationToken::new();
        let places = [&orders_sidecar, &billing_sidecar].map(Place::of).into();
        let mut sidecars = JoinSet::new();
        sidecars.spawn(orders_sidecar.keep_running(stop.clone()));
        sidecars.spawn(billing_sidecar.keep_running(stop.clone()));
        Ok(Self { services: vec![orders.serving, billing.serving], sidecars, stop, places })
    }

    /// Waits until a sidecar is given up.
    async fn failure(&mut self) -> ShopError {
        loop {
            match self.sidecars.join_next().await {
                Some(Ok(Err(error))) => return error.into(),
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                // Only a sidecar that was told to stop ends well, and none was.
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops the sidecars, whose last requests the services still answer, and then the services.
    async fn stop(mut self) {
        self.stop.cancel();
        while self.sidecars.join_next().await.is_some() {}
        for service in self.services {
            service.stop().await;
        }
    }
}

/// A service that is up, and the folder that it shares with its sidecar.
struct Counter {
    name: &'static str,
    folder: PathBuf,
    serving: Serving,
}

impl Counter {
    async fn open(
        name: &'static str,
        data: &Data,
        service: impl AsyncFnOnce(&str) -> Result<Router, OpenError>,
    ) -> Result<Self, ShopError> {
        let folder = data.path().join(name);
        if let Err(source) = std::fs::create_dir_all(&folder) {
            return Err(ShopError::Data { folder, source });
        }
        let database = folder.join(name).with_extension("db");
        let url = format!("sqlite://{}", database.display());
        let router = service(&url).await.map_err(|source| ShopError::Database { service: name, source })?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let serving = listener
            .and_then(|listener| Serving::start(listener, router))
            .map_err(|source| ShopError::System { what: "listen on the loopback interface", source })?;
        Ok(Self { name, folder, serving })
    }

    fn plan(&self, config: &'static str, listen: Reserved, admin: Reserved) -> Plan {
        Plan { name: self.name, config, folder: self.folder.clone(), upstream: self.serving.address(), listen, admin }
    }
}
