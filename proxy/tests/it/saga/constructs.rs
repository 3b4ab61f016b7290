//! `kill -9` in the middle of a loop, a poll, a timer, a callback that is waited for, and a sub-saga: each resumes right. All that
//! was done is there once, or undone.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::{Answer, Call},
    desk::{Desk, POLLS, Thing},
    gate::Moment,
    redis::RedisServer,
    refrain::Refrain,
    sidecars::{EMBEDDED, is_final},
    within,
};

const TRIP: &str = include_str!("trip.yaml");
const HOTEL: &str = include_str!("hotel.yaml");
const PEOPLE: [&str; 3] = ["ann", "bob", "cyd"];
/// Seats, the flight, asking after it, the question, the room, the last thing.
const CALLS: usize = PEOPLE.len() + 1 + (POLLS + 1) + 1 + 1 + 1;

static TRIPS: AtomicU64 = AtomicU64::new(1);

/// A desk, and Refrains beside nothing that run the saga.
struct Agency {
    desk: Desk,
    refrains: Vec<Refrain>,
    _redis: Option<RedisServer>,
    _files: TempDir,
}

impl Agency {
    async fn with_a_file(trip: &str) -> Self {
        Self::open(trip, None, 1).await
    }

    async fn with_redis(trip: &str, replicas: usize) -> Self {
        Self::open(trip, Some(RedisServer::start()), replicas).await
    }

