//! The real engine does what the table says, fault by fault: engine, driver, store and recovery, before the services of a simulation.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use saga_config::{
    names::StepPath,
    saga::{Saga, UpstreamFacts, test::Mock},
};
use tokio::sync::Notify;

use super::{
    super::{
        Effect, Outcome, Row,
        runs::play,
        services::{Kind, Said, Services},
        stage::{Asked, Stage, reply},
        synth, table,
    },
    *,
};
use crate::{
    ids::SagaId,
    saga::{
        entry::{Direction, What},
        machine::Machine,
        tests::{Hook, Process, Script, Store, process, recovering::recover},
        turn::{Answer, SendEffect},
    },
    store::{
        faults::{Fault, Faulty},
        memory::MemoryStore,
        wakes::Wakes,
    },
    time::Timestamp,
};

/// How long a request that is late is on its way.
const LATE: Duration = Duration::from_millis(1);
/// A lease that lapses soon.
const SHORT_LEASE: Duration = Duration::from_millis(300);
/// The longest that one row may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The example, in a hurry: nothing in it depends on how long something takes.
fn create_order() -> String {
    let hurried = [
        ("\ndeadline: 30s", "\n#"),
        ("    timeout: 2s\n    retry: {for: 3s, initial: 200ms}", "   "),
        ("timeout: 5s", "timeout: 10ms"),
        ("retry: {max: 5, initial: 200ms, max_delay: 5s}", "retry: {max: 5, for: 8s, initial: 1ms, max_delay: 20ms}"),
        ("retry: {for: 24h, initial: 500ms, max_delay: 1m}", "retry: {for: 8s, initial: 1ms, max_delay: 100ms}"),
    ];
    hurried.into_iter().fold(super::CREATE_ORDER.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    })
}

/// What goes wrong in one run, in this order.
#[derive(Clone)]
struct Wrong {
    step: String,
    undo: bool,
    outcome: Outcome,
}

/// What services answer to a step and to its undo.
#[derive(Clone)]
struct Replies {
    done: Mock,
    refused: Option<Mock>,
    undone: Option<Mock>,
    undo_refused: Option<Mock>,
}

/// The services of one run, and what goes wrong before them. Shared by both processes.
struct Stand {
    services: Mutex<Services>,
    replies: BTreeMap<String, Replies>,
    wrong: Mutex<Vec<Wrong>>,
    lasting: Mutex<BTreeMap<(StepPath, Direction), Outcome>>,
    kind: Kind,
    /// The store as the first process sees it: it is cut off from it when it dies.
    first: Store,
    /// Whether the first process dies before its next call.
    is_dying: Mutex<bool>,
    has_turned: Mutex<bool>,
}

