//! What holds of every turn.

use std::collections::{BTreeMap, BTreeSet};

use saga_config::saga::{FrameIndex, LoopIndex};

use super::{
    super::{super::Machine, build::BEGIN},
    World,
};
use crate::saga::{
    entry::{Direction, What},
    turn::{Effect, Turn},
};

impl World<'_> {
    /// What holds of every turn.
    pub(super) fn check_turn(&mut self, machine: &Machine, turn: &Turn) {
        let place = |found: &dyn Fn(&What) -> bool| turn.entries.iter().position(|entry| found(&entry.what));
        let turned_at = place(&|what| matches!(what, What::Compensating { .. }));
        for effect in &turn.effects {
            let Effect::Send(send) = effect else { continue };
            let intended_at = place(&|what| matches!(what, What::Sending { of, .. } | What::Asking { of } if *of == send.of));
            let turned = machine.state.turned.is_some() && turned_at < intended_at;
            assert!(intended_at.is_some(), "no call leaves before its intent: {}", self.story());
            let key = self.keys.entry(send.of.clone()).or_insert_with(|| send.key.clone());
            assert_eq!(*key, send.key, "a call keeps its key");
            if turned && send.of.direction == Direction::Forward {
                assert!(send.resolve, "after turning back a forward call only asks: {}", self.story());
            }
        }
        self.check_room(machine);
        let last = self.journal.last().map_or(BEGIN, |entry| entry.at);
        assert!(turn.entries.first().is_none_or(|entry| entry.at >= last), "time goes back: {}", self.story());
        let fault = machine.reason().is_some_and(|reason| reason.contains("Refrain's own"));
        assert!(!fault, "a saga without a next step: {:?} {}", turn.entries, self.story());
    }

    /// No more is under way than there is room for, forward as well as back.
    fn check_room(&self, machine: &Machine) {
        let definition = &self.definition;
        let out: Vec<usize> =
            machine.under_way.iter().map(|of| machine.state.instances.find(definition, &of.step).unwrap()).collect();
        assert!(out.len() <= definition.max_parallel, "{}", self.story());
        let forward = machine.under_way.iter().all(|of| of.direction == Direction::Forward);
        for (nth, of) in definition.loops.iter().enumerate().filter(|_| forward && machine.state.turned.is_none()) {
            let open = out.iter().filter(|i| machine.state.instances.step(definition, **i).in_loop == Some(LoopIndex(nth)));
            let items: BTreeSet<_> = open.map(|i| machine.state.instances[*i].place).collect();
            assert!(items.len() <= of.max, "{items:?} {}", self.story());
        }
        for (nth, frame) in definition.frames.iter().enumerate() {
            let own = out.iter().filter(|i| machine.state.instances.step(definition, **i).frame == Some(FrameIndex(nth)));
            let mut per_item: BTreeMap<Option<u32>, usize> = BTreeMap::new();
            for i in own {
                let in_loop = definition[frame.enter].in_loop.is_some();
                *per_item.entry(machine.state.instances[*i].place.filter(|_| in_loop)).or_default() += 1;
            }
            assert!(per_item.values().all(|calls| *calls <= frame.max_parallel), "{}", self.story());
        }
    }
}