    async fn open(trip: &str, redis: Option<RedisServer>, replicas: usize) -> Self {
        let (desk, files) = (Desk::open(), tempfile::tempdir().unwrap());
        std::fs::write(files.path().join("trip.yaml"), trip).unwrap();
        std::fs::write(files.path().join("hotel.yaml"), HOTEL).unwrap();
        let store = redis.as_ref().map_or_else(|| EMBEDDED.to_owned(), RedisServer::url);
        let yaml = format!(
            "store: {{url: \"{store}\"}}
public_url: http://refrain.example
sagas: {{files: [\"{}/*.yaml\"], lease: 300ms}}
upstreams:
  home: {{url: \"{desk}\", local: true}}
  desk: {{url: \"{desk}\", idempotency_window: 24h, max_execution: 300ms}}
",
            files.path().display(),
            desk = desk.url()
        );
        let refrains = futures_util::future::join_all((0..replicas).map(|_| Refrain::start(&yaml))).await;
        Self { desk, refrains, _redis: redis, _files: files }
    }

    fn first(&self) -> &Refrain {
        &self.refrains[0]
    }

    /// That each thing of a trip was done once, and undone if `undone`.
    fn holds(&self, trip: &Trip, undone: bool, point: &str) {
        let things = self.desk.things(&trip.name);
        let undoable = |thing: &Thing| !matches!(thing.what.as_str(), "consent" | "last");
        let names: Vec<&str> = things.iter().map(|thing| thing.what.as_str()).collect();
        let mut expected = vec!["consent", "flight", "last", "room for 3", "seat of ann", "seat of bob", "seat of cyd"];
        expected.retain(|what| !undone || *what != "last");
        assert_eq!(names, expected, "{point}");
        for thing in &things {
            assert_eq!(thing.undone > 0, undone && undoable(thing), "{point}: {thing:?}");
        }
    }
}

/// A trip that is booked once.
struct Trip {
    name: String,
}

impl Trip {
    fn new() -> Self {
        Self { name: format!("trip-{}", TRIPS.fetch_add(1, Ordering::Relaxed)) }
    }

    fn call(&self, refrain: &Refrain) -> Call {
        let body = json!({"trip": self.name, "people": PEOPLE, "far": true});
        Call::post(&refrain.url("/trips/")).key(&self.name).json(body.to_string())
    }

    /// Asks until the final answer is there.
    async fn settled(&self, refrain: &Refrain) -> Answer {
        within(&format!("{} to end", self.name), async {
            loop {
                match self.call(refrain).try_send().await {
                    Ok(answer) if is_final(&answer) => return answer,
                    _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
        })
        .await
    }

    /// Gives the consent that the desk was asked for, as often as it takes until somebody takes it.
    async fn consent(&self, agency: &Agency, refrain: &Refrain) {
        let path = agency.desk.callback(&self.name).await;
        let mut last = None;
        let asking = async {
            loop {
                let said = Call::post(&refrain.url(&path)).json(json!({"answer": "yes", "by": "ann"}).to_string());
                match said.try_send().await {
                    Ok(answer) if answer.status == 204 => return,
                    answer => last = Some(answer.map(|answer| (answer.status, answer.text().to_owned())).ok()),
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(crate::support::PATIENCE, asking).await.is_err() {
            panic!("nobody takes the consent: {last:?}");
        }
    }

    /// Where the saga's status is.
    async fn status(&self, refrain: &Refrain) -> Value {
        let pending = self.call(refrain).send().await;
        let location = pending.header("location").unwrap_or_else(|| panic!("{}: {}", pending.status, pending.text())).to_owned();
        let path = location.trim_start_matches("http://refrain.example").to_owned();
        Call::get(&refrain.url(&path)).send().await.json()
    }

    /// Waits until a step is in a state.
    async fn until(&self, refrain: &Refrain, step: &str, state: &str) {
        within(&format!("{step} to be {state}"), async {
            loop {
                let status = self.status(refrain).await;
                let steps = status["steps"].as_array().cloned().unwrap_or_default();
                if steps.iter().any(|found| found["step"] == step && found["state"] == state) {
                    return;
                }
            }
        })
        .await;
    }
}

/// Where a run is cut.
#[derive(Clone, Copy, Debug)]
struct Point {
    call: usize,
    moment: Moment,
    /// Whether the last step is refused.
    is_refused: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, moment, is_refused } = self;
        write!(f, "killed at call {call}, {moment:?}, the last step refused: {is_refused}")
    }
}

/// One saga, killed at one point, and brought to its end by `goes_on`: the same program again, or another replica.
async fn cut(agency: &mut Agency, point: Point, by_another: bool) {
    let gate = agency.desk.hold_nth(point.call, point.moment);
    let trip = Trip::new();
    let _caller = tokio::spawn(trip.call(agency.first()).try_send());
    let held = async {
        // Past the consent there is no call before it is given.
        tokio::select! {
            () = gate.started(1) => {}
            () = async { trip.consent(agency, agency.first()).await; std::future::pending::<()>().await } => {}
        }
    };
    held.await;
    agency.refrains[0].kill9();
    if point.moment == Moment::Before {
        gate.one_is_gone().await;
    }
    gate.open();
    if by_another {
        agency.refrains.swap(0, 1);
    } else {
        agency.refrains[0].restart().await;
    }
    let (answer, ()) = tokio::join!(trip.settled(agency.first()), trip.consent(agency, agency.first()));
    let point_text = point.to_string();
    assert_eq!(answer.status, if point.is_refused { 409 } else { 201 }, "{point_text}: {}", answer.text());
    if !point.is_refused {
        assert_eq!((&answer.json()["seats"], &answer.json()["by"]), (&json!(3), &json!("ann")), "{point_text}");
        assert!(answer.json()["room"].is_u64(), "{point_text}: {}", answer.text());
    }
    agency.holds(&trip, point.is_refused, &point_text);
    if by_another {
        agency.refrains[1].restart().await;
    }
}

/// Every call, one after the other.
async fn sweep(mut agency: Agency, moment: Moment, is_refused: bool, by_another: bool) {
    if is_refused {
        agency.desk.refuse_last();
    }
    for call in 1..=CALLS {
        let point = Point { call, moment, is_refused };
        eprintln!("{point}, taken over: {by_another}");
        cut(&mut agency, point, by_another).await;
    }
}

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Late, Moment::After];

#[tokio::test]
async fn killed_at_any_call_of_any_construct_and_started_again_it_resumes() {
    let sweeps = MOMENTS.into_iter().flat_map(|moment| [(moment, false), (moment, true)]);
    let one = |(moment, is_refused)| async move { sweep(Agency::with_a_file(TRIP).await, moment, is_refused, false).await };
    stream::iter(sweeps).for_each_concurrent(6, one).await;
}

#[tokio::test]
async fn killed_at_any_call_of_any_construct_another_replica_takes_over() {
    let one = |moment| async move { sweep(Agency::with_redis(TRIP, 2).await, moment, false, true).await };
    stream::iter(MOMENTS).for_each_concurrent(3, one).await;
}

#[tokio::test]
async fn killed_while_it_waits_for_a_callback_it_takes_it_afterwards() {
    let mut agency = Agency::with_a_file(TRIP).await;
    let trip = Trip::new();
    let _caller = tokio::spawn(trip.call(agency.first()).try_send());
    trip.until(agency.first(), "consent", "waiting").await;
    agency.refrains[0].restart().await;
    trip.consent(&agency, agency.first()).await;
    let answer = trip.settled(agency.first()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    agency.holds(&trip, false, "killed in the wait");
}

#[tokio::test]
async fn a_callback_that_was_taken_is_never_lost() {
    let mut agency = Agency::with_a_file(TRIP).await;
    for _ in 0..5 {
        let trip = Trip::new();
        let _caller = tokio::spawn(trip.call(agency.first()).try_send());
        trip.until(agency.first(), "consent", "waiting").await;
        let path = agency.desk.callback(&trip.name).await;
        let yes = json!({"answer": "yes", "by": "bob"}).to_string();
        let taken = Call::post(&agency.first().url(&path)).json(yes.clone()).send().await;
        assert_eq!(taken.status, 204, "{}", taken.text());
        agency.refrains[0].restart().await;
        let answer = trip.settled(agency.first()).await;
        assert_eq!((answer.status, &answer.json()["by"]), (201, &json!("bob")), "{}", answer.text());
        let other = Call::post(&agency.first().url(&path)).json(json!({"answer": "no"}).to_string()).send().await;
        assert!([409, 410].contains(&other.status), "{} {}", other.status, other.text());
        agency.holds(&trip, false, "killed after the callback");
    }
}

#[tokio::test]
async fn killed_while_a_timer_runs_it_waits_for_the_rest_of_it() {
    let slow = TRIP.replace("wait: {for: 50ms}", "wait: {for: 3s}");
    assert!(slow.contains("{for: 3s}"));
    let mut agency = Agency::with_a_file(&slow).await;
    let trip = Trip::new();
    let begun = tokio::time::Instant::now();
    let _caller = tokio::spawn(trip.call(agency.first()).try_send());
    trip.until(agency.first(), "pause", "waiting").await;
    let asked = agency.desk.asked();
    agency.refrains[0].restart().await;
    trip.consent(&agency, agency.first()).await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3), "it was not cut short");
    assert_eq!(trip.settled(agency.first()).await.status, 201);
    assert!(agency.desk.asked() > asked);
    agency.holds(&trip, false, "killed in the timer");
}
