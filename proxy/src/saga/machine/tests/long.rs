//! Long loops: what a turn costs does not grow with them.

use std::sync::Arc;

use serde_json::json;

use super::{
    super::{Machine, agenda},
    build::{BEGIN, ID, shared, started, step},
    nest::{Node, nested, one},
    world::{Facts, reply},
};
use crate::saga::{
    entry::{Direction, Entry},
    turn::{Answer, Effect, Event, Then},
};
use crate::store::journal::{MAX_ENTRIES_AT_ONCE, MAX_JOURNAL_ENTRIES, SagaState};

/// Runs a loop of so many items with three steps each, undone in the end if `undone`, and says what it cost: the journal's entries, and
/// how many times a step was looked at.
fn run(items: usize, max: usize, undone: bool) -> (Vec<Entry>, u64) {
    let list = (0..items).map(|n| json!({"n": n})).collect::<Vec<_>>();
    let body = vec![one(step("a").undo_from_answer()), one(step("b")), one(step("c").when("has(steps.a.id)"))];
    let mut saga = nested(&[Node::Each { id: "all", list: json!(list), max, body }, one(step("z"))]);
    saga.max_parallel = 8;
    let saga = shared(saga);
    let (mut machine, first) = Machine::start(ID, Arc::clone(&saga), started(&saga), BEGIN);
    let mut journal = vec![first];
    agenda::LOOKS.set(0);
    let (mut events, mut now) = (vec![Event::Taken], BEGIN);
    while let Some(event) = events.pop() {
        let turn = machine.on(event, now, &Facts);
        assert!(turn.entries.len() < MAX_ENTRIES_AT_ONCE);
        journal.extend(turn.entries);
        for effect in turn.effects {
            let Effect::Send(send) = effect else { panic!("no probe") };
            let refused = undone && send.of.step.as_str() == "z";
            let (status, body) = match send.of.direction {
                _ if refused => (409, json!({})),
                Direction::Forward => (201, json!({"id": "x"})),
                Direction::Undo => (204, json!(null)),
            };
            events.insert(0, Event::Answered { of: send.of, answer: Answer::Replied(reply(status, body, false)) });
        }
        match turn.then {
            Then::Sleep { until } | Then::Await { tick_at: Some(until) } if until <= now => events.push(Event::Tick),
            Then::Sleep { until } => {
                now = until;
                events.push(Event::Tick);
            }
            _ => {}
        }
    }
    let expected = if undone { SagaState::Compensated } else { SagaState::Completed };
    assert_eq!(machine.state(), expected, "{:?}", machine.reason());
    let looks = agenda::LOOKS.get();
    assert_eq!(Machine::replay(ID, saga, &journal).unwrap().state, machine.state);
    (journal, looks)
}

#[test]
fn what_an_item_costs_does_not_grow_with_the_list() {
    for (max, undone) in [(8, false), (1, true), (64, true)] {
        let (short, few) = run(100, max, undone);
        let (long, many) = run(1000, max, undone);
        assert!(many < few * 11, "{few} looks for 100 items, {many} for 1000");
        assert!(many < 20 * long.len() as u64, "{many} looks for {} entries", long.len());
        assert!(long.len() > 9 * short.len() && long.len() < usize::try_from(MAX_JOURNAL_ENTRIES).unwrap() / 5);
    }
}

#[test]
fn the_longest_saga_that_may_be_fits_into_a_journal() {
    let most = crate::saga::state::MAX_INSTANCES;
    // An intent and an end, forward and back, and one more start of each.
    assert!(most * 5 <= usize::try_from(MAX_JOURNAL_ENTRIES).unwrap());
}
