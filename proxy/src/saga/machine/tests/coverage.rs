//! Which events met which states: all that can meet are seen to.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    build::{saga, shared, step},
    random::Seeded,
    world::{Kind, Rules, World},
};

/// What happens to a saga as a whole, whatever its steps' states.
const TO_ALL: [&str; 5] = ["taken", "tick", "Pause", "Resume", "Retry"];
/// The states of a step, and what comes of its call in them. An answer meets a call that is under way, a finding one that is in
/// doubt; that all others change nothing is tried at every point of every world.
const FORWARD: [(&str, &[&str]); 7] = [
    ("pending", &["Compensate", "Skip"]),
    ("sending", &["Compensate", "Replied", "NotYet", "NotSent", "Unknown", "NotKept", "Sealed", "Untrusted", "Wrong"]),
    ("done", &["Compensate"]),
    ("failed", &["Compensate"]),
    ("maybe_done", &["Compensate", "checked Replied", "checked CannotTell", "ResolveDone", "ResolveNotDone"]),
    ("skipped", &["Compensate"]),
    ("waiting", &["Compensate"]),
];
const BACK: [(&str, &[&str]); 5] = [
    ("undo none", &["Compensate"]),
    ("undo planned", &["Compensate"]),
    (
        "undo sending",
        &[
            "Replied",
            "NotYet",
            "NotSent",
            "Unknown",
            "NotKept",
            "NothingToUndo",
            "Untrusted",
            "Wrong",
            "checked Replied",
            "checked CannotTell",
        ],
    ),
    ("undo undone", &["Compensate"]),
    ("undo undo_failed", &["ResolveUndone"]),
];

#[test]
fn every_event_meets_every_state_that_it_can_meet() {
    let mut seen = BTreeSet::new();
    let barrier = || saga_config::saga::InDoubt::Barrier;
    let sagas = [
        (
            Kind::Refrain,
            saga(vec![step("a"), step("s").when("input.no"), step("b").after(&["s"]), step("c").after(&[]).continues()]),
        ),
        (Kind::Refrain, saga(vec![step("a").in_doubt(barrier()), step("b").in_doubt(barrier()), step("c")])),
        (Kind::Refrain, saga(vec![step("a").after(&[]), step("b").after(&[]), step("c").after(&["a", "b"])])),
        (Kind::Ledger, saga(vec![step("a").checked(), step("s").when("input.no"), step("b").checked()])),
        (Kind::Remembers, saga(vec![step("a"), step("p").pivot(), step("z").past_pivot()])),
    ];
    for (kind, definition) in sagas {
        let definition = shared(definition);
        for seed in 0..700 {
            let mut choices = Seeded { state: seed, one_in: 2 + seed % 3 };
            let rules =
                Rules { kind, crashes: seed % 3 == 0, undo_may_be_refused: true, odd: true, meddles: true, parks: seed % 2 == 0 };
            let mut world = World::new(Arc::clone(&definition), rules, &mut choices);
            world.run_with_operator();
            seen.append(&mut world.seen);
        }
    }
    let expected = FORWARD.iter().chain(&BACK).flat_map(|(state, own)| {
        TO_ALL.iter().chain(*own).map(|event| ((*state).to_owned(), (*event).to_owned())).collect::<Vec<_>>()
    });
    let missing: Vec<_> = expected.filter(|pair| !seen.contains(pair)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}
