//! When keys are read, and what counts meanwhile.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::authentication::tests::fixture::{ALL, Asked, Origin, Signer, jwks, upstream};

const EDDSA: SignatureAlgorithm = SignatureAlgorithm::EdDSA;
const REFRESH: Duration = Duration::from_secs(300);

struct World {
    origin: Origin,
    keys: Arc<Keys>,
    metrics: Metrics,
    one: Signer,
}

impl World {
    async fn start() -> Self {
        let origin = Origin::start().await;
        let metrics = Metrics::new();
        let source = Source::Upstream(upstream(&origin.url), "/jwks/?a=b".parse().unwrap());
        let keys = Arc::new(Keys::new(source, ALL.to_vec(), REFRESH, metrics.clone()));
        Self { origin, keys, metrics, one: Signer::ed25519() }
    }

    /// With the key `one`.
    async fn warm() -> Self {
        let mut world = Self::start().await;
        let waiting = world.find("one");
        world.origin.asked().await.answer(200, &world.set(&["one"]));
        assert!(matches!(waiting.await.unwrap(), Found::Key(..)));
        world
    }

    /// Looks for a key, as a request does.
    fn find(&self, id: &'static str) -> tokio::task::JoinHandle<Found> {
        let keys = Arc::clone(&self.keys);
        tokio::spawn(async move { keys.find(Some(id), EDDSA, 0).await })
    }

    fn set(&self, ids: &[&str]) -> String {
        jwks(&ids.iter().map(|id| self.one.jwk(id)).collect::<Vec<_>>())
    }

    fn fetches(&self) -> (u64, u64) {
        (self.metrics.authentication.fetches(KeyFetch::Fetched), self.metrics.authentication.fetches(KeyFetch::Failed))
    }
}

async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// Lets everything run that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn answered_whole(world: &World, asked: Asked, status: u16, body: &str) {
    let mut ended = world.keys.ended.subscribe();
    asked.answer(status, body);
    ended.changed().await.unwrap();
}

#[tokio::test]
async fn whoever_comes_while_keys_are_fetched_waits_for_the_one_fetch() {
    let mut world = World::start().await;
    let waiting: Vec<_> = (0..20).map(|_| world.find("one")).collect();
    let asked = world.origin.asked().await;
    assert_eq!(asked.line, "GET /jwks/?a=b");
    settle().await;
    assert!(world.origin.is_left_alone());
    asked.answer(200, &world.set(&["one"]));
    for found in waiting {
        assert!(matches!(found.await.unwrap(), Found::Key(..)));
    }
    assert_eq!(world.fetches(), (1, 0));
}

#[tokio::test]
async fn the_first_fetch_begins_once_and_in_the_background() {
    let mut world = World::start().await;
    world.keys.warm(0);
    world.keys.warm(0);
    let asked = world.origin.asked().await;
    answered_whole(&world, asked, 200, &world.set(&["one"])).await;
    world.keys.warm(0);
    assert!(matches!(world.find("one").await.unwrap(), Found::Key(..)));
    assert!(world.origin.is_left_alone());
}

#[tokio::test]
async fn without_keys_nothing_is_found_and_whoever_has_none_is_not_hammered() {
    let mut world = World::start().await;
    let waiting = world.find("one");
    world.origin.asked().await.answer(503, "{}");
    assert!(matches!(waiting.await.unwrap(), Found::Unavailable));
    assert!(matches!(world.find("one").await.unwrap(), Found::Unavailable), "at once");
    assert!(world.origin.is_left_alone());
    later(NONE_AGAIN_AFTER).await;
    let waiting = world.find("one");
    world.origin.asked().await.answer(200, &world.set(&["one"]));
    assert!(matches!(waiting.await.unwrap(), Found::Key(..)));
    assert_eq!(world.fetches(), (1, 1));
}

