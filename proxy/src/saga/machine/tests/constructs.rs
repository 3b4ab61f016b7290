//! Switches, loops, timers, sub-sagas: one story each.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    build::{BEGIN, says, shared, step, value},
    hand::Hand,
    nest::{Node, SubOf, each, nested, one, sub, sub_of, switch, wait},
};
use crate::{
    saga::{
        entry::{Act, What},
        turn::Then,
    },
    store::journal::SagaState,
};

const SECOND: Duration = Duration::from_secs(1);

fn set(id: &'static str, values: Value) -> Node {
    one(step(id).set(values))
}

fn output(hand: &Hand, path: &str) -> Value {
    let view = hand.machine.view().into_iter().find(|view| view.step.as_str() == path);
    view.unwrap_or_else(|| panic!("no {path}")).output.map_or(Value::Null, Value::Object)
}

fn state(hand: &Hand, path: &str) -> &'static str {
    hand.machine.view().into_iter().find(|view| view.step.as_str() == path).unwrap_or_else(|| panic!("no {path}")).state
}

#[test]
fn a_switch_runs_the_first_arm_whose_condition_holds_and_what_follows_waits_for_it() {
    let arms =
        vec![(Some("input.no"), vec![one(step("a"))]), (Some("input.yes"), vec![one(step("b"))]), (None, vec![one(step("c"))])];
    let mut hand = Hand::start(nested(&[switch("which", arms), one(step("d"))]));
    assert_eq!((hand.entries(), hand.sends()), (vec!["chosen", "sending"], vec!["do b".to_owned()]));
    assert_eq!((state(&hand, "a"), state(&hand, "c"), state(&hand, "which")), ("skipped", "skipped", "done"));
    hand.done("b");
    assert_eq!(hand.sends(), ["do d"]);
    hand.replied("d", 409, json!({}));
    assert_eq!(hand.sends(), ["undo b"], "what was not chosen is not undone");
}

#[test]
fn a_switch_without_an_arm_that_holds_and_one_that_is_skipped_run_nothing_of_what_stands_in_them() {
    let inner =
        || vec![one(step("a")), switch("deep", vec![(None, vec![one(step("b"))])]), sub("stay", json!(1), vec![one(step("c"))])];
    let mut hand = Hand::start(nested(&[switch("which", vec![(Some("input.no"), inner())]), one(step("d"))]));
    assert_eq!(hand.entries(), ["chosen", "sending"]);
    for path in ["a", "deep", "b", "stay/(input)", "stay/c", "stay"] {
        assert_eq!(state(&hand, path), "skipped", "{path}");
    }
    hand.done("d");
    assert_eq!(hand.machine.state(), SagaState::Completed);
    let skipped = Node::Switch { id: "which", when: Some("input.no"), arms: vec![(None, inner())] };
    let hand = Hand::start(nested(&[skipped, one(step("d"))]));
    assert_eq!((hand.entries(), hand.sends()), (vec!["skipped", "sending"], vec!["do d".to_owned()]));
    assert_eq!(state(&hand, "stay/c"), "skipped");
}

#[test]
fn a_switch_whose_condition_has_no_value_fails_and_an_arm_is_never_chosen_again() {
    let hand = Hand::start(nested(&[switch("which", vec![(Some("input.nothing"), vec![one(step("a"))])])]));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "ended"], vec![]));
    assert!(hand.machine.reason().unwrap().contains("arm 1"), "{:?}", hand.machine.reason());

    let definition = |yes| nested(&[switch("which", vec![(Some(yes), vec![one(step("a"))]), (None, vec![one(step("b"))])])]);
    let mut hand = Hand::start(definition("input.yes"));
    hand.not_sent("a");
    let mut other = super::super::Machine::replay(super::build::ID, shared(definition("input.no")), &hand.journal).unwrap();
    let turn = other.on(crate::saga::turn::Event::Taken, hand.now.plus(SECOND), &super::world::Facts);
    assert!(matches!(&turn.entries[0].what, What::Sending { of, .. } if of.step.as_str() == "a"), "{turn:?}");
}

