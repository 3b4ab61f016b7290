//! Every choice of small worlds, up to a number of faults.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use saga_config::saga::{InDoubt, Saga};

use super::{
    build::{saga, shared, step},
    world::{Choices, End, Kind, Rules, World},
};

/// Goes through all sequences of choices with at most so many that are not 0.
#[derive(Debug)]
struct Odometer {
    path: Vec<(usize, usize)>,
    at: usize,
    most_faults: usize,
}

impl Odometer {
    fn new(most_faults: usize) -> Self {
        Self { path: Vec::new(), at: 0, most_faults }
    }

    /// Sets out for the next run; `false`: all were taken.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.path.pop() {
            let faults = self.path.iter().filter(|(choice, _)| *choice != 0).count();
            if choice + 1 < of && faults < self.most_faults {
                self.path.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

impl Choices for Odometer {
    fn choose(&mut self, of: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, of));
        }
        let (choice, known) = self.path[self.at];
        assert_eq!(known, of, "the same choices lead to the same place");
        self.at += 1;
        choice
    }
}

/// Runs a saga through every world; says how often each end was reached.
pub(super) fn explore(definition: Saga, rules: &Rules, most_faults: usize) -> BTreeMap<End, usize> {
    let definition = shared(definition);
    let mut odometer = Odometer::new(most_faults);
    let mut ends = BTreeMap::new();
    loop {
        let mut world = World::new(Arc::clone(&definition), rules.clone(), &mut odometer);
        let end = world.run();
        *ends.entry(end).or_default() += 1;
        if end == End::Quarantined {
            world.run_with_operator();
        }
        if !odometer.next() {
            return ends;
        }
    }
}

pub(super) fn rules(kind: Kind) -> Rules {
    Rules { kind, crashes: true, undo_may_be_refused: false, odd: false, meddles: false, parks: true }
}

/// A saga whose services have Refrains, can be probed or seal keys ends by itself, whatever happens.
pub(super) fn ends_by_itself(ends: &BTreeMap<End, usize>) {
    assert!(ends[&End::Completed] > 0 && ends[&End::Compensated] > 0, "{ends:?}");
    assert_eq!(ends.get(&End::Quarantined), None, "{ends:?}");
}

#[test]
fn the_books_are_right_at_every_end_of_two_steps_beside_refrains() {
    let ends = explore(saga(vec![step("a"), step("b")]), &rules(Kind::Refrain), 3);
    assert!(ends[&End::Completed] > 100 && ends[&End::Compensated] > 20, "{ends:?}");
    let ends = explore(saga(vec![step("a"), step("b").undo_from_answer()]), &rules(Kind::Refrain), 2);
    assert!(ends[&End::Completed] > 100 && ends[&End::Compensated] > 20, "{ends:?}");
}

#[test]
fn the_books_are_right_at_every_end_of_two_steps_that_are_probed() {
    let ends = explore(saga(vec![step("a").checked(), step("b").checked()]), &rules(Kind::Ledger), 2);
    ends_by_itself(&ends);
}

#[test]
fn the_books_are_right_at_every_end_of_two_steps_behind_barriers() {
    let steps = || vec![step("a").in_doubt(InDoubt::Barrier), step("b").in_doubt(InDoubt::Barrier)];
    ends_by_itself(&explore(saga(steps()), &rules(Kind::Refrain), 2));
}

#[test]
fn the_books_are_right_at_every_end_of_two_steps_that_are_undone_blindly() {
    let steps = || vec![step("a").in_doubt(InDoubt::Compensate), step("b").in_doubt(InDoubt::Compensate)];
    ends_by_itself(&explore(saga(steps()), &rules(Kind::Remembers), 2));
}

#[test]
fn the_books_are_right_at_every_end_around_a_pivot() {
    let steps = |kind| match kind {
        Kind::Ledger => vec![step("a").checked(), step("p").checked().pivot(), step("z").checked_after_pivot()],
        Kind::Refrain | Kind::Remembers => vec![step("a"), step("p").pivot(), step("z").past_pivot()],
    };
    for kind in [Kind::Refrain, Kind::Remembers, Kind::Ledger] {
        let mut definition = saga(steps(kind));
        definition.deadline = Some(Duration::from_secs(20));
        let ends = explore(definition, &rules(kind), 2);
        assert!(ends[&End::Completed] > 0 && ends[&End::Compensated] > 0, "{ends:?}");
    }
}

#[test]
fn the_books_are_right_at_every_end_of_a_group_and_what_comes_after() {
    for cancel_others in [true, false] {
        let mut definition =
            saga(vec![step("a").after(&[]).member_of(0), step("b").after(&[]).member_of(0), step("c").after(&["a", "b"])]);
        definition.groups[0].cancel_others = cancel_others;
        explore(definition, &rules(Kind::Refrain), 1);
    }
}

#[test]
fn the_books_are_right_at_every_end_of_one_step_with_three_faults_and_refused_undos() {
    let refused = |kind| Rules { undo_may_be_refused: true, ..rules(kind) };
    explore(saga(vec![step("a"), step("r").reads()]), &refused(Kind::Refrain), 3);
    explore(saga(vec![step("a"), step("r").reads()]), &refused(Kind::Remembers), 2);
    explore(saga(vec![step("a").checked(), step("r").reads()]), &refused(Kind::Ledger), 2);
}

#[test]
fn the_books_are_right_at_every_end_where_failures_do_not_matter_and_where_people_decide() {
    explore(saga(vec![step("a").continues(), step("b")]), &rules(Kind::Refrain), 2);
    explore(saga(vec![step("a").in_doubt(InDoubt::Manual), step("b")]), &rules(Kind::Remembers), 2);
}

#[test]
fn the_books_are_right_at_every_end_where_operators_meddle() {
    explore(saga(vec![step("a"), step("b")]), &Rules { meddles: true, crashes: false, ..rules(Kind::Refrain) }, 2);
}
