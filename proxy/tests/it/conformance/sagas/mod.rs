//! The suite that every store of sagas runs: each rule of the journal, from outside.
//!
//! As [`super::every_rule`], with a store of its own for each test, for some rules look at all that is due, or at all there is. A
//! backend says how its time is advanced.

use std::{any::Any, time::Duration};

use bytes::Bytes;
use refrain::{
    ids::{Fingerprint, Owner, SagaId},
    store::{
        Store,
        clock::{ManualClock, StoreClock},
        embedded::EmbeddedStore,
        journal::{
            Append, Appended, Birth, Create, Created, Granted, Journal, Leased, Loaded, Next, SagaRenewal, SagaState, SagaToken,
        },
        memory::{Limits, MemoryStore},
        wakes::Wakes,
    },
    time::Timestamp,
};
use saga_config::saga::DefinitionHash;

use super::{LONG, PATIENCE, Process, SHORT};

pub(crate) mod appends;
pub(crate) mod commands;
pub(crate) mod endings;
pub(crate) mod hands;
pub(crate) mod lists;
pub(crate) mod starts;
pub(crate) mod timers;

/// Two processes that share a store.
pub(crate) struct Setup<S> {
    pub(crate) a: Process<S>,
    pub(crate) b: Process<S>,
    pub(crate) time: Time,
    /// Whether [`Journal::due`] has one order for all sagas.
    pub(crate) one_partition: bool,
    /// What must live as long as the store: a directory, a server.
    #[allow(dead_code, reason = "dropped last, never read")]
    pub(crate) kept: Box<dyn Any + Send>,
}

/// The store's time.
pub(crate) enum Time {
    /// Moved by hand.
    Manual(ManualClock),
    /// A clock of its own.
    Real,
}

impl Time {
    /// Lets `by` pass.
    pub(crate) async fn pass(&self, by: Duration) {
        match self {
            Self::Manual(hand) => hand.advance(by),
            // A little more: the store counts whole milliseconds.
            Self::Real => tokio::time::sleep(by + Duration::from_millis(2)).await,
        }
    }
}

/// One test for each rule. The argument is the path of an `async fn() -> Setup<impl Store + Journal>`.
macro_rules! every_rule {
    ($setup:path) => {
        $crate::conformance::sagas::every_rule! { @ $setup;
            starts::a_new_saga_is_its_creators,
            starts::a_repeat_of_a_create_gets_the_same_fence_also_after_appends,
            starts::a_repeat_of_a_create_that_gave_the_saga_up_or_ended_it_is_fresh,
            starts::a_second_create_is_told_how_the_first_stands,
            starts::a_create_of_an_ended_saga_gets_its_answer,
            starts::another_fingerprint_or_name_is_a_mismatch,
            starts::one_of_many_concurrent_creates_is_fresh,
            starts::an_id_is_free_again_after_the_retention,
            starts::what_would_be_in_nobodys_hands_is_refused,
            starts::a_definition_is_kept_as_it_was_first_pinned,
            appends::entries_are_kept_in_order_byte_for_byte,
            appends::another_owner_fence_or_version_changes_nothing,
            appends::a_repeated_append_is_applied_once,
            appends::an_append_after_giving_up_is_lost,
            appends::a_fenced_driver_cannot_append_and_its_repeat_is_lost,
            appends::an_append_under_a_lapsed_lease_that_nobody_took_counts,
            appends::an_empty_append_applies_what_comes_next,
            appends::one_of_two_appends_to_the_same_version_is_kept,
            appends::too_much_at_once_is_refused,
            appends::a_full_journal_takes_only_its_end,
            hands::a_driven_saga_is_not_leased,
            hands::a_lapsed_saga_is_leased_with_its_journal_under_a_higher_fence,
            hands::a_repeat_of_a_lease_gets_the_same_fence,
            hands::the_fence_grows_though_the_clock_does_not,
            hands::one_of_many_concurrent_leases_is_granted,
            hands::a_parked_saga_is_leased_at_its_time,
            hands::a_resting_saga_is_never_due,
            hands::what_has_ended_or_never_was_is_gone,
            hands::renewals_are_answered_in_order_and_apart,
            hands::a_renewal_keeps_a_saga_with_its_driver,
            hands::a_renewal_revives_a_lapsed_lease_that_nobody_took,
            hands::what_was_given_up_or_ended_cannot_be_renewed,
            timers::the_longest_due_come_first,
            timers::a_page_of_what_is_due_has_its_limit,
            timers::what_is_not_due_tells_when_it_will_be,
            timers::every_change_of_hands_moves_the_due_time,
            timers::the_bounds_of_a_page_hold,
            commands::a_command_waits_for_the_driver_who_is_told,
            commands::a_repeated_command_waits_once,
            commands::an_append_takes_the_oldest_commands,
            commands::a_command_makes_a_saga_that_nobody_drives_due_at_once,
            commands::a_command_leaves_a_driven_saga_with_its_driver,
            commands::a_command_that_the_driver_did_not_see_makes_the_saga_due_when_it_is_given_up,
            commands::only_so_many_commands_wait,
            commands::an_absent_or_ended_saga_takes_no_command,
            commands::the_end_drops_the_commands,
            endings::an_end_wakes_those_who_wait_in_both_processes,
            endings::quarantine_wakes_those_who_wait_and_answers_for_the_time_being,
            endings::the_answer_of_a_quarantine_goes_when_the_saga_goes_on,
            endings::an_open_saga_never_expires,
            endings::an_ended_saga_goes_after_its_retention,
            endings::attaching_tells_the_head,
            lists::lists_show_the_newest_change_first,
            lists::lists_are_of_the_states_and_the_name_asked_for,
            lists::pages_have_no_gap_and_no_repeat,
            lists::leases_and_commands_do_not_change_the_order,
            lists::counts_are_by_state,
        }
    };
    (@ $setup:path; $($group:ident :: $rule:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::conformance::sagas::$group::$rule($setup().await).await;
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
        let (wakes, (clock, hand)) = (super::Wakes::default(), super::clock());
        let store = super::EmbeddedStore::open_with(&dir.path().join("store.redb"), wakes.clone(), clock).unwrap();
        super::in_one_process(store, wakes, hand, Box::new(dir))
    }
    super::every_rule!(setup);
}

fn clock() -> (StoreClock, ManualClock) {
    StoreClock::manual(Timestamp::from_unix_ms(1 << 40))
}

fn in_memory<S: Store>(wrap: impl FnOnce(MemoryStore) -> S) -> Setup<S> {
    let (wakes, (clock, hand)) = (Wakes::default(), clock());
    let store = wrap(MemoryStore::with(wakes.clone(), clock, Limits::default()));
    in_one_process(store, wakes, hand, Box::new(()))
}

/// Stores that belong to one process: the second is another core of it.
fn in_one_process<S: Store>(store: S, wakes: Wakes, hand: ManualClock, kept: Box<dyn Any + Send>) -> Setup<S> {
    let b = Process { store: store.handle(), wakes: wakes.clone() };
    Setup { a: Process { store, wakes }, b, time: Time::Manual(hand), one_partition: true, kept }
}

/// What a driver holds: its lease, and how much of the journal it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver {
    pub(crate) token: SagaToken,
    pub(crate) version: u64,
}

