//! Some choices of large worlds with everything in them.

use std::time::Duration;

use proptest::prelude::*;
use saga_config::saga::{InDoubt, Position, Saga};
use serde_json::json;

use super::{
    build::{StepOf, shared, step},
    nest::{Node, SubOf, nested, one},
    random::Seeded,
    world::{Kind, Rules, World},
};

const NAMES: [&str; 24] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "u", "v", "w", "x", "y"];

/// Makes lists of steps from bytes.
struct Drawer<'a> {
    bytes: std::slice::Iter<'a, u8>,
    names: std::slice::Iter<'static, &'static str>,
    kind: Kind,
}

/// Where a list stands.
#[derive(Clone, Copy)]
struct Inside {
    depth: u8,
    a_loop: bool,
    a_group: bool,
    past_pivot: bool,
}

impl Drawer<'_> {
    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or_default()
    }

    fn list(&mut self, inside: Inside) -> Vec<Node> {
        let count = 1 + self.byte() % 3;
        (0..count).filter_map(|_| self.node(inside)).collect()
    }

    fn node(&mut self, inside: Inside) -> Option<Node> {
        let id = *self.names.next()?;
        let deeper = Inside { depth: inside.depth + 1, ..inside };
        let (what, odds) = (self.byte(), self.byte());
        let condition = |of: u8| [None, Some("input.no"), Some("input.yes")][usize::from(of % 3)];
        Some(match what % 12 {
            0 | 1 if inside.depth < 3 => {
                let arms = vec![(condition(odds).or(Some("input.yes")), self.list(deeper)), (None, self.list(deeper))];
                Node::Switch { id, when: condition(odds / 3).filter(|_| odds >= 128), arms }
            }
            2..=4 if inside.depth < 3 && !inside.a_loop => {
                let list = json!((0..odds % 4).map(|n| json!({"n": n})).collect::<Vec<_>>());
                let body = self.list(Inside { a_loop: true, ..deeper });
                Node::Each { id, list, max: usize::from(1 + odds / 4 % 3), body }
            }
            5 => Node::Wait { id, time: Duration::from_secs(1 + u64::from(odds % 40)) },
            6 | 7 if inside.depth < 3 && !inside.past_pivot => {
                let deadline = (odds % 4 == 0).then(|| Duration::from_secs(5 + u64::from(odds)));
                let of = SubOf { n: json!(1), check: None, reply: None, deadline, max_parallel: usize::from(1 + odds % 3) };
                Node::Sub { id, when: condition(odds / 3).filter(|_| odds >= 128), of, body: self.list(deeper) }
            }
            8 if inside.depth < 3 && !inside.a_group => {
                let children = vec![self.list(Inside { a_group: true, ..deeper }), self.list(Inside { a_group: true, ..deeper })];
                Node::Group { max: usize::from(1 + odds % 3), cancel_others: odds % 2 == 0, children }
            }
            _ => one(self.step(id, odds, inside.past_pivot)),
        })
    }

    fn step(&mut self, id: &'static str, odds: u8, past_pivot: bool) -> StepOf {
        let mode = self.byte();
        let base = match (self.kind, mode % 4) {
            (Kind::Ledger, _) => step(id).checked(),
            (Kind::Refrain, 0) if !past_pivot => step(id).in_doubt(InDoubt::Barrier),
            (Kind::Remembers, 0) if !past_pivot => step(id).in_doubt(InDoubt::Compensate),
            (Kind::Refrain | Kind::Remembers, 2) if !past_pivot => step(id).undo_from_answer(),
            (Kind::Refrain | Kind::Remembers, _) => step(id),
        };
        match odds % 12 {
            _ if past_pivot => base.past_pivot(),
            0 => base.continues(),
            1 => base.reads(),
            2 => base.when("input.no"),
            3 => base.without_undo(),
            _ => base,
        }
    }
}

fn build(bytes: &[u8], kind: Kind, has_pivot: bool, max_parallel: usize, deadline: Option<u64>) -> Saga {
    let mut drawer = Drawer { bytes: bytes.iter(), names: NAMES.iter(), kind };
    let inside = Inside { depth: 0, a_loop: false, a_group: false, past_pivot: false };
    let mut nodes = drawer.list(inside);
    if has_pivot {
        let pivot = if kind == Kind::Ledger { step("pivot").checked() } else { step("pivot") };
        nodes.push(one(pivot.pivot()));
        nodes.append(&mut drawer.list(Inside { past_pivot: true, ..inside }));
    }
    let mut saga = nested(&nodes);
    if let Some(pivot) = saga.steps.iter().position(|step| step.position == Position::Pivot) {
        for step in saga.steps.iter_mut().skip(pivot + 1) {
            step.position = Position::After;
        }
    }
    saga.max_parallel = max_parallel;
    saga.deadline = deadline.map(Duration::from_secs);
    saga
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_books_are_right_at_every_end_of_large_sagas_of_everything(
        bytes in prop::collection::vec(any::<u8>(), 4..60),
        kind in prop_oneof![Just(Kind::Refrain), Just(Kind::Remembers), Just(Kind::Ledger)],
        has_pivot in any::<bool>(),
        max_parallel in 1..5_usize,
        deadline in prop::option::of(1..200_u64),
        (crashes, meddles, parks, undo_may_be_refused, odd) in any::<(bool, bool, bool, bool, bool)>(),
        seed in any::<u64>(),
        one_in in 3..40_u64,
    ) {
        let definition = shared(build(&bytes, kind, has_pivot, max_parallel, deadline));
        let mut choices = Seeded { state: seed, one_in };
        let rules = Rules { kind, crashes, undo_may_be_refused, odd, meddles, parks };
        World::new(definition, rules, &mut choices).run_with_operator();
    }
}
