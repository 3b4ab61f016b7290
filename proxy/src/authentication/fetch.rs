//! The keys, and how they come here: from a file, or from an upstream by a request of this process's own.
//!
//! They are read when a token needs them, never by a clock of their own: once at the start, in the background where those that are here
//! have become old, and while a token waits where there are none or it names one that is not here. One reading at a time, for all cores.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use tokio::{io::AsyncReadExt as _, sync::watch, time::Instant};

use super::{
    ask::{Asking, ask},
    keys::{Choice, Key, KeySet, MAX_SET_BYTES},
};
use crate::{
    body::Body,
    config::SignatureAlgorithm,
    metrics::{KeyFetch, Metrics},
    upstream::Upstream,
};

/// How long one reading may take, and so how long a token waits for it.
const WITHIN: Duration = Duration::from_secs(5);
/// Tokens with unknown keys cause a reading at most this often: garbage must not become load elsewhere.
const FOR_UNKNOWN_EVERY: Duration = Duration::from_secs(5);
/// A reading that failed is tried again at the earliest after this time, where there are no keys at all …
const NONE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// … and where there are old ones.
const OLD_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A token waits for one reading that was under way when it came, which may have begun before its key was there, and for one more.
const READINGS_PER_TOKEN: usize = 2;

/// Where the keys are.
#[derive(Debug)]
pub(super) enum Source {
    /// In this file.
    File(PathBuf),
    /// This upstream is asked for this path and query.
    Upstream(Arc<Upstream>, Uri),
}

/// The keys that are here, and how they are read again.
#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    algorithms: Vec<SignatureAlgorithm>,
    refresh: Duration,
    metrics: Metrics,
    here: ArcSwapOption<Here>,
    state: Mutex<State>,
    /// Changes when a reading has ended.
    ended: watch::Sender<()>,
}

/// Keys that were read.
#[derive(Debug)]
struct Here {
    set: KeySet,
    generation: Generation,
    read_at: Instant,
}

/// Which keys were here: it changes when they do, and only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

#[derive(Debug, Default)]
struct State {
    under_way: bool,
    tried_at: Option<Instant>,
    tried_for_unknown_at: Option<Instant>,
}

/// The key of a token.
#[derive(Debug)]
pub(super) enum Found {
    /// It is this one, of these keys.
    Key(Arc<Key>, Generation),
    /// It is none of those that are here, and they are as new as they may be.
    Unknown,
    /// It may be more than one.
    Several,
    /// There are no keys, and none can be had.
    Unavailable,
}

/// Whether there is a reading to wait for; the receiver hears of its end.
enum Begun {
    /// It began now.
    Now(watch::Receiver<()>),
    /// It was under way.
    Before(watch::Receiver<()>),
    /// There was one a short while ago.
    TooEarly,
}

/// What a reading is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// There are none.
    First,
    /// Those that are here have become old.
    Refresh,
    /// A token names one that is not here.
    UnknownKey,
}

impl Keys {
    pub(super) fn new(source: Source, algorithms: Vec<SignatureAlgorithm>, refresh: Duration, metrics: Metrics) -> Self {
        let (ended, _) = watch::channel(());
        Self { source, algorithms, refresh, metrics, here: ArcSwapOption::empty(), state: Mutex::default(), ended }
    }

