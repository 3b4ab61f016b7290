//! The suite that every store runs: each rule of the contract, from outside.
//!
//! A backend gives a function that sets up [`Setup`]: two processes' worth of handles on one fresh (or shared: names are random)
//! store. `every_rule!(setup)` then makes one test of each rule. Where a lease must lapse, a rule waits as long as the store says.

use std::{any::Any, time::Duration};

use bytes::Bytes;
use refrain::{
    ids::{Fence, Fingerprint, Owner, RecordName},
    store::{
        Claim, Claimed, Complete, Done, Grant, OnAbsent, OnUnknown, Renewal, Standing, Store, Token,
        clock::StoreClock,
        embedded::EmbeddedStore,
        memory::{Limits, MemoryStore},
        wakes::Wakes,
    },
};

pub(crate) mod asking;
pub(crate) mod barrier;
pub(crate) mod claims;
pub(crate) mod endings;
pub(crate) mod ownership;
pub(crate) mod probes;
pub(crate) mod sagas;
pub(crate) mod waiting;

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// A lease that a test lets lapse.
pub(crate) const SHORT: Duration = Duration::from_millis(40);
/// What no wait in a test exceeds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Two processes that share a store.
pub(crate) struct Setup<S> {
    pub(crate) a: Process<S>,
    pub(crate) b: Process<S>,
    /// What must live as long as the store: a directory, a server.
    #[allow(dead_code, reason = "dropped last, never read")]
    pub(crate) kept: Box<dyn Any + Send>,
}

/// One process: its handle of the store and its waiters.
pub(crate) struct Process<S> {
    pub(crate) store: S,
    pub(crate) wakes: Wakes,
}

