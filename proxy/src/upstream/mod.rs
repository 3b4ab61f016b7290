//! Upstreams: connection pools, one per core, and what became of a send.
//!
//! Every send is one that the caller knows of: nothing is retried here after the first byte may have left. What is handed back unsent
//! ([`SendError::NotSent`]) was proved unsent by the HTTP library; everything else is unknown.

mod body;
mod connect;
mod connection;
mod pool;
mod send;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Request;

pub use self::{body::PooledBody, send::Send};
use self::{connect::Endpoint, pool::CorePool};
use crate::{body::Body, config::UpstreamConfig};

/// An upstream of this process, shared by all cores.
#[derive(Debug)]
pub struct Upstream {
    config: Arc<UpstreamConfig>,
    endpoints: Vec<Arc<Endpoint>>,
    /// By core, then by endpoint.
    pools: Vec<Vec<CorePool>>,
    /// The next endpoint's turn.
    turn: AtomicUsize,
    /// Requests under way, by core.
    in_flight: Vec<OneCores<AtomicUsize>>,
}

/// What one core writes and others only read now and then: apart from what other cores write, which would cost both.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OneCores<T>(T);

/// Why an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// An endpoint's host cannot be a TLS server name.
    #[error("upstream {upstream}: {host:?} cannot be a TLS server name")]
    ServerName {
        /// The upstream.
        upstream: String,
        /// The host.
        host: String,
    },
    /// The platform's certificate roots cannot be read.
    #[error("the platform's certificate roots cannot be read: {0}")]
    Roots(String),
}

impl Upstream {
    /// Sets an upstream up for `cores` cores. Opens no connection.
    ///
    /// # Errors
    ///
    /// See [`SetUpError`].
    pub fn new(config: Arc<UpstreamConfig>, cores: usize) -> Result<Self, SetUpError> {
        let endpoints =
            config.endpoints.iter().map(|uri| Endpoint::new(&config, uri).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let per_core = (config.max_connections / cores.max(1)).max(1);
        let pools = (0..cores).map(|_| endpoints.iter().map(|_| CorePool::new(per_core, config.max_idle)).collect()).collect();
        let in_flight = (0..cores).map(|_| OneCores::default()).collect();
        Ok(Self { config, endpoints, pools, turn: AtomicUsize::new(0), in_flight })
    }

    /// Its configuration.
    pub fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Connections now: (open, idle), over all cores and endpoints.
    pub fn connections(&self) -> (usize, usize) {
        self.pools.iter().flatten().map(CorePool::counts).fold((0, 0), |sum, now| (sum.0 + now.0, sum.1 + now.1))
    }

    /// Requests under way now.
    pub fn in_flight(&self) -> usize {
        // Every core adds before it looks: of those who come at once, none is overlooked by all.
        self.in_flight.iter().map(|OneCores(count)| count.load(Ordering::SeqCst)).sum()
    }

    /// Closes connections of `core` that have been idle for too long.
    pub fn reap(&self, core: usize) {
        self.pools.get(core).into_iter().flatten().for_each(CorePool::reap);
    }

    fn next_turn(&self) -> usize {
        match self.endpoints.len() {
            1 => 0,
            endpoints => self.turn.fetch_add(1, Ordering::Relaxed) % endpoints,
        }
    }

    /// A place among the requests under way, unless `max_in_flight` are.
    fn admit(self: &Arc<Self>, core: usize) -> Option<InFlight> {
        let place = InFlight::take(Arc::clone(self), core);
        match self.config.max_in_flight {
            Some(max) if self.in_flight() > max => None,
            Some(_) | None => Some(place),
        }
    }
}

/// A place among an upstream's requests under way; given back on drop.
#[derive(Debug)]
struct InFlight {
    upstream: Arc<Upstream>,
    core: usize,
}

impl InFlight {
    fn take(upstream: Arc<Upstream>, core: usize) -> Self {
        if let Some(OneCores(count)) = upstream.in_flight.get(core) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Self { upstream, core }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(OneCores(count)) = self.upstream.in_flight.get(self.core) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One request on its way to an upstream.
#[derive(Debug)]
pub struct Call {
    /// Where to.
    pub upstream: Arc<Upstream>,
    /// On which core: the one whose connections are used.
    pub core: usize,
    /// The request. Its target is path and query; `Host` says which authority the client meant.
    pub request: Request<Body>,
    /// Asked right before the first byte may leave.
    pub gate: Option<Arc<dyn Gate>>,
}

/// Decides, right before the first byte of a request leaves, whether it may.
pub trait Gate: std::marker::Send + Sync + std::fmt::Debug {
    /// `true`: the send begins now. `false`: nothing is sent.
    fn open(&self) -> bool;
}

/// Why there is no answer.
#[derive(Debug)]
pub enum SendError {
    /// Nothing was sent. The call comes back, unless it was the upstream that refused it whole.
    NotSent(NotSent, Option<Box<Call>>),
    /// Something was sent, and nobody knows what became of it.
    Unknown(String),
}

/// Why nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// No connection: name resolution, TCP, TLS.
    #[error("no connection to {endpoint}: {reason}")]
    Connect {
        /// The endpoint's authority.
        endpoint: String,
        /// What went wrong.
        reason: String,
    },
    /// No connection within `connect_timeout`.
    #[error("no connection to {endpoint} within {within:?}")]
    ConnectTimeout {
        /// The endpoint's authority.
        endpoint: String,
        /// The bound.
        within: std::time::Duration,
    },
    /// All connections were busy for all of `connect_timeout`.
    #[error("all connections to {endpoint} are busy")]
    PoolBusy {
        /// The endpoint's authority.
        endpoint: String,
    },
    /// `max_in_flight` requests are under way.
    #[error("too many requests to upstream {upstream} are under way")]
    TooManyInFlight {
        /// The upstream.
        upstream: String,
    },
    /// The connection closed, or the upstream refused the stream (RFC 9113, section 8.7), before it took the request.
    #[error("{endpoint} did not take the request: {reason}")]
    NotTaken {
        /// The endpoint's authority.
        endpoint: String,
        /// What went wrong.
        reason: String,
    },
    /// The [`Gate`] was closed.
    #[error("the claim's lease was too short to begin")]
    GateClosed,
}

impl NotSent {
    /// Whether another endpoint might take what this one did not.
    const fn is_endpoints_fault(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::PoolBusy { .. } | Self::NotTaken { .. } => true,
            Self::TooManyInFlight { .. } | Self::GateClosed => false,
        }
    }

    /// Whether it was a bound of ours and not the upstream.
    pub const fn is_overload(&self) -> bool {
        matches!(self, Self::PoolBusy { .. } | Self::TooManyInFlight { .. })
    }
}
