//! What comes of an answer.

use std::time::Duration;

use saga_config::saga::{Effect, Frozen, Later, Outcome};
use serde_json::{Map, Value};

use super::{
    super::{
        entry::{By, Direction, What},
        judge::{self, Verdict},
        render::{MAX_KEPT_BYTES, StepName, size, values},
        state::{Forward, Standing, call_step, undo},
        turn::{Answer, Reply},
    },
    legs::{Leg, Spent},
    work::Work,
};
use crate::time::Timestamp;

/// How long at least until a Refrain that does not trust this one is asked again.
const UNTRUSTED_AGAIN: Duration = Duration::from_secs(60);

impl Work<'_> {
    pub(super) fn answered(&mut self, leg: Leg, answer: Answer) {
        if self.was_called_back(leg) {
            return self.answered_after_callback(leg, &answer);
        }
        match answer {
            Answer::Replied(reply) => self.replied(leg, &reply),
            Answer::NotYet { reason, retry_after } => self.wait(leg, reason, retry_after, None),
            Answer::NotSent { reason, retry_after } => self.not_sent(leg, reason, retry_after),
            Answer::Unknown { reason } => self.doubt(leg, reason, None),
            Answer::NotKept => self.not_kept(leg),
            Answer::Sealed => self.sealed(leg),
            Answer::NothingToUndo => match leg.direction {
                Direction::Undo => self.undone(leg.step, By::Barrier),
                Direction::Forward => self.wrong(leg, "it was answered as an undo is".to_owned()),
            },
            Answer::Untrusted => {
                let longest = self.rules(leg).map_or(UNTRUSTED_AGAIN, |rules| rules.retry.max_delay.max(UNTRUSTED_AGAIN));
                self.wait(leg, "the participant's Refrain does not trust this one".to_owned(), Some(longest), None);
            }
            Answer::Wrong { reason } => self.wrong(leg, reason),
        }
    }

    /// A step was carried out, or accepted. `response`: the answer that says so.
    pub(super) fn carried_out(&mut self, i: usize, response: &Value, by: By, retry_after: Option<Duration>) {
        let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
        match self.is_accepted_by(i, status) {
            true => self.accept(i, response, retry_after),
            false => self.done(i, response, by, None),
        }
    }

    /// A step was carried out: its outputs are kept, and its undo is frozen (invariant 5).
    pub(super) fn done(&mut self, i: usize, response: &Value, by: By, fault: Option<String>) {
        let definition = std::sync::Arc::clone(&self.machine.definition);
        let Some(call) = call_step(self.machine.state.instances.step(&definition, i)) else { return };
        let leg = Leg::forward(i);
        let key = self.key(leg);
        let is_undo_of_acceptance = call.compensate.as_ref().is_some_and(|undo| undo.frozen == Frozen::WithAcceptance);
        // The answer that is the end at once accepts the step as well.
        let unmade = match is_undo_of_acceptance && self.state(i).accepted.is_none() {
            true => self.note_acceptance(i, response, self.now, Some(self.now)),
            false => None,
        };
        let fault = fault.or(unmade);
        let (output, missing) = self.as_accepted(leg, response, |work| {
            let name = StepName { key: &key, attempt: None };
            let known = work.machine.scope().calling(work.own_reach(leg), &name);
            let known = known.bindings().with("response", response);
            values(call.output.iter().map(|(name, template)| (name.as_str(), template)), &known)
        });
        self.done_with(i, output, by, fault.or(missing));
    }

    /// A step was carried out, and these are its outputs.
    pub(super) fn done_with(&mut self, i: usize, output: Map<String, Value>, by: By, fault: Option<String>) {
        let (mut output, fault) = match size(&output) {
            bytes if bytes > MAX_KEPT_BYTES => {
                (Map::new(), Some(format!("its outputs have {bytes} bytes, and the most is {MAX_KEPT_BYTES}")))
            }
            _ => (output, fault),
        };
        let (undo, fault) = match self.undo_from_answer(i, &mut output) {
            None => (None, fault),
            Some(Ok(undo)) => (Some(undo), fault),
            Some(Err(why)) => (None, fault.or_else(|| Some(format!("its undo cannot be made: {why}")))),
        };
        let step = self.path(i);
        self.emit(What::Done { step, output, undo, by, fault });
    }

    /// The undo's request, if it uses the answer. The outputs are looked at as if they were in the state already.
    pub(super) fn undo_from_answer(
        &mut self,
        i: usize,
        output: &mut Map<String, Value>,
    ) -> Option<Result<super::super::entry::FrozenRequest, String>> {
        match undo(self.step(i))?.frozen {
            Frozen::WithIntent => return None,
            Frozen::WithAcceptance if self.state(i).frozen.is_some() || self.state(i).accepted.is_some() => return None,
            Frozen::WithAcceptance | Frozen::WithAnswer => {}
        }
        std::mem::swap(&mut self.machine.state.steps[i].output, output);
        let rendered = self.render_undo(i);
        std::mem::swap(&mut self.machine.state.steps[i].output, output);
        Some(rendered)
    }

    fn replied(&mut self, leg: Leg, reply: &Reply) {
        let Some(outcome) = self.rules(leg).map(|rules| rules.call.outcome.clone()) else { return };
        if leg.direction == Direction::Forward && self.is_polled_after(leg.step, reply.status) {
            return self.accept(leg.step, &reply.response, reply.retry_after);
        }
        let judged = |work: &Self| {
            let key = work.key(leg);
            let name = StepName { key: &key, attempt: None };
            let known = work.machine.scope().calling(work.own_reach(leg), &name);
            let known = known.bindings().with("response", &reply.response);
            judge::judge(&outcome, reply, &known)
        };
        let verdict = match outcome {
            Outcome { failure: None, pending: None, success: None } => judge::by_status(reply, &[]),
            _ => self.as_accepted(leg, &reply.response, judged),
        };
        let remembered_until = reply.remembered_for.map(|remembered| self.now.plus(remembered));
        match (verdict, leg.direction) {
            (Verdict::Done, Direction::Forward) => self.carried_out(leg.step, &reply.response, By::Answer, reply.retry_after),
            (Verdict::DoneButUnclear { fault }, Direction::Forward) => {
                self.done(leg.step, &reply.response, By::Answer, Some(fault));
            }
            (Verdict::Done, Direction::Undo) => self.undone(leg.step, By::Answer),
            (Verdict::DoneButUnclear { fault }, Direction::Undo) => self.undo_failed(leg.step, reply.status, fault),
            (Verdict::Refused { reason, .. }, Direction::Forward) => self.refused(leg, reply, reason, remembered_until),
            (Verdict::Refused { reason, by_status }, Direction::Undo) => self.undo_refused(leg, reply, reason, by_status),
            (Verdict::NotYet { reason }, _) => self.wait(leg, reason, reply.retry_after, remembered_until),
            (Verdict::Unknown { reason }, _) => self.doubt(leg, reason, remembered_until),
        }
    }

    /// A no says that the step never ran only where no earlier send may have been carried out.
    fn refused(&mut self, leg: Leg, reply: &Reply, reason: String, remembered_until: Option<Timestamp>) {
        let reads = self.rules(leg).is_none_or(|rules| rules.effect == Effect::None);
        let is_only = reads || reply.only_send || !self.call(leg).dirty;
        #[cfg(test)]
        let is_only = is_only || self.machine.trusts_any_refusal;
        if is_only {
            return self.refuse(leg.step, reply.status, reason, By::Answer);
        }
        let reason = format!("{reason}, but an earlier send may have been carried out");
        let checks = self.rules(leg).is_some_and(|rules| rules.check().is_some());
        if self.only_asks() && !checks && !self.is_undone_blindly(leg) {
            // Who was asked what became of it has answered: asking for a day gives the same answer for a day.
            self.leave(leg, reason, true);
        } else {
            self.doubt(leg, reason, remembered_until);
        }
    }

    /// What is not there any more is undone, if it is not known to have been there.
    fn undo_refused(&mut self, leg: Leg, reply: &Reply, reason: String, by_status: bool) {
        let is_gone = by_status && matches!(reply.status, 404 | 410);
        let checks = self.rules(leg).is_some_and(|rules| rules.check().is_some());
        // Of what was accepted and did not come to its end, nobody knows either.
        let is_known = !matches!(self.state(leg.step).forward, Forward::GivenUp | Forward::Done { by: By::Rule, fault: Some(_) });
        if is_gone && !is_known {
            self.undone(leg.step, By::Answer);
        } else if checks && self.call(leg).dirty && !reply.only_send {
            self.doubt(leg, format!("{reason}, but an earlier send may have been carried out"), None);
        } else {
            self.undo_failed(leg.step, reply.status, reason);
        }
    }

    /// Not an answer yet.
    fn wait(&mut self, leg: Leg, reason: String, retry_after: Option<Duration>, remembered_until: Option<Timestamp>) {
        if self.machine.state.turned.is_some() && self.is_undone_blindly(leg) {
            return self.give_up(leg.step, reason);
        }
        match self.again(leg, retry_after) {
            Err(why) => self.exhausted(leg, &why, Some(&reason)),
            Ok(again_at) => {
                let of = self.which(leg);
                self.emit(What::Waiting { of, reason, again_at, remembered_until });
            }
        }
    }

    /// No byte left: the start is annulled, and earlier ones keep their verdict.
    fn not_sent(&mut self, leg: Leg, reason: String, retry_after: Option<Duration>) {
        let call = self.call(leg);
        if !matches!(call.standing, Standing::Sending { asking: false, .. }) {
            return self.wait(leg, reason, retry_after, None);
        }
        let is_clean = !call.dirty;
        let turned = self.machine.state.turned.is_some();
        match (self.once_more(leg, retry_after), leg.direction) {
            (_, Direction::Forward) if is_clean && turned => self.refuse(leg.step, 0, reason, By::Rule),
            (Err(why), Direction::Forward) if is_clean => {
                self.refuse(leg.step, 0, format!("{}; last: {reason}", why.0), By::Rule);
            }
            (Err(why), _) => self.exhausted(leg, &why, Some(&reason)),
            (Ok(again_at), _) => {
                let of = self.which(leg);
                self.emit(What::NotSent { of, reason, again_at });
            }
        }
    }

    /// When what was not sent is tried again. It costs no start, but where the saga goes on without the step: that does not hold up
    /// the rest longer than its starts would.
    fn once_more(&self, leg: Leg, retry_after: Option<Duration>) -> Result<Timestamp, Spent> {
        let max = self.rules(leg).and_then(|rules| rules.retry.max).filter(|_| self.is_best_effort(leg));
        match max {
            Some(max) if self.call(leg).tries.saturating_add(1) >= max => Err(Spent(format!("all {max} tries are spent"))),
            _ => self.again(leg, retry_after),
        }
    }

    /// It was carried out, and the answer is not there.
    fn not_kept(&mut self, leg: Leg) {
        let reason = "it was carried out, but its answer was not kept".to_owned();
        if leg.direction == Direction::Undo {
            return self.undone(leg.step, By::Barrier);
        }
        if self.is_accepted_without_answer(leg.step) {
            return self.resolve(leg.step, None);
        }
        let turned = self.machine.state.turned.is_some();
        let step = self.step(leg.step);
        let undo_needs = undo(step).is_some_and(|undo| undo.frozen != Frozen::WithIntent);
        let is_polled = matches!(self.later(leg.step), Some(Later::Poll(_)));
        let is_needed = undo_needs || is_polled || !turned && call_step(step).is_some_and(|call| !call.output.is_empty());
        let checks = self.rules(leg).is_some_and(|rules| rules.check().is_some());
        if !is_needed {
            self.done_with(leg.step, Map::new(), By::Barrier, None);
        } else if checks {
            self.doubted(leg, reason, self.now, None);
        } else {
            let needs_operator = !self.is_best_effort(leg);
            self.leave(leg, reason, needs_operator);
        }
    }

    /// The key is sealed: the step was not carried out, and never will be. Only who undoes may have it so.
    fn sealed(&mut self, leg: Leg) {
        let reason = "the participant's Refrain sealed the key: it was not carried out".to_owned();
        match leg.direction {
            Direction::Forward if self.only_asks() => self.refuse(leg.step, 0, reason, By::Barrier),
            _ => self.wrong(leg, "step-cancelled: the key is sealed, though nothing is undone".to_owned()),
        }
    }

    fn wrong(&mut self, leg: Leg, reason: String) {
        match leg.direction {
            Direction::Forward => self.leave(leg, reason, true),
            Direction::Undo => self.undo_failed(leg.step, 0, reason),
        }
    }

    fn undone(&mut self, i: usize, by: By) {
        let step = self.path(i);
        self.emit(What::Undone { step, by });
    }

    fn undo_failed(&mut self, i: usize, status: u16, reason: String) {
        let step = self.path(i);
        self.emit(What::UndoFailed { step, status, reason });
    }
}