impl Stand {
    /// One request of a process. `is_first`: of the first one, which may die of it.
    async fn send(self: Arc<Self>, send: SendEffect, is_first: bool) -> Answer {
        if is_first && *self.is_dying.lock().unwrap() {
            self.first.break_down(Fault::NotReached);
            return never().await;
        }
        let leg = (send.of.step.clone(), send.of.direction);
        if send.of.direction == Direction::Undo || send.resolve {
            *self.has_turned.lock().unwrap() = true;
        }
        let mut outcome = self.decided(&send);
        let lasting = self.lasting.lock().unwrap().get(&leg).copied();
        if let Some(lasting) = lasting {
            let is_over = lasting.ends_with_turning_back() && *self.has_turned.lock().unwrap();
            outcome = if is_over { Outcome::Done } else { lasting };
        } else if outcome.lasts() {
            self.lasting.lock().unwrap().insert(leg, outcome);
        }
        let unknown = || Answer::Unknown { reason: "no answer".to_owned() };
        match outcome {
            Outcome::NotSent | Outcome::NeverSent => {
                Answer::NotSent { reason: "the connection was refused".to_owned(), retry_after: None }
            }
            Outcome::UnknownApplied | Outcome::SilentApplied | Outcome::MuteApplied => {
                self.arrive(&send, false);
                unknown()
            }
            Outcome::UnknownNotApplied | Outcome::SilentNotApplied | Outcome::MuteNotApplied => unknown(),
            Outcome::UnknownLate => {
                let stand = Arc::clone(&self);
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    stand.arrive(&send, false);
                });
                unknown()
            }
            Outcome::CrashBeforeRecord => {
                self.arrive(&send, false);
                self.first.break_down(Fault::NotReached);
                never().await
            }
            Outcome::CrashAfterRecord => {
                *self.is_dying.lock().unwrap() = true;
                self.answered(&send, false)
            }
            refused_or_done => self.answered(&send, refused_or_done == Outcome::Refused),
        }
    }

    fn decided(&self, send: &SendEffect) -> Outcome {
        let mut wrong = self.wrong.lock().unwrap();
        let undo = send.of.direction == Direction::Undo;
        match wrong.first() {
            Some(next) if next.step == send.of.step.as_str() && next.undo == undo => wrong.remove(0).outcome,
            _ => Outcome::Done,
        }
    }

    fn arrive(&self, send: &SendEffect, refuses: bool) -> Said {
        self.services.lock().unwrap().arrive(send, refuses, self.kind, Timestamp::ZERO)
    }

    fn answered(&self, send: &SendEffect, refuses: bool) -> Answer {
        let said = self.arrive(send, refuses);
        let replies = &self.replies[send.of.step.name()];
        let mock = |mock: &Option<Mock>, only: bool| Answer::Replied(reply(mock.as_ref().unwrap(), only));
        match (said, send.of.direction) {
            (Said::Sealed, _) => Answer::Sealed,
            (Said::NothingToUndo, _) => Answer::NothingToUndo,
            (Said::Done { only }, Direction::Forward) => Answer::Replied(reply(&replies.done, only)),
            (Said::Done { only }, Direction::Undo) => mock(&replies.undone, only),
            (Said::Refused { only }, Direction::Forward) => mock(&replies.refused, only),
            (Said::Refused { only }, Direction::Undo) => mock(&replies.undo_refused, only),
            (Said::Gone { .. }, _) => panic!("nothing to undo at {}", send.of.step),
        }
    }
}

async fn never() -> Answer {
    Notify::new().notified().await;
    Answer::Unknown { reason: String::new() }
}

fn hook(stand: &Arc<Stand>, is_first: bool) -> Script {
    let stand = Arc::clone(stand);
    let hook: Hook = Box::new(move |send| Box::pin(Arc::clone(&stand).send(send, is_first)));
    Script::hooked(hook)
}

