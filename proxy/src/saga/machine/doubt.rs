//! What is done when nobody knows whether a call was carried out.

use std::time::Duration;

use saga_config::saga::{Effect, InDoubt, Position};

use super::{
    super::{
        entry::{By, Direction, What},
        judge::{self, Found},
        render::StepName,
        state::continues,
        turn::{CheckEffect, Effect as Perform, Finding},
    },
    legs::{Leg, Spent},
    work::Work,
};
use crate::time::Timestamp;

/// The fewest probes that cannot tell before a budget of starts is spent by them.
const FEWEST_CHECKS: u32 = 3;

impl Work<'_> {
    /// A send has no definite answer.
    pub(super) fn doubt(&mut self, leg: Leg, reason: String, remembered_until: Option<Timestamp>) {
        let Some(rules) = self.rules(leg) else { return };
        if self.is_undone_blindly(leg) {
            return self.give_up(leg.step, reason);
        }
        let after = rules.check().map(|check| check.after);
        let is_manual = matches!(rules.in_doubt, InDoubt::Manual | InDoubt::Compensate | InDoubt::Barrier);
        match after {
            _ if is_manual && rules.effect != Effect::None => self.leave(leg, reason, true),
            Some(after) => self.doubted(leg, reason, self.now.plus(after), remembered_until),
            None => match self.may_start(leg).and_then(|()| self.again(leg, None)) {
                Err(why) => self.exhausted(leg, &why, Some(&reason)),
                Ok(at) if self.is_forgotten(leg, at) => self.forgotten(leg),
                Ok(at) => self.doubted(leg, reason, at, remembered_until),
            },
        }
    }

    /// A call was under way with a driver that is no more.
    pub(super) fn lost(&mut self, leg: Leg) {
        const WHY: &str = "its driver was lost";
        if self.was_called_back(leg) {
            return self.resolve(leg.step, None);
        }
        let Some(rules) = self.rules(leg) else { return };
        if !rules.resends() {
            return self.doubt(leg, WHY.to_owned(), None);
        }
        if self.machine.state.paused {
            return self.doubted(leg, WHY.to_owned(), self.now, None);
        }
        // It was long enough until somebody took the saga over.
        match self.may_start(leg) {
            Err(why) => self.exhausted(leg, &why, Some(WHY)),
            Ok(()) if self.is_forgotten(leg, self.now) => self.forgotten(leg),
            Ok(()) => self.start(leg),
        }
    }

    /// It is time to work on a doubt.
    pub(super) fn work_on_doubt(&mut self, leg: Leg) {
        let turned = self.machine.state.turned.is_some();
        if turned && self.is_undone_blindly(leg) {
            return self.give_up(leg.step, "the saga turned back".to_owned());
        }
        if self.rules(leg).is_some_and(|rules| rules.check().is_some()) {
            return self.probe(leg);
        }
        match self.may_start(leg) {
            Err(why) => self.exhausted(leg, &why, None),
            Ok(()) if self.is_forgotten(leg, self.now) => self.forgotten(leg),
            Ok(()) => self.start(leg),
        }
    }

    /// It is time to ask again for an answer.
    pub(super) fn ask_again(&mut self, leg: Leg) {
        let turned = self.machine.state.turned.is_some();
        if turned && self.is_undone_blindly(leg) {
            return self.give_up(leg.step, "the saga turned back".to_owned());
        }
        if self.now >= self.budget_end(leg) {
            let why = self.out_of_time(leg);
            self.exhausted(leg, &why, None);
        } else if self.is_forgotten(leg, self.now) {
            self.forgotten(leg);
        } else {
            self.ask(leg);
        }
    }

    /// The participant may have forgotten the key: what would be sent again could be carried out twice.
    pub(super) fn forgotten(&mut self, leg: Leg) {
        let reason = "the participant may have forgotten the key, so that a repeat could be carried out twice".to_owned();
        let after = self.rules(leg).and_then(|rules| rules.check().map(|check| check.after));
        let id = self.path(leg.step);
        match (after, leg.direction) {
            (Some(after), _) => self.doubted(leg, reason, self.now.plus(after), None),
            (None, Direction::Undo) => self.emit(What::UndoFailed { step: id, status: 0, reason }),
            (None, Direction::Forward) if self.is_undone_blindly(leg) => self.give_up(leg.step, reason),
            (None, Direction::Forward) => {
                let needs_operator = !self.is_best_effort(leg);
                self.leave(leg, reason, needs_operator);
            }
        }
    }

    /// Whether the saga goes on although nobody knows what became of a step.
    pub(super) fn is_best_effort(&self, leg: Leg) -> bool {
        let step = self.step(leg.step);
        self.machine.state.turned.is_none() && continues(step) && step.position != Position::Pivot
    }

    /// A probe came to its end.
    pub(super) fn checked(&mut self, leg: Leg, finding: Finding) {
        let reply = match finding {
            Finding::CannotTell { reason } => return self.cannot_tell(leg, reason),
            Finding::Replied(reply) => reply,
        };
        let Some(check) = self.rules(leg).and_then(|rules| rules.check().cloned()) else { return };
        let key = self.key(leg);
        let name = StepName { key: &key, attempt: None };
        let found = {
            let known = self.machine.scope().calling(leg.reach(), &name);
            let known = known.bindings().with("response", &reply.response);
            judge::found(&check, &reply, &known)
        };
        match (found, leg.direction) {
            (Found::CannotTell(reason), _) => self.cannot_tell(leg, reason),
            (Found::NotDone, _) => self.found_not_done(leg, check.after),
            (Found::Done { response }, Direction::Forward) => self.carried_out(leg.step, &response, By::Check, None),
            (Found::Done { .. }, Direction::Undo) => {
                let step = self.path(leg.step);
                self.emit(What::Undone { step, by: By::Check });
            }
        }
    }

    fn found_not_done(&mut self, leg: Leg, after: Duration) {
        if self.was_called_back(leg) {
            return self.resolve(leg.step, None);
        }
        let counts_from = self.call(leg).unanswered.map(|at| at.plus(after));
        match counts_from {
            Some(at) if self.now < at => {
                self.doubted(leg, "a probe found nothing, but it is too early to say".to_owned(), at, None);
            }
            _ if leg.direction == Direction::Forward && self.machine.state.turned.is_some() => {
                self.refuse(leg.step, 0, "a probe found that it was not carried out".to_owned(), By::Check);
            }
            _ => {
                let of = self.which(leg);
                self.emit(What::NotDone { of });
            }
        }
    }

    fn cannot_tell(&mut self, leg: Leg, reason: String) {
        let max = self.rules(leg).and_then(|rules| rules.retry.max).map(|max| max.max(FEWEST_CHECKS));
        let again = match max {
            Some(max) if self.call(leg).checks.saturating_add(1) >= max => Err(Spent(format!("{max} probes could not tell"))),
            _ => self.again(leg, None),
        };
        match again {
            Ok(at) => self.doubted(leg, reason, at, None),
            Err(why) => self.exhausted(leg, &why, Some(&reason)),
        }
    }

    fn probe(&mut self, leg: Leg) {
        let Some(check) = self.rules(leg).and_then(|rules| rules.check().cloned()) else { return };
        let key = self.key(leg);
        match self.machine.scope().probe(&check, leg.reach(), &key, self.upstreams) {
            Err(fault) => self.cannot_tell(leg, format!("the probe: {fault}")),
            Ok(request) => {
                let of = self.which(leg);
                let service_auth = super::start::is_service(check.auth);
                self.perform(Perform::Check(Box::new(CheckEffect { of, request, service_auth, timeout: check.timeout })));
            }
        }
    }

    pub(super) fn doubted(&mut self, leg: Leg, reason: String, again_at: Timestamp, remembered_until: Option<Timestamp>) {
        let of = self.which(leg);
        self.emit(What::Doubted { of, reason, again_at: Some(again_at), needs_operator: false, remembered_until });
    }
}