    /// The upstream that is asked.
    pub(super) const fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.source {
            Source::File(_) => None,
            Source::Upstream(upstream, _) => Some(upstream),
        }
    }

    /// Which keys are here; `None`: none.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.here.load().as_ref().map(|here| here.generation)
    }

    /// Begins the first reading on this core, if there was none.
    pub(super) fn warm(self: &Arc<Self>, core: usize) {
        let is_cold = self.lock().tried_at.is_none();
        if is_cold {
            self.begin(core, Purpose::First);
        }
    }

    /// Begins a reading on this core, if the keys that are here have become old. They count until it has ended.
    pub(super) fn freshen(self: &Arc<Self>, core: usize) {
        if self.here.load().as_ref().is_some_and(|here| here.read_at.elapsed() >= self.refresh) {
            self.begin(core, Purpose::Refresh);
        }
    }

    /// The key that a token names, waiting for a reading if there has to be one.
    pub(super) async fn find(self: &Arc<Self>, id: Option<&str>, algorithm: SignatureAlgorithm, core: usize) -> Found {
        for _ in 0..READINGS_PER_TOKEN {
            let purpose = match self.choose(id, algorithm) {
                Found::Unknown => Purpose::UnknownKey,
                Found::Unavailable => Purpose::First,
                found => return found,
            };
            let (mut ended, is_own) = match self.begin(core, purpose) {
                Begun::Now(ended) => (ended, true),
                Begun::Before(ended) => (ended, false),
                Begun::TooEarly => break,
            };
            // The time is the reading's own, and a little for a core that is busy; an error is its end as well.
            let in_time = tokio::time::timeout(WITHIN + Duration::from_secs(1), ended.changed()).await;
            if is_own || in_time.is_err() {
                break;
            }
        }
        self.choose(id, algorithm)
    }

    fn choose(&self, id: Option<&str>, algorithm: SignatureAlgorithm) -> Found {
        let here = self.here.load();
        match here.as_ref().map(|here| (here.set.choose(id, algorithm), here.generation)) {
            None => Found::Unavailable,
            Some((Choice::None, _)) => Found::Unknown,
            Some((Choice::Several, _)) => Found::Several,
            Some((Choice::One(key), generation)) => Found::Key(key, generation),
        }
    }

    /// Begins a reading on this core, unless one is under way, or it is too early for one.
    fn begin(self: &Arc<Self>, core: usize, purpose: Purpose) -> Begun {
        let now = Instant::now();
        let mut state = self.lock();
        // Before the lock is let go: the reading must not end unheard.
        let ended = self.ended.subscribe();
        if state.under_way {
            return Begun::Before(ended);
        }
        let (last, pause) = match purpose {
            Purpose::First => (state.tried_at, NONE_AGAIN_AFTER),
            Purpose::Refresh => (state.tried_at, OLD_AGAIN_AFTER),
            Purpose::UnknownKey => (state.tried_for_unknown_at, FOR_UNKNOWN_EVERY),
        };
        if last.is_some_and(|last| now.duration_since(last) < pause) {
            return Begun::TooEarly;
        }
        state.under_way = true;
        state.tried_at = Some(now);
        if purpose == Purpose::UnknownKey {
            state.tried_for_unknown_at = Some(now);
        }
        drop(state);
        let reading = UnderWay(Arc::clone(self));
        // On this core, whose connections it uses; nobody's request, so that nobody who hangs up ends it.
        tokio::spawn(async move { reading.0.read(core).await });
        Begun::Now(ended)
    }

    async fn read(&self, core: usize) {
        let text = match tokio::time::timeout(WITHIN, self.source.text(core)).await {
            Ok(text) => text,
            Err(_) => Err(format!("no answer within {WITHIN:?}")),
        };
        let read = text.and_then(|text| KeySet::read(&text, &self.algorithms).map_err(|error| error.to_string()));
        match read {
            Ok((set, left_out)) => {
                for reason in left_out {
                    tracing::warn!(source = %self.source, reason, "a key is left out");
                }
                self.metrics.authentication.fetched(KeyFetch::Fetched);
                self.put(set);
            }
            Err(reason) => {
                self.metrics.authentication.fetched(KeyFetch::Failed);
                let without = if self.here.load().is_some() { "the old ones count on" } else { "there are none" };
                tracing::warn!(source = %self.source, reason, without, "the keys that tokens are verified with cannot be had");
            }
        }
    }

    fn put(&self, set: KeySet) {
        let before = self.here.load_full();
        let generation = match &before {
            Some(before) if before.set == set => before.generation,
            Some(before) => Generation(before.generation.0 + 1),
            None => Generation(0),
        };
        if before.is_none_or(|before| before.generation != generation) {
            tracing::info!(source = %self.source, keys = set.len(), "the keys that tokens are verified with are here");
        }
        self.here.store(Some(Arc::new(Here { set, generation, read_at: Instant::now() })));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reading that is under way, until this is dropped: also where its core is given up.
struct UnderWay(Arc<Keys>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            state.under_way = false;
            // One that took long is not followed by another at once.
            state.tried_at = Some(Instant::now());
        }
        self.0.ended.send_replace(());
    }
}

impl Source {
    /// The text of the set. What failed, in words, for the log.
    async fn text(&self, core: usize) -> Result<Vec<u8>, String> {
        // One more than is read of it, so that one that is too large is seen to be.
        const AT_MOST: u64 = MAX_SET_BYTES as u64 + 1;
        match self {
            Self::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
                let mut text = Vec::new();
                file.take(AT_MOST).read_to_end(&mut text).await.map_err(|error| error.to_string())?;
                Ok(text)
            }
            Self::Upstream(upstream, target) => {
                let mut request = Request::new(Body::empty());
                *request.uri_mut() = target.clone();
                let accepted = HeaderValue::from_static("application/jwk-set+json, application/json");
                request.headers_mut().insert(header::ACCEPT, accepted);
                let asking = Asking { upstream, core, request, within: WITHIN, at_most: AT_MOST };
                let (parts, body) = ask(asking).await?;
                match parts.status {
                    StatusCode::OK => Ok(body.into()),
                    status => Err(format!("the answer is {status}")),
                }
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Upstream(upstream, target) => write!(f, "{} {}", upstream.config().name, target.path()),
        }
    }
}

#[cfg(test)]
mod tests;
