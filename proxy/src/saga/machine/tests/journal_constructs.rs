//! Journals of switches, loops, timers and sub-sagas: read back, cut short, damaged.

use std::{sync::Arc, time::Duration};

use saga_config::saga::Saga;
use serde_json::{Value, json};

use super::{
    super::Machine,
    build::{ID, shared, step},
    hand::Hand,
    nest::{SubOf, each, nested, one, sub_of, switch, wait},
    world::Facts,
};
use crate::saga::{
    entry::{Act, Entry},
    turn::{Event, Then},
};

fn definition() -> Saga {
    let of = SubOf { n: json!("${t.n}"), check: None, reply: Some(json!("${steps.room.id}")), deadline: None, max_parallel: 8 };
    let body = vec![
        one(step("seat").undo_from_answer()),
        one(step("meal").when("t.n == 1").continues()),
        sub_of("stay", of, vec![one(step("room"))]),
    ];
    nested(&[
        switch("which", vec![(Some("input.no"), vec![one(step("x"))]), (None, vec![one(step("y"))])]),
        each("all", "${input.two}", 1, body),
        wait("pause", Duration::from_secs(60)),
        one(step("rooms").set(json!({"ids": "${steps.stay.body}"}))),
        one(step("z")),
    ])
}

/// A saga to which much happened.
fn eventful() -> Hand {
    let mut hand = Hand::start(definition());
    hand.done("y").unknown("seat.0").lose(Duration::from_secs(1)).done("seat.0").done("stay/room.0");
    hand.done("seat.1").not_yet("meal.1").sleep().replied("meal.1", 409, json!({})).done("stay/room.1");
    hand.command(Act::Skip { step: "all".parse().unwrap() });
    hand.lose(Duration::from_secs(20)).sleep().replied("z", 409, json!({}));
    hand.unknown("undo stay/room.1").lose(Duration::from_secs(60)).replied("undo stay/room.1", 204, json!(null));
    hand.replied("undo seat.1", 204, json!(null)).replied("undo stay/room.0", 409, json!({}));
    hand.command(Act::Retry { step: Some("stay/room.0".parse().unwrap()), run_again: true });
    hand.replied("undo stay/room.0", 204, json!(null));
    hand
}

/// What version 1 wrote, when these constructs came. It is not changed.
const VERSION_1: &str = include_str!("journals/version-1-constructs.jsonl");

#[test]
fn a_journal_with_constructs_that_was_written_once_stays_readable() {
    let entries: Vec<Entry> = VERSION_1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let machine = Machine::replay(ID, shared(definition()), &entries).unwrap();
    let steps: Vec<_> = machine.view().iter().map(|step| format!("{} {} {}", step.step, step.state, step.undo)).collect();
    let expected = "which done none, x skipped none, y done planned, all done none, seat.0 done sending, seat.1 done undone, \
                    meal.0 skipped none, meal.1 failed none, stay/(input).0 done none, stay/(input).1 done none, \
                    stay/room.0 done undone, stay/room.1 done undone, stay.0 done none, stay.1 done none, pause done none, \
                    rooms done none, z failed none";
    assert_eq!(steps.join(", "), expected);
    for (line, entry) in VERSION_1.lines().zip(&entries) {
        assert_eq!(serde_json::to_value(entry).unwrap(), serde_json::from_str::<Value>(line).unwrap(), "nothing of it is lost");
    }
}

#[test]
fn replay_equals_live_at_every_length_with_constructs() {
    let (journal, definition) = (eventful().journal, shared(definition()));
    for length in 1..=journal.len() {
        let mut machine = Machine::replay(ID, Arc::clone(&definition), &journal[..length]).unwrap();
        let at = journal[length - 1].at.plus(Duration::from_secs(60));
        let turn = machine.on(Event::Taken, at, &Facts);
        match turn.then {
            Then::Await { .. } => assert!(!machine.under_way.is_empty()),
            Then::Sleep { until } => assert!(until > at),
            Then::Rest { .. } | Then::End { .. } => assert!(machine.under_way.is_empty()),
        }
        let longer: Vec<Entry> = journal[..length].iter().cloned().chain(turn.entries).collect();
        assert_eq!(Machine::replay(ID, Arc::clone(&definition), &longer).unwrap().state, machine.state);
    }
}

#[test]
fn a_damaged_journal_with_constructs_is_an_error_and_no_panic() {
    let (hand, definition) = (eventful(), shared(definition()));
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
                match Machine::replay(ID, Arc::clone(&definition), &journal) {
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

/// Prints a journal as the file has it, for the day when one more is kept.
#[test]
fn the_journal_that_is_kept_is_the_one_that_is_written() {
    let written: Vec<String> = eventful().journal.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    assert_eq!(written.join("\n"), VERSION_1.trim_end(), "what is written now differs from what was kept");
}