/// A new saga with one entry, by a new driver, who keeps it for long.
pub(crate) fn create() -> Create {
    let birth = Birth {
        name: "order".to_owned(),
        version: 3,
        definition: DefinitionHash::from_bytes([7; 32]),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        starter: Fingerprint::from_bytes([2; 32]),
        created_at: Timestamp::from_unix_ms(1),
    };
    Create {
        id: SagaId::random(),
        birth,
        owner: Owner::random(),
        entries: vec![Bytes::from_static(b"started")],
        state: SagaState::Running,
        next: run(),
        mailbox: None,
    }
}

/// The same request by somebody else.
pub(crate) fn again(first: &Create) -> Create {
    Create { owner: Owner::random(), ..first.clone() }
}

pub(crate) const fn run() -> Next {
    Next::Run { lease: LONG }
}

pub(crate) const fn park(due_in: Duration) -> Next {
    Next::Park { due_in }
}

pub(crate) fn end() -> Next {
    Next::End { answer: Bytes::from_static(b"the answer"), retention: LONG }
}

/// Creates and expects to be first.
pub(crate) async fn fresh(store: &impl Journal, create: &Create) -> Driver {
    let granted = granted(store.create(create.clone()).await.unwrap());
    let token = SagaToken { id: create.id, owner: create.owner, fence: granted.fence };
    Driver { token, version: granted.version }
}

pub(crate) fn granted(created: Created) -> Granted {
    match created {
        Created::Fresh(granted) => granted,
        other => panic!("expected Fresh, got {other:?}"),
    }
}

/// A new saga and its driver.
pub(crate) async fn driven(store: &impl Journal) -> Driver {
    fresh(store, &create()).await
}

impl Driver {
    /// An append of these entries, with the state running.
    pub(crate) fn append(&self, entries: &[&'static str], next: Next) -> Append {
        Append {
            token: self.token,
            expected: self.version,
            nonce: Owner::random(),
            entries: entries.iter().map(|entry| Bytes::from_static(entry.as_bytes())).collect(),
            state: if matches!(next, Next::End { .. }) { SagaState::Completed } else { SagaState::Running },
            paused: matches!(next, Next::Rest { .. }),
            commands_taken: 0,
            next,
        }
    }

    /// Appends, and expects it to be kept.
    pub(crate) async fn keep(&mut self, store: &impl Journal, append: Append) -> Granted {
        match store.append(append).await.unwrap() {
            Appended::Kept(granted) => {
                assert_eq!(granted.fence, self.token.fence);
                self.version = granted.version;
                granted
            }
            other => panic!("expected Kept, got {other:?}"),
        }
    }

    /// Appends one entry with this next, and expects it to be kept.
    pub(crate) async fn turn(&mut self, store: &impl Journal, next: Next) -> Granted {
        self.keep(store, self.append(&["turn"], next)).await
    }

    pub(crate) fn renewal(&self, lease: Duration) -> SagaRenewal {
        SagaRenewal { token: self.token, lease }
    }
}

/// Leases and expects to get it.
pub(crate) async fn leased(store: &impl Journal, id: SagaId) -> (Driver, Loaded) {
    let owner = Owner::random();
    match store.lease(id, owner, LONG).await.unwrap() {
        Leased::Granted(loaded) => {
            (Driver { token: SagaToken { id, owner, fence: loaded.head.fence }, version: loaded.head.version }, *loaded)
        }
        other => panic!("expected Granted, got {other:?}"),
    }
}

/// Somebody else asks for it.
pub(crate) async fn asked_for(store: &impl Journal, id: SagaId) -> Leased {
    store.lease(id, Owner::random(), LONG).await.unwrap()
}

pub(crate) async fn loaded(store: &impl Journal, id: SagaId) -> Loaded {
    store.load(id).await.unwrap().expect("it is there")
}

/// The journal as text.
pub(crate) async fn journal(store: &impl Journal, id: SagaId) -> Vec<String> {
    let entries = loaded(store, id).await.entries;
    entries.iter().map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect()
}
