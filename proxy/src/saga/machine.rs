//! The machine of a saga: it decides, and knows no socket, store or clock.
//!
//! [`Machine::on`] takes an event and gives a [`Turn`]: entries to append, effects to perform once they are durable, and what comes
//! then. What a machine knows is a fold of its journal and, besides, which calls of this driver are under way.
//!
//! A *step* below is a step as it runs: of a loop's steps there is one for each item (`mail.3`), and all that is said of a step holds of
//! each of them. A sub-saga's steps (`stay/reserve`) are steps of this saga, with one journal for all.
//!
//! # Invariants
//!
//! Each is guarded by the test named with it, in `machine/tests`.
//!
//! 1. No call leaves before its intent is durable. `the_books_are_right_at_every_end_of_…`: their world checks it on every turn.
//! 2. State is a fold of the journal: replay equals live. `replay_equals_live_at_every_length`
//! 3. A call's key is saga id, incarnation, path (sub-saga, step, place in a loop), direction and generation, the same on every attempt
//!    and after every take-over; an operator's "run again" bumps the generation. `the_key_of_a_call_never_changes_but_for_run_again`
//! 4. Undo covers done *and* maybe-done steps, newest first, in reverse graph order; items of a loop that run one by one are undone one
//!    by one, the last first, and others at once, within `max_parallel`. `undos_run_in_reverse_order`,
//!    `with_one_at_once_items_run_in_order_and_are_undone_the_newest_first`,
//!    `several_at_once_are_begun_in_order_and_undone_at_once_within_the_sagas_bound`
//! 5. An undo's request is rendered and frozen: with the intent where it uses nothing of the step's own answer, else with the step's
//!    success. `an_undo_is_frozen_before_it_can_be_needed`
//! 6. An undo never overtakes its forward call. `an_undo_never_overtakes_its_forward_call`
//! 7. `completed` means every step done or not needed (its condition, its switch or its loop says so), `compensated` that nothing known
//!    or possibly applied remains, otherwise `quarantined`. `the_books_are_right_at_every_end_of_…`
//! 8. Two drivers cannot both append: the store's part; a machine whose append was lost is dropped.
//!    `a_driver_that_lost_its_append_changes_nothing`
//! 9. The budget is spent on journalled starts. `a_step_that_crashes_its_driver_is_not_retried_for_ever`
//! 10. At the deadline, that of a sub-saga included, and when a budget is spent in doubt, nothing new starts; doubt is resolved on the
//!     compensation's budget, then undone. `after_turning_back_a_forward_call_only_asks`,
//!     `the_deadline_of_a_sub_saga_counts_from_its_beginning_and_turns_everything_back`
//! 11. A decision taken (a condition, a switch's arm, a loop's list, a timer's end, what a sub-saga is given and gives) is journalled
//!     and never taken again. `decisions_are_taken_once`, and at every end of the worlds
//! 12. Open sagas never expire: the store's part. Here: every saga goes on to an end, to quarantine or to a timer.
//!     `the_books_are_right_at_every_end_of_…`: their world checks it on every turn.
//! 13. The definition is pinned by content hash. `a_journal_is_not_replayed_with_another_definition`
//! 14. One bad saga never stops the others: the machine never panics, and a damaged journal is an error.
//!     `a_damaged_journal_is_an_error_and_no_panic`
//! 15. A failed undo never stops independent undos. `a_failed_undo_never_stops_independent_undos`
//! 16. In a parallel group that fails, what has not started does not start, and what is in flight is resolved, then undone.
//!     `a_failed_group_resolves_what_is_in_flight_and_starts_nothing`
//! 17. `now` is the store's time plus the driver's elapsed time: an argument, and never seen to go back.
//!     `time_never_goes_back_in_a_journal`

use std::{collections::BTreeSet, sync::Arc};

use saga_config::saga::Saga;

use super::{
    entry::{Act, Entry, Started, Turning, What, Which},
    render::{self, Scope},
    state::State,
    turn::{Event, FinalAnswer, StepView, Turn, Upstreams},
};
use crate::{ids::SagaId, store::journal::SagaState, time::Timestamp};

mod agenda;
mod answers;
mod back;
mod begin;
mod doubt;
mod forward;
mod later;
mod legs;
mod operators;
mod rooms;
mod start;
#[cfg(test)]
mod tests;
mod view;
mod work;

pub use later::Callback;

use agenda::Agenda;
use work::Work;

/// The format of journals that this version writes.
pub const FORMAT: u32 = 1;

/// A saga, as its driver knows it.
#[derive(Clone, Debug)]
pub struct Machine {
    id: SagaId,
    /// What the keys of its calls begin with.
    key_prefix: String,
    definition: Arc<Saga>,
    state: State,
    /// The calls of this driver that have no answer yet. All else is in the journal.
    under_way: BTreeSet<Which>,
    /// A rule that tests switch off, to see that simulations find it out: a refusal is trusted only of the only send.
    #[cfg(test)]
    trusts_any_refusal: bool,
    /// What follows from those.
    agenda: Agenda,
}