#[test]
fn a_loop_runs_its_steps_for_each_item_and_outside_their_outputs_are_lists() {
    let body = vec![one(step("mail").when("t.n != 1").change(|call| {
        call.call.body = Some(value(json!({"n": "${t.n}", "key": "${step.key}", "id": "${step.id}"})));
    }))];
    let mails = each("mails", "${input.two + [{'n': 2}]}", 8, body);
    let all = set("all", json!({"ids": "${steps.mail.id}"}));
    let mut hand = Hand::start(nested(&[mails, all]));
    assert_eq!(hand.entries(), ["listed", "sending", "skipped", "sending"]);
    assert_eq!(hand.sends(), ["do mail.0", "do mail.2"]);
    let bodies: Vec<String> = hand
        .turn
        .effects
        .iter()
        .map(|effect| match effect {
            crate::saga::turn::Effect::Send(send) => send.request.body.clone().unwrap(),
            crate::saga::turn::Effect::Check(_) => panic!("no probe"),
        })
        .collect();
    assert!(
        bodies[1].contains("\"n\":2") && bodies[1].contains("-mail.2-do-1\"") && bodies[1].contains("\"mail.2\""),
        "{bodies:?}"
    );
    hand.done("mail.2").done("mail.0");
    assert_eq!(output(&hand, "all"), json!({"ids": ["mail.0-1", null, "mail.2-1"]}));
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn a_loop_that_does_not_run_and_one_without_items_give_empty_lists() {
    for (list, condition) in [("${[]}", None), ("${input.two}", Some("input.no"))] {
        let all = set("all", json!({"ids": "${steps.mail.id}"}));
        let mut definition = nested(&[each("mails", list, 1, vec![one(step("mail"))]), all]);
        definition.steps[0].when = condition.map(says);
        let hand = Hand::start(definition);
        assert_eq!((output(&hand, "all"), hand.machine.state()), (json!({"ids": []}), SagaState::Completed));
    }
}

#[test]
fn a_list_that_is_none_or_too_long_fails_the_loop() {
    let long: Vec<u32> = (0..1001).collect();
    for (list, why) in [(json!("${input.yes}"), "no list"), (json!(long), "1001 items"), (json!("${input.nothing}"), "nothing")] {
        let hand = Hand::start(nested(&[Node::Each { id: "mails", list, max: 1, body: vec![one(step("mail"))] }]));
        assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "ended"], vec![]));
        assert!(hand.machine.reason().unwrap().contains(why), "{:?}", hand.machine.reason());
    }
    let body: Vec<Node> = (0..21).map(|i| one(step(&*Box::leak(format!("s{i}").into_boxed_str())))).collect();
    let hand = Hand::start(nested(&[Node::Each { id: "mails", list: json!(long[..1000]), max: 1, body }]));
    assert!(hand.machine.reason().unwrap().contains("the most is 20000"), "{:?}", hand.machine.reason());
}

#[test]
fn with_one_at_once_items_run_in_order_and_are_undone_the_newest_first() {
    let body = || vec![one(step("a")), one(step("b"))];
    let mut hand = Hand::start(nested(&[each("all", "${input.two}", 1, body()), one(step("c"))]));
    for call in ["a.0", "b.0", "a.1", "b.1"] {
        assert_eq!(hand.sends(), [format!("do {call}")]);
        hand.done(call);
    }
    hand.replied("c", 409, json!({}));
    for call in ["b.1", "a.1", "b.0", "a.0"] {
        assert_eq!(hand.sends(), [format!("undo {call}")]);
        hand.replied(&format!("undo {call}"), 204, json!(null));
    }
    assert_eq!(hand.machine.state(), SagaState::Compensated);
}

#[test]
fn several_at_once_are_begun_in_order_and_undone_at_once_within_the_sagas_bound() {
    let list = "${[1, 2, 3, 4, 5]}";
    let mut definition = nested(&[each("all", list, 2, vec![one(step("a")), one(step("b"))]), one(step("c"))]);
    definition.max_parallel = 3;
    let mut hand = Hand::start(definition);
    assert_eq!(hand.sends(), ["do a.0", "do a.1"], "no more than its max");
    hand.done("a.1");
    assert_eq!(hand.sends(), ["do b.1"]);
    hand.done("b.1");
    assert_eq!(hand.sends(), ["do a.2"], "an item that is settled makes room for one");
    for call in ["a.2", "a.0", "b.0", "b.2", "a.3", "a.4", "b.3", "b.4"] {
        hand.done(call);
    }
    hand.replied("c", 409, json!({}));
    assert_eq!(hand.sends(), ["undo b.4", "undo b.3", "undo b.2"], "no more than the saga's bound");
    hand.replied("undo b.3", 204, json!(null));
    assert_eq!(hand.sends(), ["undo a.3"], "the newest first of what may be undone");
}

