//! Journals of switches, loops, timers and sub-sagas: read back, cut short, damaged.

use std::time::Duration;

use saga_config::saga::Saga;
use serde_json::json;

use super::{
    build::{shared, step},
    hand::Hand,
    journal::{assert_damage_is_an_error, assert_replay_equals_live, kept},
    nest::{SubOf, each, nested, one, sub_of, switch, wait},
};
use crate::saga::entry::Act;

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
    let (_, steps) = kept(VERSION_1, shared(definition()));
    let expected = "which done none, x skipped none, y done planned, all done none, seat.0 done sending, seat.1 done undone, \
                    meal.0 skipped none, meal.1 failed none, stay/(input).0 done none, stay/(input).1 done none, \
                    stay/room.0 done undone, stay/room.1 done undone, stay.0 done none, stay.1 done none, pause done none, \
                    rooms done none, z failed none";
    assert_eq!(steps, expected);
}

#[test]
fn replay_equals_live_at_every_length_with_constructs() {
    assert_replay_equals_live(&eventful());
}

#[test]
fn a_damaged_journal_with_constructs_is_an_error_and_no_panic() {
    assert_damage_is_an_error(&eventful());
}

/// Prints a journal as the file has it, for the day when one more is kept.
#[test]
fn the_journal_that_is_kept_is_the_one_that_is_written() {
    let written: Vec<String> = eventful().journal.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    assert_eq!(written.join("\n"), VERSION_1.trim_end(), "what is written now differs from what was kept");
}
