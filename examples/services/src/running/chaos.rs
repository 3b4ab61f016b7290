//! Chaos: what goes wrong in production, often enough to be watched.
//!
//! In the services' processes [`Chaos`] stands around the service itself: it delays, refuses, and cuts connections before
//! and after the service did its work. In the shop's own process [`Killer`] chooses which process dies next. Both draw
//! from a seed.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::running::process;

/// What `--chaos` does, for its help.
pub const ABOUT: &str = "Services fail, delay and lose replies, and processes are killed, at random

Of the requests that reach a service, 10 % wait up to half a second first. 4 % are refused with 503 and not done. 2 % are \
cut off and not done, and 2 % are done and then cut off: for who asked, these two look the same. Every 2 to 6 seconds one \
process is killed (SIGKILL), a service or a sidecar, and started again. The edge is left alone, for it is what you watch from. \
Orders come out right all the same, if clients send again, under the same key, what was not answered.";

/// In a hundred thousand requests.
const WHOLE: u32 = 100_000;
const DELAYED: u32 = 10_000;
const REFUSED: u32 = 4_000;
const CUT_BEFORE: u32 = 2_000;
const CUT_AFTER: u32 = 2_000;

/// The longest delay.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// How long it is from one kill to the next.
const KILL_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(6);

/// Who asks whether the service is there shall not be lied to: the shop's own start waits for it.
const LEFT_ALONE: &str = "/healthz/";

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is done and answered.
    Served,
    /// It is answered with 503 and not done.
    Refused,
    /// It is not done, and the connection ends without an answer.
    CutBefore,
    /// It is done, and the connection ends without an answer.
    CutAfter,
}

/// What is drawn for one request: how long it waits first, and what comes of it then.
fn draw(rng: &mut impl Rng) -> (Duration, Fate) {
    let delay = if rng.random_range(0..WHOLE) < DELAYED { rng.random_range(Duration::ZERO..=MAX_DELAY) } else { Duration::ZERO };
    let fate = match rng.random_range(0..WHOLE) {
        0..REFUSED => Fate::Refused,
        n if n < REFUSED + CUT_BEFORE => Fate::CutBefore,
        n if n < REFUSED + CUT_BEFORE + CUT_AFTER => Fate::CutAfter,
        _ => Fate::Served,
    };
    (delay, fate)
}

/// Stands around a service.
#[derive(Clone, Debug)]
pub struct Chaos {
    rng: Arc<Mutex<StdRng>>,
}

impl Chaos {
    /// Draws from `seed`, and from how often this process was started by the shop.
    pub fn new(seed: u64) -> Self {
        let life: u64 = std::env::var(process::LIFE).ok().and_then(|life| life.parse().ok()).unwrap_or(0);
        Self::seeded(seed.wrapping_add(life))
    }

    /// The service with chaos around it.
    pub fn around(self, service: Router) -> Router {
        service.layer(from_fn_with_state(self, meddle))
    }

    fn seeded(seed: u64) -> Self {
        Self { rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    fn draw(&self) -> (Duration, Fate) {
        draw(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn meddle(State(chaos): State<Chaos>, request: Request, next: Next) -> Response {
    if request.uri().path() == LEFT_ALONE {
        return next.run(request).await;
    }
    let (delay, fate) = chaos.draw();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match fate {
        Fate::Served => next.run(request).await,
        Fate::Refused => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], "chaos: nothing was done").into_response(),
        Fate::CutBefore => cut(),
        Fate::CutAfter => {
            drop(next.run(request).await);
            cut()
        }
    }
}

/// Ends the connection. Each one is a task of its own, and a task that unwinds takes its connection along and nothing
/// else; nothing is said of it, for no hook runs.
fn cut() -> ! {
    resume_unwind(Box::new("chaos"))
}

/// Chooses what is killed, and when.
#[derive(Debug)]
pub struct Killer {
    rng: StdRng,
}

impl Killer {
    /// Draws from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }

    /// How long everything is left alone next.
    pub fn pause(&mut self) -> Duration {
        self.rng.random_range(KILL_EVERY)
    }

    /// One of these; `None` if there is none.
    pub fn choose<T: Copy>(&mut self, alive: &[T]) -> Option<T> {
        (!alive.is_empty()).then(|| alive[self.rng.random_range(0..alive.len())])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn fates_come_as_often_as_they_are_said_to() {
        let mut rng = StdRng::seed_from_u64(1);
        let drawn: Vec<_> = (0..WHOLE).map(|_| draw(&mut rng)).collect();
        for (fate, expected) in [(Fate::Refused, REFUSED), (Fate::CutBefore, CUT_BEFORE), (Fate::CutAfter, CUT_AFTER)] {
            let count = u32::try_from(drawn.iter().filter(|(_, drawn)| *drawn == fate).count()).unwrap();
            assert!(count.abs_diff(expected) < expected / 10, "{fate:?}: {count}, not about {expected}");
        }
        let delayed = drawn.iter().filter(|(delay, _)| !delay.is_zero()).count();
        assert!(u32::try_from(delayed).unwrap().abs_diff(DELAYED) < DELAYED / 10, "{delayed}");
        assert!(drawn.iter().all(|(delay, _)| *delay <= MAX_DELAY));
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let drawn = |seed| {
            let chaos = Chaos::seeded(seed);
            (0..1_000).map(|_| chaos.draw()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let killed = |seed| {
            let mut killer = Killer::new(seed);
            (0..100).map(|_| (killer.pause(), killer.choose(&[1, 2, 3]))).collect::<Vec<_>>()
        };
        assert_eq!(killed(7), killed(7));
        assert!(killed(7).iter().all(|(pause, _)| KILL_EVERY.contains(pause)));
        assert_eq!(Killer::new(7).choose::<u8>(&[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_cut_off_after_the_work_was_done_and_what_is_refused_or_cut_off_before_was_not() {
        let served = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&served);
        let service = Router::new().fallback(get(async move || counted.fetch_add(1, Ordering::Relaxed).to_string()));
        let expected = Chaos::seeded(3);
        let service = Chaos::seeded(3).around(service);
        for _ in 0..1_000 {
            let (_, fate) = expected.draw();
            let before = served.load(Ordering::Relaxed);
            let request = service.clone().oneshot(Request::get("/").body(Body::empty()).unwrap());
            let answer = tokio::spawn(request).await;
            let did = served.load(Ordering::Relaxed) - before;
            match (fate, answer) {
                (Fate::Served, Ok(Ok(answer))) => assert_eq!((answer.status(), did), (StatusCode::OK, 1)),
                (Fate::Refused, Ok(Ok(answer))) => {
                    assert_eq!((answer.status(), did), (StatusCode::SERVICE_UNAVAILABLE, 0));
                    assert!(answer.into_body().collect().await.is_ok());
                }
                (Fate::CutBefore, Err(ended)) => assert!(ended.is_panic() && did == 0),
                (Fate::CutAfter, Err(ended)) => assert!(ended.is_panic() && did == 1),
                (fate, answer) => panic!("{fate:?}: {answer:?}"),
            }
        }
    }
}
