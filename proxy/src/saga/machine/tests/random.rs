//! Some choices of large worlds.

use std::time::Duration;

use proptest::prelude::*;
use saga_config::saga::{InDoubt, Saga};

use super::{
    build::{StepOf, saga, shared, step},
    world::{Choices, Kind, Rules, World},
};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Choices by a seed: one of so many is a fault.
pub(super) struct Seeded {
    pub(super) state: u64,
    pub(super) one_in: u64,
}

impl Choices for Seeded {
    fn choose(&mut self, of: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = self.state >> 33;
        if !drawn.is_multiple_of(self.one_in) {
            return 0;
        }
        usize::try_from((drawn / self.one_in) % of as u64).unwrap()
    }
}

/// What is drawn of one step: which earlier steps it waits for, how doubt about it is resolved, and odds and ends.
type Drawn = (u8, u8, u8);

fn build(drawn: &[Drawn], kind: Kind, pivot: usize, is_list: bool, max_parallel: usize, deadline: Option<u64>) -> Saga {
    let steps = drawn.iter().enumerate().map(|(i, (edges, mode, odds))| {
        let base: StepOf = match (kind, mode % 4) {
            (Kind::Ledger, _) => step(NAMES[i]).checked(),
            (Kind::Refrain, 0) => step(NAMES[i]).in_doubt(InDoubt::Barrier),
            (Kind::Remembers, 0) => step(NAMES[i]).in_doubt(InDoubt::Compensate),
            (Kind::Remembers, 1) => step(NAMES[i]).in_doubt(InDoubt::Manual),
            (Kind::Refrain | Kind::Remembers, 2) => step(NAMES[i]).undo_from_answer(),
            (Kind::Refrain | Kind::Remembers, _) => step(NAMES[i]),
        };
        let mut after: Vec<&str> =
            (0..i).filter(|j| edges >> j & 1 == 1 || i == pivot || *j == pivot).map(|j| NAMES[j]).collect();
        if is_list {
            after = i.checked_sub(1).map(|j| NAMES[j]).into_iter().collect();
        }
        let base = base.after(&after);
        match () {
            () if i >= pivot => {
                let resolvable = if kind == Kind::Ledger { base } else { base.in_doubt(InDoubt::Resend) };
                if i == pivot { resolvable.pivot() } else { resolvable.past_pivot() }
            }
            () if odds % 8 == 0 => base.continues(),
            () if odds % 8 == 1 => base.reads(),
            () if odds % 8 == 2 => base.when("input.no"),
            () if odds % 8 == 3 => base.without_undo(),
            () => base,
        }
    });
    let mut definition = saga(steps.collect());
    definition.max_parallel = max_parallel;
    definition.deadline = deadline.map(Duration::from_secs);
    definition
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Refrain), Just(Kind::Remembers), Just(Kind::Ledger)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_books_are_right_at_every_end_of_large_sagas(
        drawn in prop::collection::vec(any::<Drawn>(), 1..8),
        kind in kinds(),
        pivot in 0..16_usize,
        is_list in any::<bool>(),
        max_parallel in 1..5_usize,
        deadline in prop::option::of(1..120_u64),
        (crashes, meddles, parks, undo_may_be_refused, odd) in any::<(bool, bool, bool, bool, bool)>(),
        seed in any::<u64>(),
        one_in in 3..30_u64,
    ) {
        let definition = shared(build(&drawn, kind, pivot, is_list, max_parallel, deadline));
        let mut choices = Seeded { state: seed, one_in };
        let rules = Rules { kind, crashes, undo_may_be_refused, odd, meddles, parks };
        World::new(definition, rules, &mut choices).run_with_operator();
    }
}
