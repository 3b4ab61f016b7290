//! Journals: read back, cut short, damaged.

use std::{sync::Arc, time::Duration};

use saga_config::saga::{DefinitionHash, InDoubt, Saga};
use serde_json::{Value, json};

use super::{
    super::{Machine, ReplayError},
    build::{ID, saga, shared, step},
    hand::Hand,
    world::Facts,
};
use crate::saga::{
    entry::{Act, Entry, What},
    turn::{Event, Then},
};
use crate::store::journal::SagaState;

/// A saga to which much happened.
fn eventful() -> Hand {
    let steps = vec![
        step("v").set(json!({"x": "${1 + 1}"})),
        step("s").when("input.no"),
        step("a").undo_from_answer(),
        step("b").checked(),
        step("c").in_doubt(InDoubt::Compensate),
        step("d"),
    ];
    let mut hand = Hand::start(saga(steps));
    hand.not_sent("a").sleep().not_yet("a").sleep().unknown("a").lose(Duration::from_secs(1));
    hand.done("a").unknown("b").sleep().found("b", json!([])).done("b").done("c");
    hand.command(Act::Pause).command(Act::Pause).command(Act::Resume);
    hand.unknown("d")
        .lose(Duration::from_secs(60))
        .replied("d", 409, json!({}))
        .sleep()
        .unknown("d")
        .answer("d", super::hand::sealed());
    hand.lose(Duration::from_secs(60)).replied("undo c", 409, json!({}));
    hand.command(Act::Retry { step: Some("c".parse().unwrap()), run_again: true }).replied("undo c", 204, json!(null));
    hand
}

#[test]
fn replay_equals_live_at_every_length() {
    assert_replay_equals_live(&eventful());
}

/// That a journal, cut anywhere and taken up, is folded to what the machine is then.
pub(super) fn assert_replay_equals_live(hand: &Hand) {
    let (journal, definition) = (&hand.journal, &hand.machine.definition);
    for length in 1..=journal.len() {
        let mut machine = Machine::replay(ID, Arc::clone(definition), &journal[..length]).unwrap();
        let at = journal[length - 1].at.plus(Duration::from_secs(60));
        let turn = machine.on(Event::Taken, at, &Facts);
        match turn.then {
            Then::Await { .. } => assert!(!machine.under_way.is_empty()),
            Then::Sleep { until } => assert!(until > at),
            Then::Rest { .. } | Then::End { .. } => assert!(machine.under_way.is_empty()),
        }
        let longer: Vec<Entry> = journal[..length].iter().cloned().chain(turn.entries).collect();
        assert_eq!(Machine::replay(ID, Arc::clone(definition), &longer).unwrap().state, machine.state);
    }
}

#[test]
fn a_journal_is_not_replayed_with_another_definition() {
    let hand = eventful();
    let mut other = saga(vec![step("a")]);
    other.hash = DefinitionHash::from_bytes([2; 32]);
    let replayed = Machine::replay(ID, shared(other), &hand.journal);
    assert_eq!(replayed.err(), Some(ReplayError::OtherDefinition));
}

#[test]
fn a_damaged_journal_is_an_error_and_no_panic() {
    let hand = eventful();
    let replay = |journal: &[Entry]| Machine::replay(ID, Arc::clone(&hand.machine.definition), journal);
    assert_eq!(replay(&[]).err(), Some(ReplayError::NoStart));
    assert_eq!(replay(&hand.journal[1..]).err(), Some(ReplayError::NoStart));
    assert_damage_is_an_error(&hand);
    let mut start = hand.journal.clone();
    if let What::Started(started) = &mut start[0].what {
        started.format = 2;
    }
    assert_eq!(replay(&start).err(), Some(ReplayError::Format(2)));
}

/// That entries which change places, are left out or come twice are an error, or leave a saga that lives; no panic.
pub(super) fn assert_damage_is_an_error(hand: &Hand) {
    let (mut errors, mut lived) = (0, 0);
    for i in 1..hand.journal.len() {
        for j in 1..hand.journal.len() {
            let mut swapped = hand.journal.clone();
            swapped.swap(i, j);
            let mut left_out = hand.journal.clone();
            left_out.remove(i);
            let mut twice = hand.journal.clone();
            twice.insert(j, hand.journal[i].clone());
            for journal in [swapped, left_out, twice] {
                match Machine::replay(ID, Arc::clone(&hand.machine.definition), &journal) {
                    Err(_) => errors += 1,
                    Ok(mut machine) => {
                        lived += 1;
                        machine.on(Event::Taken, hand.now, &Facts);
                        machine.on(Event::Tick, hand.now.plus(Duration::from_secs(86_400)), &Facts);
                        machine.view();
                    }
                }
            }
        }
    }
    assert!(errors > lived, "{errors} {lived}");
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    let mut hand = eventful();
    let price: Value = serde_json::from_str("10.50").unwrap();
    hand.journal.push(Entry {
        at: hand.now,
        what: What::Set { step: "v".parse().unwrap(), values: [("price".to_owned(), price)].into_iter().collect() },
    });
    for entry in &hand.journal {
        let text = serde_json::to_string(entry).unwrap();
        let read: Entry = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(read, *entry, "{text}");
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}

#[test]
fn a_driver_that_lost_its_append_changes_nothing() {
    let mut hand = Hand::start(saga(vec![step("a"), step("b")]));
    let of = hand.which("a");
    let mut other = hand.machine.clone();
    let turn = other.on(Event::Answered { of, answer: super::hand::sealed() }, hand.now, &Facts);
    assert!(!turn.entries.is_empty(), "what this machine believes is dropped with it");
    hand.lose(Duration::from_secs(1)).done("a").done("b");
    assert_eq!(hand.entries(), ["done", "ended"]);
}

/// What version 1 wrote. Such a file is added when the format grows; none is changed.
const VERSION_1: &str = include_str!("journals/version-1.jsonl");

#[test]
fn a_journal_that_was_written_once_stays_readable() {
    let (machine, steps) = kept(VERSION_1, Arc::clone(&eventful().machine.definition));
    assert_eq!(
        (machine.state(), steps.as_str()),
        (SagaState::Compensating, "v done none, s skipped none, a done planned, b done sending, c done undone, d failed none")
    );
}

/// What a journal that was kept is folded to, and how its steps stand. Nothing of it is lost in reading.
pub(super) fn kept(journal: &str, definition: Arc<Saga>) -> (Machine, String) {
    let entries: Vec<Entry> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, entry) in journal.lines().zip(&entries) {
        let again: Value = serde_json::to_value(entry).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(line).unwrap(), "nothing of it is lost");
    }
    let machine = Machine::replay(ID, definition, &entries).unwrap();
    let steps: Vec<_> = machine.view().iter().map(|step| format!("{} {} {}", step.step, step.state, step.undo)).collect();
    (machine, steps.join(", "))
}