/// Plays one row with the engine, and says what is not as the row says.
async fn differs(stage: &StageOf, row: Row) -> Option<String> {
    let wakes = Wakes::default();
    let store = MemoryStore::new(wakes.clone());
    let (first, second) = (Faulty::new(store.clone()), Faulty::new(store));
    let faults = row.ending.faults.iter();
    let wrong = faults.map(|fault| Wrong { step: fault.step.to_string(), undo: fault.undo, outcome: fault.outcome });
    let stand = Arc::new(Stand {
        services: Mutex::default(),
        replies: stage.replies.clone(),
        wrong: Mutex::new(wrong.collect()),
        lasting: Mutex::default(),
        kind: stage.kind,
        first: first.clone(),
        is_dying: Mutex::new(false),
        has_turned: Mutex::new(false),
    });
    let definitions = [Arc::clone(&stage.definition)];
    let one: Process = process(&first, wakes.clone(), hook(&stand, true), &definitions, SHORT_LEASE);
    let other: Process = process(&second, wakes, hook(&stand, false), &definitions, SHORT_LEASE);
    let id = SagaId::random();
    let renewing = recover(&one);
    let recovering = recover(&other);
    one.begin_with(id, &stage.definition, stage.input.clone()).await;
    let told = format!("{} {} {}", if row.undo { "undo of" } else { "" }, row.step, row.outcome.words());
    let ended = tokio::time::timeout(PATIENCE, other.until_state(id, row.ending.state)).await;
    recovering.cancel();
    renewing.cancel();
    if ended.is_err() {
        return Some(format!("{told}: it is never {:?}", row.ending.state));
    }
    // What is late has arrived: it is on its way for less than any of the retries after it.
    let entries = other.journal(id).await;
    let machine = Machine::replay(id, Arc::clone(&stage.definition), &entries).unwrap();
    let answer = machine.answer().unwrap();
    let body = answer.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    let undone: Vec<StepPath> = entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Undone { step, .. } => Some(step.clone()),
            _ => None,
        })
        .collect();
    let services = stand.services.lock().unwrap();
    let effect = |step: &StepPath| match services.book(step) {
        book if book.done > book.undone => Effect::Kept,
        book if book.done > 0 => Effect::Undone,
        _ => Effect::None,
    };
    let effects: BTreeMap<StepPath, Effect> = row.ending.effects.keys().map(|step| (step.clone(), effect(step))).collect();
    let engine = (machine.state(), answer.status, body, undone, effects);
    let table = (row.ending.state, row.ending.status, row.ending.body, row.ending.undone, row.ending.effects);
    (engine != table).then(|| format!("{told}: the engine {engine:?}, the table {table:?}"))
}

/// What of a stage is shared by all rows.
struct StageOf {
    definition: Arc<Saga>,
    input: serde_json::Map<String, serde_json::Value>,
    replies: BTreeMap<String, Replies>,
    kind: Kind,
}

fn replies(stage: &Stage) -> BTreeMap<String, Replies> {
    let steps = stage.definition.steps.iter();
    let of = |step: &saga_config::saga::Step| Replies {
        done: stage.done(&step.id),
        refused: stage.known(&step.id, Asked::Refused),
        undone: stage.known(&step.id, Asked::Undone),
        undo_refused: stage.known(&step.id, Asked::UndoRefused),
    };
    steps.map(|step| (step.id.to_string(), of(step))).collect()
}

async fn the_engine_does_what_the_table_says(fact: UpstreamFact, kind: Kind) {
    let Loaded { saga, .. } = load(&create_order());
    let definition = Arc::new(saga);
    let facts = All(UpstreamFact { max_execution: LATE, ..fact });
    let participants = super::super::stage::participants(&definition, Some(&facts as &dyn UpstreamFacts));
    let case = saga_config::saga::test::Case { name: String::new(), start: None, answers: Default::default(), expect: None };
    let mut stage = synth::make(&definition, &case, &participants).unwrap_or_else(|lacking| panic!("{lacking:?}")).stage;
    stage.lease = SHORT_LEASE;
    let base = super::super::Ending::of(play(&stage, &[]).unwrap());
    let rows = table::table(&stage, &base).rows;
    assert!(rows.len() > 80, "{}", rows.len());
    // An operator's word comes when the store is asked for it next: it is not a matter of faults.
    let rows = rows.into_iter().filter(|row| row.ending.faults.iter().all(|fault| fault.outcome != Outcome::TurnedBack));
    let shared = Arc::new(StageOf { replies: replies(&stage), input: stage.input.clone(), definition, kind });
    let runs: Vec<_> = rows
        .map(|row| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { differs(&shared, row).await })
        })
        .collect();
    let mut wrong = Vec::new();
    for run in runs {
        wrong.extend(run.await.unwrap());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_engine_does_what_the_table_says_before_services_that_remember_keys() {
    let day = Duration::from_secs(24 * 3600);
    the_engine_does_what_the_table_says(REMEMBERS, Kind::Remembers(day)).await;
}

#[tokio::test]
async fn the_engine_does_what_the_table_says_before_services_with_a_refrain() {
    the_engine_does_what_the_table_says(REFRAIN, Kind::Refrain).await;
}