#[tokio::test]
async fn what_is_no_key_set_is_no_answer() {
    let long = format!("{}{}", jwks(&[]), " ".repeat(MAX_SET_BYTES));
    for (status, body) in [(404, ""), (200, "<html>"), (204, ""), (302, "{\"keys\": []}"), (200, &*long)] {
        let mut world = World::start().await;
        let waiting = world.find("one");
        world.origin.asked().await.answer(status, body);
        assert!(matches!(waiting.await.unwrap(), Found::Unavailable), "{status}");
        assert_eq!(world.fetches(), (0, 1));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up_and_so_is_the_wait() {
    let mut world = World::start().await;
    let waiting = world.find("one");
    let _asked = world.origin.asked().await;
    later(WITHIN).await;
    assert!(matches!(waiting.await.unwrap(), Found::Unavailable));
    assert_eq!(world.fetches(), (0, 1));
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_and_then_not_for_a_while() {
    let mut world = World::warm().await;
    let waiting = world.find("two");
    world.origin.asked().await.answer(200, &world.set(&["one", "two"]));
    assert!(matches!(waiting.await.unwrap(), Found::Key(..)), "the keys were rotated");
    for _ in 0..100 {
        assert!(matches!(world.find("garbage").await.unwrap(), Found::Unknown));
    }
    assert!(world.origin.is_left_alone());
    later(FOR_UNKNOWN_EVERY).await;
    let waiting = world.find("garbage");
    world.origin.asked().await.answer(200, &world.set(&["one", "two"]));
    assert!(matches!(waiting.await.unwrap(), Found::Unknown));
    assert_eq!(world.fetches(), (3, 0));
}

#[tokio::test]
async fn an_unknown_key_is_refused_and_not_more_where_its_issuer_is_away() {
    let mut world = World::warm().await;
    let waiting = world.find("two");
    world.origin.asked().await.answer(500, "");
    assert!(matches!(waiting.await.unwrap(), Found::Unknown));
    assert!(matches!(world.find("one").await.unwrap(), Found::Key(..)));
}

#[tokio::test]
async fn a_fetch_that_began_too_early_for_a_new_key_is_followed_by_another() {
    let mut world = World::start().await;
    world.keys.warm(0);
    let first = world.origin.asked().await;
    let waiting = world.find("two");
    settle().await;
    first.answer(200, &world.set(&["one"]));
    world.origin.asked().await.answer(200, &world.set(&["one", "two"]));
    assert!(matches!(waiting.await.unwrap(), Found::Key(..)));
}

#[tokio::test]
async fn old_keys_count_until_new_ones_are_here() {
    let mut world = World::warm().await;
    world.keys.freshen(0);
    settle().await;
    assert!(world.origin.is_left_alone(), "they are fresh");
    later(REFRESH).await;
    world.keys.freshen(0);
    world.keys.freshen(0);
    let asked = world.origin.asked().await;
    assert!(matches!(world.find("one").await.unwrap(), Found::Key(..)));
    answered_whole(&world, asked, 503, "").await;
    assert!(matches!(world.find("one").await.unwrap(), Found::Key(..)), "also where new ones cannot be had");
    world.keys.freshen(0);
    settle().await;
    assert!(world.origin.is_left_alone(), "it was tried just now");
    later(OLD_AGAIN_AFTER).await;
    world.keys.freshen(0);
    let asked = world.origin.asked().await;
    answered_whole(&world, asked, 200, &world.set(&["two"])).await;
    assert!(matches!(world.keys.choose(Some("one"), EDDSA), Found::Unknown));
    assert!(matches!(world.keys.choose(Some("two"), EDDSA), Found::Key(..)));
}

#[tokio::test]
async fn the_generation_changes_with_the_keys_and_only_then() {
    let mut world = World::warm().await;
    let first = world.keys.generation().unwrap();
    for (ids, is_same) in [(&["one"][..], true), (&["one", "two"], false), (&["two"], false)] {
        let before = world.keys.generation().unwrap();
        later(REFRESH).await;
        world.keys.freshen(0);
        let asked = world.origin.asked().await;
        answered_whole(&world, asked, 200, &world.set(ids)).await;
        assert_eq!(world.keys.generation().unwrap() == before, is_same, "{ids:?}");
    }
    assert_ne!(world.keys.generation().unwrap(), first);
}

#[tokio::test]
async fn a_core_that_is_given_up_during_a_fetch_leaves_nobody_waiting() {
    let mut world = World::start().await;
    let keys = Arc::clone(&world.keys);
    // As a core has it: a runtime of its own, that ends with it.
    let core = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            keys.warm(1);
            tokio::task::yield_now().await;
        });
    });
    core.join().unwrap();
    later(NONE_AGAIN_AFTER).await;
    let waiting = world.find("one");
    loop {
        // What the other core asked may have come through as well.
        world.origin.asked().await.answer(200, &world.set(&["one"]));
        settle().await;
        if waiting.is_finished() {
            break;
        }
    }
    assert!(matches!(waiting.await.unwrap(), Found::Key(..)));
}

#[tokio::test]
async fn keys_come_from_a_file_as_well_and_it_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let signer = Signer::ed25519();
    let keys = Arc::new(Keys::new(Source::File(path.clone()), ALL.to_vec(), REFRESH, Metrics::new()));
    assert!(matches!(keys.find(Some("one"), EDDSA, 0).await, Found::Unavailable), "it is not there");
    std::fs::write(&path, jwks(&[signer.jwk("one")])).unwrap();
    later(NONE_AGAIN_AFTER).await;
    assert!(matches!(keys.find(Some("one"), EDDSA, 0).await, Found::Key(..)));
    std::fs::write(&path, jwks(&[signer.jwk("two")])).unwrap();
    assert!(matches!(keys.find(Some("two"), EDDSA, 0).await, Found::Key(..)));
    std::fs::write(&path, " ".repeat(MAX_SET_BYTES + 10)).unwrap();
    later(REFRESH).await;
    let mut ended = keys.ended.subscribe();
    keys.freshen(0);
    ended.changed().await.unwrap();
    assert!(matches!(keys.find(Some("two"), EDDSA, 0).await, Found::Key(..)), "too large to be read: the old ones count");
}