#[test]
fn an_item_that_fails_turns_the_saga_back_and_no_other_begins() {
    let mut hand = Hand::start(nested(&[each("all", "${[1, 2, 3]}", 2, vec![one(step("a"))])]));
    hand.done("a.0");
    assert_eq!(hand.sends(), ["do a.2"]);
    hand.replied("a.1", 409, json!({}));
    assert_eq!((hand.entries(), hand.sends()), (vec!["refused", "compensating", "sending"], vec!["undo a.0".to_owned()]));
    hand.done("a.2");
    assert_eq!(hand.sends(), ["undo a.2"], "what was under way is answered, then undone");

    let mut hand = Hand::start(nested(&[each("all", "${[1, 2]}", 1, vec![one(step("a").continues())])]));
    hand.replied("a.0", 409, json!({}));
    assert_eq!(hand.sends(), ["do a.1"], "but where the failure does not matter");
}

#[test]
fn a_group_in_a_loop_is_one_for_each_item() {
    let child = |id| vec![one(step(id))];
    let group = |cancel_others| Node::Group { max: 1, cancel_others, children: vec![child("a"), child("b")] };
    let mut hand = Hand::start(nested(&[each("all", "${input.two}", 2, vec![group(false), one(step("c"))])]));
    assert_eq!(hand.sends(), ["do a.0", "do a.1"], "its max is for each");
    hand.replied("a.0", 409, json!({}));
    assert_eq!(
        (hand.entries(), hand.sends()),
        (vec!["refused", "sending"], vec!["do b.0".to_owned()]),
        "its children run to the end"
    );
    hand.done("a.1");
    assert_eq!((hand.entries(), hand.sends()), (vec!["done"], vec![]), "another item's do not");
    hand.done("b.0");
    assert_eq!(hand.entries(), ["done", "compensating", "sending", "sending"]);
    assert_eq!(hand.sends(), ["undo a.1", "undo b.0"]);
}

#[test]
fn a_loop_in_a_groups_child_is_bounded_by_the_group() {
    let children = vec![vec![each("all", "${input.two}", 2, vec![one(step("a"))])], vec![one(step("b"))]];
    let mut hand = Hand::start(nested(&[Node::Group { max: 2, cancel_others: true, children }, one(step("c"))]));
    assert_eq!(hand.sends(), ["do b", "do a.0"]);
    hand.done("b");
    assert_eq!(hand.sends(), ["do a.1"]);
    hand.done("a.0").done("a.1");
    assert_eq!(hand.sends(), ["do c"]);
}

#[test]
fn a_timer_is_set_once_lets_the_saga_be_parked_and_outlives_its_driver() {
    let mut hand = Hand::start(nested(&[wait("pause", SECOND * 60), one(step("a"))]));
    assert_eq!((hand.entries(), &hand.turn.then), (vec!["timed"], &Then::Sleep { until: BEGIN.plus(SECOND * 60) }));
    assert_eq!(state(&hand, "pause"), "waiting");
    hand.lose(SECOND * 20);
    assert_eq!((hand.entries(), &hand.turn.then), (vec![], &Then::Sleep { until: BEGIN.plus(SECOND * 60) }), "not again");
    hand.sleep();
    assert_eq!((hand.entries(), hand.sends()), (vec!["elapsed", "sending"], vec!["do a".to_owned()]));
}