/// Why a journal cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It does not begin with a start.
    #[error("the journal does not begin with a start")]
    NoStart,
    /// A later version wrote it.
    #[error("the journal has format {0}, and this version reads format {FORMAT}")]
    Format(u32),
    /// It was written by another definition.
    #[error("the journal was written by another definition of this saga")]
    OtherDefinition,
    /// It is damaged.
    #[error("entry {place} cannot follow those before it: {reason}")]
    Unfit {
        /// Which entry, from 0.
        place: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Machine {
    /// A new saga, and the first entry of its journal, which is folded in already.
    pub fn start(id: SagaId, definition: Arc<Saga>, started: Started, now: Timestamp) -> (Self, Entry) {
        let state = State::new(&definition, started.clone(), now);
        let entry = Entry { at: now, what: What::Started(started) };
        (Self::with(id, definition, state), entry)
    }

    /// A saga from its journal (invariant 2). Nothing is under way: send [`Event::Taken`].
    ///
    /// # Errors
    ///
    /// [`ReplayError`], if the journal is not one that this definition wrote.
    pub fn replay(id: SagaId, definition: Arc<Saga>, entries: &[Entry]) -> Result<Self, ReplayError> {
        let Some((Entry { at, what: What::Started(started) }, rest)) = entries.split_first() else {
            return Err(ReplayError::NoStart);
        };
        if started.format != FORMAT {
            return Err(ReplayError::Format(started.format));
        }
        if started.definition != definition.hash {
            return Err(ReplayError::OtherDefinition);
        }
        let mut state = State::new(&definition, started.clone(), *at);
        for (place, entry) in rest.iter().enumerate() {
            let applied = state.apply(&definition, entry);
            applied.map_err(|unfit| ReplayError::Unfit { place: place + 1, reason: unfit.0 })?;
        }
        Ok(Self::with(id, definition, state))
    }

    fn with(id: SagaId, definition: Arc<Saga>, state: State) -> Self {
        let agenda = Agenda::new(&definition, &state);
        Self {
            id,
            key_prefix: render::key_prefix(id, &state.started.incarnation),
            definition,
            state,
            under_way: BTreeSet::new(),
            agenda,
            #[cfg(test)]
            trusts_any_refusal: false,
        }
    }

    /// What comes of an event. The turn's entries are folded in already: a driver whose append is refused drops the machine. An event
    /// that does not apply (an answer to what is not under way, a command that was taken up) changes nothing.
    pub fn on(&mut self, event: Event, now: Timestamp, upstreams: &dyn Upstreams) -> Turn {
        self.on_all(vec![event], now, upstreams)
    }

    /// What comes of several events that are there at once. Callbacks come first, before time is looked at: what was sent in time
    /// counts, also if nobody drove the saga then.
    pub fn on_all(&mut self, events: Vec<Event>, now: Timestamp, upstreams: &dyn Upstreams) -> Turn {
        let mut work = Work::new(self, now, upstreams);
        let (callbacks, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| matches!(event, Event::CalledBack { .. }));
        for event in callbacks {
            if work.machine.state.ended.is_none() {
                work.take_up(event);
            }
        }
        for event in others {
            if work.machine.state.ended.is_none() {
                work.take_up(event);
                work.advance();
            }
        }
        if work.machine.state.ended.is_none() {
            work.advance();
        }
        work.turn()
    }

    /// Where the saga stands.
    pub fn state(&self) -> SagaState {
        self.state.state()
    }

    /// Whether an operator has paused it.
    pub const fn is_paused(&self) -> bool {
        self.state.paused
    }

    /// The definition by which it runs.
    pub const fn definition(&self) -> &Arc<Saga> {
        &self.definition
    }

    /// How it began.
    pub const fn started(&self) -> &Started {
        &self.state.started
    }

    /// When it began.
    pub const fn created_at(&self) -> Timestamp {
        self.state.created_at
    }

    /// Its steps, for the status resource and for operators.
    pub fn view(&self) -> Vec<StepView> {
        view::view(&self.definition, &self.state)
    }

    /// Why it waits for an operator or, if it does not, why it turned back.
    pub fn reason(&self) -> Option<&str> {
        let turned = self.state.turned.as_ref().map(|because| match because {
            Turning::Failure { reason, .. } => reason,
            Turning::Deadline => "the deadline passed",
            Turning::Operator => "an operator said so",
        });
        self.state.quarantined.as_deref().or(turned)
    }

    /// Whether a call, or its probe, is under way.
    pub fn is_under_way(&self, of: &Which) -> bool {
        self.under_way.contains(of)
    }

    /// Whether a command applies as the saga stands.
    ///
    /// # Errors
    ///
    /// Why not, in words for the operator.
    pub fn can(&self, act: &Act) -> Result<(), String> {
        operators::can(self, act)
    }

    /// What callers get as the saga stands, if it has ended or is quarantined.
    pub fn answer(&self) -> Option<FinalAnswer> {
        self.rendered().map(|rendered| rendered.answer)
    }

    /// Why [`Machine::answer`] is the default and not the definition's own, if that could not be rendered. For the log.
    pub fn answer_fault(&self) -> Option<String> {
        self.rendered()?.fault
    }

    /// The same with a rule switched off: a refusal is trusted, whatever may have become of earlier sends.
    #[cfg(test)]
    pub(super) fn trusting_any_refusal(mut self) -> Self {
        self.trusts_any_refusal = true;
        self
    }

    fn rendered(&self) -> Option<render::Rendered> {
        let scope = self.scope();
        match self.state() {
            SagaState::Running | SagaState::Compensating => None,
            SagaState::Completed => Some(render::completed(scope)),
            SagaState::Compensated => Some(render::compensated(scope)),
            SagaState::Quarantined => Some(render::quarantined(scope)),
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope { id: self.id, definition: &self.definition, state: &self.state }
    }
}
