//! Every choice of small worlds with switches, loops, timers and sub-sagas in them.

use std::time::Duration;

use saga_config::saga::InDoubt;
use serde_json::json;

use super::{
    build::step,
    explore::{ends_by_itself, explore, rules},
    nest::{Node, SubOf, each, nested, one, sub, sub_of, switch, wait},
    world::{End, Kind, Rules},
};

const SECOND: Duration = Duration::from_secs(1);

fn barrier(id: &'static str) -> Node {
    one(step(id).in_doubt(InDoubt::Barrier))
}

#[test]
fn the_books_are_right_at_every_end_of_a_loop() {
    for max in [1, 2] {
        let definition = nested(&[each("all", "${input.two}", max, vec![barrier("a")])]);
        ends_by_itself(&explore(definition, &rules(Kind::Refrain), 2));
        let definition = nested(&[each("all", "${input.two}", max, vec![one(step("a").checked())]), one(step("b").checked())]);
        ends_by_itself(&explore(definition, &rules(Kind::Ledger), 1));
    }
    let definition =
        nested(&[each("all", "${input.two}", 2, vec![one(step("a").undo_from_answer()), one(step("b").continues())])]);
    let ends = explore(definition, &rules(Kind::Remembers), 1);
    assert!(ends[&End::Completed] > 0 && ends[&End::Compensated] > 0, "{ends:?}");
}

#[test]
fn the_books_are_right_at_every_end_of_a_switch() {
    let arms = || {
        vec![(Some("input.no"), vec![barrier("x")]), (Some("has(steps.a.id)"), vec![barrier("b")]), (None, vec![barrier("y")])]
    };
    ends_by_itself(&explore(nested(&[barrier("a"), switch("which", arms())]), &rules(Kind::Refrain), 2));
    let inner = vec![each("all", "${input.two}", 1, vec![barrier("b")])];
    ends_by_itself(&explore(nested(&[switch("which", vec![(None, inner)])]), &rules(Kind::Refrain), 1));
}

#[test]
fn the_books_are_right_at_every_end_around_a_timer() {
    let mut definition = nested(&[barrier("a"), wait("pause", SECOND * 15), barrier("b")]);
    definition.deadline = Some(SECOND * 25);
    ends_by_itself(&explore(definition, &rules(Kind::Refrain), 2));
}

#[test]
fn the_books_are_right_at_every_end_of_a_sub_saga() {
    let stay = |deadline| SubOf { n: json!(1), check: None, reply: None, deadline, max_parallel: 1 };
    let children = vec![vec![barrier("x")], vec![barrier("y")]];
    let group = Node::Group { max: 2, cancel_others: false, children };
    let definition = nested(&[sub_of("stay", stay(None), vec![group]), barrier("b")]);
    ends_by_itself(&explore(definition, &rules(Kind::Refrain), 1));
    let definition = nested(&[barrier("a"), sub_of("stay", stay(Some(SECOND * 20)), vec![barrier("x")])]);
    ends_by_itself(&explore(definition, &rules(Kind::Refrain), 2));
    let definition = nested(&[each("all", "${input.two}", 2, vec![sub("stay", json!("${t.n}"), vec![barrier("x")])])]);
    ends_by_itself(&explore(definition, &rules(Kind::Refrain), 1));
}

#[test]
fn the_books_are_right_at_every_end_where_operators_meddle_with_items_and_timers() {
    let meddled = Rules { meddles: true, crashes: false, ..rules(Kind::Refrain) };
    explore(nested(&[each("all", "${input.two}", 1, vec![one(step("a"))])]), &meddled, 2);
    explore(nested(&[wait("pause", SECOND * 15), sub("stay", json!(1), vec![one(step("a"))])]), &meddled, 2);
}