#[test]
fn a_timer_takes_up_no_room_and_ends_with_the_deadline() {
    let children = vec![vec![wait("pause", SECOND * 60)], vec![one(step("a"))]];
    let mut definition = nested(&[Node::Group { max: 8, cancel_others: true, children }]);
    (definition.max_parallel, definition.deadline) = (1, Some(SECOND * 30));
    let mut hand = Hand::start(definition);
    assert_eq!((hand.entries(), hand.sends()), (vec!["timed", "sending"], vec!["do a".to_owned()]));
    hand.done("a").sleep();
    assert_eq!((hand.now, hand.sends()), (BEGIN.plus(SECOND * 30), vec!["undo a".to_owned()]));
    hand.replied("undo a", 204, json!(null));
    assert_eq!((hand.machine.state(), state(&hand, "pause")), (SagaState::Compensated, "pending"));
}

#[test]
fn an_operator_ends_a_timer_by_a_retry_or_skips_it() {
    let start = || Hand::start(nested(&[wait("pause", SECOND * 60), one(step("a"))]));
    let path = || "pause".parse().unwrap();
    let mut hand = start();
    assert_eq!(hand.refuses(Act::Retry { step: None, run_again: false }), "nothing waits");
    hand.obeys(Act::Retry { step: Some(path()), run_again: false });
    assert_eq!((hand.entries(), hand.sends()), (vec!["operator", "elapsed", "sending"], vec!["do a".to_owned()]));
    let mut hand = start();
    hand.obeys(Act::Skip { step: path() });
    assert_eq!((hand.entries(), hand.sends()), (vec!["operator", "skipped", "sending"], vec!["do a".to_owned()]));
}

/// `stay` is given `n`, and gives what its steps give.
fn stay(n: &str, of: impl FnOnce(&mut SubOf), body: Vec<Node>) -> Node {
    let reply = Some(json!({"n": "${input.n}", "room": "${steps.room.id}", "name": "${saga.name}"}));
    let mut sub = SubOf { n: json!(n), check: Some("self > 0"), reply, deadline: None, max_parallel: 8 };
    of(&mut sub);
    sub_of("stay", sub, body)
}

#[test]
fn a_sub_saga_sees_its_own_names_and_gives_its_answer_to_the_step_that_runs_it() {
    let after = set("after", json!({"all": "${steps.stay}", "known": "${has(steps.room)}", "name": "${saga.name}"}));
    let room = step("room")
        .change(|call| call.call.body = Some(value(json!({"n": "${input.n}", "id": "${step.id}", "t": "${has(steps.t)}"}))));
    let mut hand = Hand::start(nested(&[set("t", json!({"x": 20})), stay("${steps.t.x + 1}", |_| (), vec![one(room)]), after]));
    assert_eq!(hand.entries(), ["set", "set", "sending"]);
    assert_eq!(hand.sends(), ["do stay/room"]);
    assert_eq!(hand.sent().request.body.as_deref(), Some("{\"n\":21,\"id\":\"stay/room\",\"t\":false}"));
    hand.done("stay/room");
    let all = json!({"status": 201, "body": {"n": 21, "room": "stay/room-1", "name": "child"}});
    assert_eq!(output(&hand, "after"), json!({"all": all, "known": false, "name": "test"}));
    assert_eq!(hand.machine.state(), SagaState::Completed);
}

#[test]
fn what_a_sub_saga_is_given_is_checked_as_a_sagas_input_is() {
    for (n, why) in
        [("${-1}", "`self > 0` does not hold"), ("${input.yes}", "must be a whole number"), ("${input.nothing}", "nothing")]
    {
        let mut hand = Hand::start(nested(&[one(step("a")), stay(n, |_| (), vec![one(step("room"))])]));
        hand.done("a");
        assert_eq!(
            (hand.entries(), hand.sends()),
            (vec!["done", "refused", "compensating", "sending"], vec!["undo a".to_owned()])
        );
        assert!(hand.machine.reason().unwrap().contains(why), "{:?}", hand.machine.reason());
        assert_eq!(state(&hand, "stay/(input)"), "failed");
    }
}

#[test]
fn a_sub_saga_is_undone_by_undoing_its_steps() {
    let mut hand = Hand::start(nested(&[stay("${1}", |_| (), vec![one(step("room")), one(step("key"))]), one(step("b"))]));
    hand.done("stay/room").done("stay/key").replied("b", 409, json!({}));
    assert_eq!(hand.sends(), ["undo stay/key"]);
    hand.replied("undo stay/key", 204, json!(null));
    assert_eq!(hand.sends(), ["undo stay/room"]);
}