/// One test for each rule. The argument is the path of an `async fn() -> Setup<impl Store>`.
macro_rules! every_rule {
    ($setup:path) => {
        $crate::conformance::every_rule! { @ $setup;
            claims::a_first_claim_is_fresh,
            claims::a_repeat_of_a_claim_gets_the_same_fence,
            claims::a_second_claim_is_told_how_long_the_first_holds,
            claims::another_fingerprint_is_a_mismatch_even_in_flight,
            claims::one_of_many_concurrent_claims_is_fresh,
            claims::a_lapsed_claim_is_unknown_and_never_fresh,
            claims::resend_retakes_an_unknown_record_under_a_higher_fence,
            claims::a_record_ends_with_its_retention,
            claims::names_do_not_touch_each_other,
            claims::the_hash_key_is_the_same_for_every_handle,
            claims::inspection_tells_every_standing,
            endings::a_completed_record_is_replayed_byte_for_byte,
            endings::a_replay_is_for_the_same_fingerprint_only,
            endings::a_repeated_completion_was_already_there,
            endings::a_completion_restores_a_record_that_is_gone,
            endings::a_late_completion_counts_if_nobody_took_over,
            endings::a_completion_sets_the_retention_anew,
            endings::a_fenced_owner_gets_the_winners_record,
            endings::a_fenced_completion_changes_nothing,
            endings::an_operator_says_that_it_was_done,
            endings::an_operator_says_that_it_was_not_done,
            endings::an_operator_resolves_only_what_is_unknown,
            endings::a_forgotten_record_is_gone_whatever_it_was,
            ownership::renewals_are_answered_in_order_and_apart,
            ownership::no_renewals_have_no_answers,
            ownership::a_renewal_keeps_a_claim_in_flight,
            ownership::a_renewal_revives_a_lapsed_claim_that_nobody_took,
            ownership::a_fenced_owner_cannot_renew,
            ownership::a_doubted_record_is_unknown_at_once,
            ownership::only_the_owner_can_doubt,
            ownership::a_released_first_attempt_is_free,
            ownership::a_released_later_attempt_is_unknown,
            ownership::an_owner_without_a_fence_can_release,
            ownership::a_waiter_cannot_release_the_owners_claim,
            ownership::a_done_record_cannot_be_given_up,
            ownership::a_reservation_is_its_first_holders,
            ownership::a_reservation_ends_with_its_time,
            asking::asking_for_a_step_that_never_came_cancels_it,
            asking::asking_for_a_step_that_may_be_forgotten_cancels_it_and_tells_that_nobody_knows,
            asking::asking_changes_nothing_of_a_step_in_flight_done_or_unknown,
            asking::asking_where_an_operator_said_not_done_cancels_the_step,
            asking::asking_where_the_service_says_not_done_cancels_the_step,
            asking::who_asks_is_not_told_that_nothing_was_done_when_the_step_is_being_undone,
            barrier::an_undo_before_its_step_has_nothing_to_undo_and_the_step_is_cancelled,
            barrier::another_undo_of_a_step_that_never_ran_has_nothing_to_undo_either,
            barrier::a_step_that_may_be_forgotten_is_undone_and_cancelled,
            barrier::an_undo_waits_for_a_step_in_flight_and_is_sent_when_it_is_done,
            barrier::an_unknown_step_is_held_until_its_time_has_passed,
            barrier::a_step_that_its_driver_knows_to_be_done_is_undone_though_its_record_is_unknown,
            barrier::an_operators_word_that_a_step_was_not_done_is_believed,
            barrier::one_undo_at_a_time_asks_for_its_step,
            barrier::a_step_that_is_found_done_is_undone,
            barrier::a_step_that_is_found_not_done_is_cancelled_and_there_is_nothing_to_undo,
            barrier::an_undecided_question_leaves_the_step_unknown_and_the_note_in_place,
            barrier::a_step_without_a_note_cannot_be_asked_for,
            barrier::a_repeat_of_an_undo_whose_answer_was_lost_gets_the_same_fence,
            barrier::an_undo_that_sent_nothing_is_sent_by_the_next_one,
            barrier::an_undo_is_done_unknown_or_sent_again_as_any_request,
            barrier::a_seal_ends_with_its_retention_and_not_before,
            barrier::the_barrier_wakes_whoever_waits_for_the_step,
            probes::one_prober_at_a_time,
            probes::a_lapsed_probe_lease_frees_the_probe,
            probes::a_probe_that_finds_it_done_keeps_that_response,
            probes::a_probe_that_finds_it_not_done_owns_the_record,
            probes::an_undecided_probe_frees_its_lease,
            probes::a_late_completion_wins_over_a_probe,
            probes::a_renewal_ends_a_probe,
            probes::a_stranger_cannot_settle,
            probes::a_prober_whose_claim_was_lost_gives_its_probe_back,
            probes::a_probe_is_told_how_long_ago_the_send_began,
            waiting::a_completion_wakes_waiters_in_both_processes,
            waiting::giving_up_wakes_waiters,
            waiting::the_end_of_a_probe_wakes_waiters,
            waiting::an_operator_wakes_waiters,
            waiting::health_counts_round_trips_and_a_closed_store_says_so,
        }
    };
    (@ $setup:path; $($group:ident :: $rule:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::conformance::$group::$rule($setup().await).await;
            }
        )*
    };
}
pub(crate) use every_rule;

mod memory {
    async fn setup() -> super::Setup<refrain::store::memory::MemoryStore> {
        super::in_memory(|store| store)
    }
    super::every_rule!(setup);
}

mod faulty_without_faults {
    use refrain::store::{faults::Faulty, memory::MemoryStore};

    async fn setup() -> super::Setup<Faulty<MemoryStore>> {
        super::in_memory(Faulty::new)
    }
    super::every_rule!(setup);
}

mod embedded {
    async fn setup() -> super::Setup<refrain::store::embedded::EmbeddedStore> {
        let dir = tempfile::tempdir().unwrap();
        let wakes = super::Wakes::default();
        let store = super::EmbeddedStore::open(&dir.path().join("store.redb"), wakes.clone()).unwrap();
        super::in_one_process(store, wakes, Box::new(dir))
    }
    super::every_rule!(setup);
}

mod redis {
    use std::sync::{Arc, LazyLock, Mutex, Weak};

    use refrain::store::{
        Store as _,
        redis::{RedisConfig, RedisStore},
    };

    use crate::support::redis::RedisServer;

    /// One server for the rules that run at the same time; it ends with the last of them.
    static SERVER: LazyLock<Mutex<Weak<RedisServer>>> = LazyLock::new(Mutex::default);

