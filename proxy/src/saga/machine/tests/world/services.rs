//! Services, and the Refrains beside them.

use std::{sync::Arc, time::Duration};

use saga_config::saga::Effect as StepEffect;
use serde_json::{Value, json};

use super::{
    super::{super::Machine, build::ID},
    Fate, Kind, Record, World,
    later::POLLED,
    replied, reply,
};
use crate::saga::{
    entry::Direction,
    state::undo,
    turn::{Answer, CheckEffect, Finding, SendEffect, UndoKnows},
};

impl World<'_> {
    /// A request arrives at its service, or at the Refrain beside it.
    pub(super) fn arrive(&mut self, send: &SendEffect, fate: Fate) -> Answer {
        if send.effect == StepEffect::None {
            return match fate {
                Fate::No => replied(409, json!({}), false),
                Fate::Broken => replied(500, json!({}), false),
                _ => replied(200, json!({"id": "read"}), false),
            };
        }
        match (self.rules.kind, send.of.direction) {
            (Kind::Ledger, _) => self.serve(send, fate, false),
            (Kind::Remembers, _) => self.replay_or_serve(send, fate),
            (Kind::Refrain, Direction::Undo) => self.barrier(send, fate),
            (Kind::Refrain, Direction::Forward) => match self.records.get(&send.key) {
                Some(Record::Sealed) => Answer::Sealed,
                Some(Record::Unknown) if !self.has_happened(send) && send.resolve => self.seal(&send.key, Answer::Sealed),
                None if send.resolve => self.seal(&send.key, Answer::Sealed),
                _ => self.replay_or_serve(send, fate),
            },
        }
    }

    fn seal(&mut self, key: &str, answer: Answer) -> Answer {
        self.records.insert(key.to_owned(), Record::Sealed);
        answer
    }

    fn barrier(&mut self, send: &SendEffect, fate: Fate) -> Answer {
        let undo = send.undo.as_ref().unwrap();
        if self.records.contains_key(&send.key) {
            return self.replay_or_serve(send, fate);
        }
        let happened = match self.records.get(&undo.of) {
            Some(Record::Answered { status: 200..=299, .. }) => true,
            Some(Record::Answered { .. } | Record::Sealed) => false,
            Some(Record::Unknown) => self.net(send.of.step.as_str()).0 > 0,
            None => undo.knows == UndoKnows::Done,
        };
        if happened {
            self.replay_or_serve(send, fate)
        } else {
            assert_eq!(undo.knows, UndoKnows::Unknown, "nothing that was done is forgotten here: {}", self.story());
            self.seal(&undo.of.clone(), Answer::NothingToUndo)
        }
    }

    fn replay_or_serve(&mut self, send: &SendEffect, fate: Fate) -> Answer {
        match self.records.get(&send.key).cloned() {
            Some(Record::Answered { .. }) if fate == Fate::Broken && self.rules.kind == Kind::Remembers => {
                replied(500, json!({}), false)
            }
            Some(Record::Answered { reply, status, sends }) => {
                replied(status, reply, sends == 1 && self.rules.kind == Kind::Refrain)
            }
            Some(Record::Unknown) if self.has_happened(send) => {
                let status = if send.of.direction == Direction::Forward { 201 } else { 204 };
                let reply = json!({"id": "x"});
                self.records.insert(send.key.clone(), Record::Answered { reply: reply.clone(), status, sends: 2 });
                replied(status, reply, false)
            }
            other => self.serve(send, fate, other.is_some()),
        }
    }

    fn has_happened(&self, send: &SendEffect) -> bool {
        let (done, undone) = self.net(send.of.step.as_str());
        match send.of.direction {
            Direction::Forward => done > 0,
            Direction::Undo => undone > 0,
        }
    }

    pub(super) fn net(&self, step: &str) -> (u32, u32) {
        self.books.get(step).map_or((0, 0), |book| (book.done, book.undone))
    }

    /// The service itself.
    fn serve(&mut self, send: &SendEffect, fate: Fate, again: bool) -> Answer {
        let id = send.of.step.to_string();
        let remembers = self.rules.kind != Kind::Ledger;
        let (status, reply) = match (fate, send.of.direction) {
            (Fate::Broken, _) => {
                if self.rules.kind == Kind::Refrain {
                    self.records.insert(send.key.clone(), Record::Unknown);
                }
                return replied(500, json!({}), false);
            }
            (Fate::No, _) => (409, json!({"error": "no"})),
            (_, Direction::Forward) => {
                self.books.entry(id.clone()).or_default().done += 1;
                (201, json!({"id": format!("{id}-1")}))
            }
            (_, Direction::Undo) if self.net(&id).0 == 0 => (404, json!({})),
            (_, Direction::Undo) => {
                self.undo_in_order(&id);
                self.books.entry(id.clone()).or_default().undone += 1;
                (204, Value::Null)
            }
        };
        // The Refrain beside it may die with the call: then nobody there knows.
        let dies = fate == Fate::AnswerLost && self.rules.kind == Kind::Refrain && self.choices.choose(2) == 1;
        if dies {
            self.records.insert(send.key.clone(), Record::Unknown);
        } else if remembers {
            let sends = 1 + u32::from(again);
            self.records.insert(send.key.clone(), Record::Answered { reply: reply.clone(), status, sends });
        }
        replied(status, reply, remembers && !again && self.rules.kind == Kind::Refrain)
    }

    /// What came after a step is undone before it: what waited for it and, where a loop's items run one by one, later items.
    fn undo_in_order(&self, id: &str) {
        let machine = Machine::replay(ID, Arc::clone(&self.definition), &self.journal).unwrap();
        let (definition, instances) = (&*self.definition, &machine.state.instances);
        let i = instances.find(definition, &id.parse().unwrap()).unwrap();
        let one_by_one = |i: usize| {
            let in_loop = instances.step(definition, i).in_loop?;
            (definition.loops[in_loop.0].max == 1).then_some((in_loop, instances[i].place))
        };
        let mut is_later: Vec<bool> =
            (0..instances.len()).map(|j| one_by_one(i).is_some() && one_by_one(i) < one_by_one(j)).collect();
        for (j, later) in is_later.iter_mut().enumerate() {
            let same_loop = one_by_one(i).map(|(in_loop, _)| in_loop) == one_by_one(j).map(|(in_loop, _)| in_loop);
            *later = *later && same_loop;
        }
        let mut next = vec![i];
        while let Some(i) = next.pop() {
            for after in &instances[i].after {
                if !std::mem::replace(&mut is_later[*after], true) {
                    next.push(*after);
                }
            }
        }
        for j in (0..instances.len()).filter(|j| is_later[*j] && undo(instances.step(definition, *j)).is_some()) {
            let later = instances.path(j);
            let (done, undone) = self.net(later.as_str());
            assert!(done <= undone, "{} is undone while {} stands: {}", id, later, self.story());
        }
    }

    pub(super) fn probe(&mut self, check: &CheckEffect) -> Finding {
        self.pass(Duration::from_millis(20));
        if check.request.target.starts_with(POLLED) {
            return self.poll(check);
        }
        match self.fault(3) {
            0 => {
                let (done, undone) = self.net(check.of.step.as_str());
                let happened = if check.of.direction == Direction::Forward { done > 0 } else { undone > 0 };
                let body = if happened { json!([{"id": "found"}]) } else { json!([]) };
                Finding::Replied(reply(200, body, false))
            }
            1 => Finding::CannotTell { reason: "no answer".to_owned() },
            _ => Finding::Replied(reply(502, json!({}), false)),
        }
    }
}