#[test]
fn the_deadline_of_a_sub_saga_counts_from_its_beginning_and_turns_everything_back() {
    let sub = |deadline| stay("${1}", |of| of.deadline = Some(SECOND * deadline), vec![one(step("room"))]);
    let mut hand = Hand::start(nested(&[one(step("a")), sub(30), one(step("b"))]));
    hand.now = hand.now.plus(SECOND * 20);
    hand.done("a");
    assert_eq!(hand.turn.then, Then::Await { tick_at: Some(BEGIN.plus(SECOND * 50)) });
    hand.sleep();
    assert_eq!(hand.entries(), ["compensating"]);
    let because = json!(hand.turn.entries[0]);
    assert_eq!((&because["because"]["cause"], &because["because"]["step"]), (&json!("failure"), &json!("stay")));
    hand.done("stay/room");
    assert_eq!(hand.sends(), ["undo stay/room"]);

    let mut hand = Hand::start(nested(&[sub(30), one(step("b"))]));
    hand.done("stay/room");
    assert_eq!(hand.turn.then, Then::Await { tick_at: None }, "it is over with the sub-saga");
}

#[test]
fn a_sub_saga_bounds_how_many_of_its_own_steps_run_at_once() {
    let child = |id| vec![one(step(id))];
    let group = Node::Group { max: 8, cancel_others: true, children: vec![child("room"), child("key")] };
    let two = Node::Group {
        max: 8,
        cancel_others: true,
        children: vec![vec![stay("${1}", |of| of.max_parallel = 1, vec![group])], child("b")],
    };
    let mut definition = nested(&[two, one(step("c"))]);
    // The members of one group: groups do not stand in each other.
    definition.groups.truncate(1);
    for step in &mut definition.steps {
        step.group = None;
    }
    let mut hand = Hand::start(definition);
    assert_eq!(hand.sends(), ["do stay/room", "do b"]);
    hand.done("stay/room").done("stay/key").done("b").replied("c", 409, json!({}));
    assert_eq!(hand.sends(), ["undo b", "undo stay/key"], "back as well as forward");
}

#[test]
fn who_skips_a_sub_saga_skips_all_of_it() {
    let mut hand = Hand::start(nested(&[one(step("a")), stay("${1}", |_| (), vec![one(step("room"))]), one(step("b"))]));
    hand.obeys(Act::Skip { step: "stay".parse().unwrap() });
    assert_eq!(
        (state(&hand, "stay"), state(&hand, "stay/room"), state(&hand, "stay/(input)")),
        ("skipped", "skipped", "skipped")
    );
    hand.done("a");
    assert_eq!(hand.sends(), ["do b"]);
}

#[test]
fn a_sub_saga_in_a_loop_is_one_for_each_item() {
    let body = vec![
        stay("${t.n + 1}", |of| of.deadline = Some(SECOND * 30), vec![one(step("room"))]),
        set("got", json!({"n": "${steps.stay.body.n}"})),
    ];
    let mut hand = Hand::start(nested(&[
        each("all", "${input.two}", 2, body),
        set("after", json!({"n": "${steps.got.n}", "s": "${steps.stay.status}"})),
    ]));
    assert_eq!(hand.sends(), ["do stay/room.0", "do stay/room.1"]);
    hand.done("stay/room.1").done("stay/room.0");
    assert_eq!(output(&hand, "after"), json!({"n": [1, 2], "s": [201, 201]}));
}

#[test]
fn operators_name_the_item() {
    let mut hand = Hand::start(nested(&[one(step("z")), each("all", "${input.two}", 1, vec![one(step("a"))])]));
    let skip = |path: &str| Act::Skip { step: path.parse().unwrap() };
    assert!(hand.machine.can(&skip("a")).unwrap_err().contains("say for which item"));
    assert!(hand.machine.can(&skip("a.0")).unwrap_err().contains("not fixed yet"));
    assert!(hand.machine.can(&skip("z.0")).unwrap_err().contains("in no loop"));
    hand.done("z").obeys(skip("a.1")).done("a.0");
    assert_eq!(hand.machine.state(), SagaState::Completed);
}