    fn server() -> Arc<RedisServer> {
        let mut shared = SERVER.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(RedisServer::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Two processes: each with its own connections, mailbox and waiters.
    async fn setup() -> super::Setup<RedisStore> {
        let server = server();
        let config = RedisConfig { timeout: std::time::Duration::from_secs(5), ..RedisConfig::new(server.url()) };
        let process = || async {
            let wakes = super::Wakes::default();
            let store = RedisStore::open(&config, wakes.clone()).await.unwrap();
            tokio::spawn(store.handle().run_background());
            super::Process { store, wakes }
        };
        super::Setup { a: process().await, b: process().await, kept: Box::new(server) }
    }
    super::every_rule!(setup);
}

fn in_memory<S: Store>(wrap: impl FnOnce(MemoryStore) -> S) -> Setup<S> {
    let wakes = Wakes::default();
    let store = wrap(MemoryStore::with(wakes.clone(), StoreClock::real(), Limits::default()));
    in_one_process(store, wakes, Box::new(()))
}

/// Stores that belong to one process: the second is another core of it.
fn in_one_process<S: Store>(store: S, wakes: Wakes, kept: Box<dyn Any + Send>) -> Setup<S> {
    let b = Process { store: store.handle(), wakes: wakes.clone() };
    Setup { a: Process { store, wakes }, b, kept }
}

/// A claim of a new name by a new owner, to be held long.
pub(crate) fn claim() -> Claim {
    Claim {
        name: name(),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        owner: Owner::random(),
        lease: LONG,
        ttl: LONG,
        mailbox: None,
        on_unknown: OnUnknown::Hold,
        on_absent: OnAbsent::Begin,
        note: Bytes::new(),
    }
}

/// A name that no other test has.
pub(crate) fn name() -> RecordName {
    RecordName::from_bytes([*Owner::random().as_bytes(), *Owner::random().as_bytes()].concat().try_into().unwrap())
}

/// The same request by somebody else.
pub(crate) fn again(first: &Claim) -> Claim {
    Claim { owner: Owner::random(), ..first.clone() }
}

/// Claims and expects to be first.
pub(crate) async fn fresh(store: &impl Store, claim: &Claim) -> Grant {
    match store.claim(claim.clone()).await.unwrap() {
        Claimed::Fresh(grant) => grant,
        other => panic!("expected Fresh, got {other:?}"),
    }
}

/// Claims and expects to take over.
pub(crate) async fn retaken(store: &impl Store, claim: &Claim) -> Grant {
    match store.claim(claim.clone()).await.unwrap() {
        Claimed::Retake(grant) => grant,
        other => panic!("expected Retake, got {other:?}"),
    }
}

/// Claims and expects the record.
pub(crate) async fn replayed(store: &impl Store, claim: &Claim) -> Done {
    match store.claim(claim.clone()).await.unwrap() {
        Claimed::Replay(done) => done,
        other => panic!("expected Replay, got {other:?}"),
    }
}

/// A new claim whose lease has lapsed: unknown.
pub(crate) async fn lapsed(store: &impl Store) -> (Claim, Token) {
    let claim = Claim { lease: SHORT, ..claim() };
    let grant = fresh(store, &claim).await;
    lapse(store, claim.name).await;
    (claim.clone(), token(&claim, grant.fence))
}

/// Waits until the record is no longer in flight, as long as the store says.
pub(crate) async fn lapse(store: &impl Store, name: RecordName) {
    let waiting = async {
        loop {
            match store.inspect(name).await.unwrap().map(|seen| seen.standing) {
                Some(Standing::InFlight { left }) => tokio::time::sleep(left).await,
                Some(_) | None => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the lease lapses");
}

/// Waits until the record has expired, as long as the store says.
pub(crate) async fn expire(store: &impl Store, name: RecordName) {
    let waiting = async {
        while let Some(seen) = store.inspect(name).await.unwrap() {
            tokio::time::sleep(seen.ttl_left.max(Duration::from_millis(1))).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the record expires");
}

pub(crate) fn token(claim: &Claim, fence: Fence) -> Token {
    Token { name: claim.name, owner: claim.owner, fence }
}

pub(crate) fn renewal(claim: &Claim, fence: Fence) -> Renewal {
    Renewal { token: token(claim, fence), lease: LONG, sent: true }
}

/// The completion of a claim with this response.
pub(crate) fn completion(claim: &Claim, grant: Grant, response: &'static [u8]) -> Complete {
    Complete {
        token: token(claim, grant.fence),
        attempt: grant.attempt,
        fingerprint: claim.fingerprint,
        ttl: claim.ttl,
        response: Bytes::from_static(response),
    }
}
