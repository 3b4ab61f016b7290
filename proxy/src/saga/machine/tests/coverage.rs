//! Which events met which states: all that can be are seen.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    build::{saga, shared, step},
    explore::Odometer,
    world::{Kind, Rules, World},
};

#[test]
fn every_event_meets_every_state_that_it_can_meet() {
    let mut seen = BTreeSet::new();
    for (kind, checked) in [(Kind::Refrain, false), (Kind::Ledger, true)] {
        let one = |id| if checked { step(id).checked() } else { step(id) };
        let definition = shared(saga(vec![one("a"), one("s").when("input.no"), one("b")]));
        let rules = Rules { kind, crashes: true, undo_may_be_refused: true, meddles: true, parks: true };
        let mut odometer = Odometer::new(2);
        loop {
            let mut world = World::new(Arc::clone(&definition), rules.clone(), &mut odometer);
            world.run_with_operator();
            seen.append(&mut world.seen);
            if !odometer.next() {
                break;
            }
        }
    }
    let mut missing = Vec::new();
    for state in ["pending", "sending", "done", "failed", "maybe_done", "skipped", "waiting"] {
        for event in ["taken", "tick", "Pause", "Resume", "Retry", "Compensate"] {
            if !seen.contains(&(state.to_owned(), event.to_owned())) {
                missing.push((state, event));
            }
        }
    }
    println!("{missing:?}\n{seen:?}");
}
