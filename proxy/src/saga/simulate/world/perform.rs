//! What becomes of requests on their way, of probes and of those who call back.

use std::time::Duration;

use super::{
    super::{
        super::{
            entry::{Direction, Which},
            machine::Machine,
            turn::{Answer, CheckEffect, Event, Finding, SendEffect, Upstreams as _},
        },
        fault::Outcome,
        services::Said,
        stage::{self, Stage, reply},
    },
    Flight, Lasting, World, called,
};
use crate::time::Timestamp;

/// How long a service takes to answer.
const ANSWERS: Duration = Duration::from_millis(20);
/// How long it takes somebody to call back.
const CALLS_BACK: Duration = Duration::from_secs(1);
/// How long it takes to find out that nobody is there.
const FAILS: Duration = Duration::from_millis(5);

impl World<'_> {
    pub(super) fn is_possible(&self, send: &SendEffect, machine: &Machine, outcome: Outcome) -> bool {
        let kind = self.stage.kind(send.request.upstream.as_deref());
        match outcome {
            Outcome::Refused => {
                !self.services.knows(send, kind, self.now) && self.stage.refusal(machine, &send.of, self.now).is_some()
            }
            _ => true,
        }
    }

    pub(super) fn send(&mut self, send: SendEffect, decided: Outcome) {
        let leg = (send.of.step.clone(), send.of.direction);
        let outcome = self.lasting.get(&leg).map_or(decided, |lasting| lasting.outcome);
        let mut at_least = Duration::ZERO;
        if outcome.lasts() {
            let lasting = self.lasting.entry(leg).or_insert(Lasting { outcome, since: self.now, tries: 0 });
            lasting.tries += 1;
            at_least = lasting.at_least(self.now);
        }
        let (took, answer) = match outcome {
            Outcome::NotSent | Outcome::NeverSent => {
                self.tell(format!("{} is not sent", called(&send.of)));
                (FAILS, Answer::NotSent { reason: "the connection was refused".to_owned(), retry_after: None })
            }
            Outcome::UnknownApplied | Outcome::SilentApplied | Outcome::MuteApplied => {
                let said = self.arrive(&send, false);
                self.tell(format!("{} arrives ({}), and its answer is lost", called(&send.of), told(said)));
                (send.timeout, unanswered())
            }
            Outcome::UnknownNotApplied | Outcome::SilentNotApplied | Outcome::MuteNotApplied => {
                self.tell(format!("{} is lost", called(&send.of)));
                (send.timeout, unanswered())
            }
            Outcome::UnknownLate => {
                let longest = self.stage.max_execution(send.request.upstream.as_deref());
                let by = self.now.plus(longest.saturating_sub(Duration::from_millis(1)));
                self.tell(format!("{} is on its way for long", called(&send.of)));
                self.late.push((by, send.clone()));
                (send.timeout, unanswered())
            }
            Outcome::TurnedBack => {
                self.command = true;
                (ANSWERS, self.answered(&send, false))
            }
            refused_or_done => (ANSWERS, self.answered(&send, refused_or_done == Outcome::Refused)),
        };
        self.flights.push(Flight { at: self.now.plus(took.max(at_least)), event: Event::Answered { of: send.of, answer } });
    }

    pub(super) fn arrive(&mut self, send: &SendEffect, refuses: bool) -> Said {
        let kind = self.stage.kind(send.request.upstream.as_deref());
        self.services.arrive(send, refuses, kind, self.now)
    }

    /// The service is asked, and answers in time.
    pub(super) fn answered(&mut self, send: &SendEffect, refuses: bool) -> Answer {
        let said = self.arrive(send, refuses);
        let answer = self.answer_to(send, said);
        let status = match &answer {
            Answer::Replied(reply) => format!("{}, {}", told(said), reply.status),
            _ => told(said).to_owned(),
        };
        self.tell(format!("{}: {status}", called(&send.of)));
        answer
    }

    /// What a service's word is on the wire.
    fn answer_to(&self, send: &SendEffect, said: Said) -> Answer {
        let Some(machine) = &self.machine else { return unanswered() };
        answer(self.stage, machine, send, said, self.now)
    }

    pub(super) fn probe(&mut self, check: CheckEffect, outcome: Outcome) {
        let (took, finding) = match (outcome, &self.machine) {
            (Outcome::ProbeLost, _) | (_, None) => {
                self.tell(format!("the probe of {} has no answer", called(&check.of)));
                (check.timeout, Finding::CannotTell { reason: "no answer".to_owned() })
            }
            (outcome, Some(machine)) if self.polled.contains(&check.of.step) => {
                let mock = match outcome {
                    Outcome::Refused => self.stage.polled_no(machine, &check.of, self.now),
                    _ => Some(self.stage.done(&check.of.step)),
                };
                if outcome == Outcome::Refused {
                    self.services.fails(&check.of.step);
                }
                self.tell(format!(
                    "{} is polled: {}",
                    called(&check.of),
                    if outcome == Outcome::Refused { "no" } else { "done" }
                ));
                let unknown = || Finding::CannotTell { reason: "no answer of the poll is known".to_owned() };
                (ANSWERS, mock.map_or_else(unknown, |mock| Finding::Replied(reply(&mock, false))))
            }
            (_, Some(machine)) => {
                let happened = self.services.has(&check.of.step, check.of.direction);
                let mock = self.stage.probed(machine, &check.of, happened, self.now);
                let finds = if happened { "finds it done" } else { "finds nothing" };
                self.tell(format!("the probe of {} {finds}", called(&check.of)));
                let finding = match mock {
                    Some(mock) => Finding::Replied(reply(&mock, false)),
                    None => Finding::CannotTell { reason: "no answer of the probe is known".to_owned() },
                };
                (ANSWERS, finding)
            }
        };
        self.flights.push(Flight { at: self.now.plus(took), event: Event::Checked { of: check.of, finding } });
    }

    /// Whether somebody calls back, and what is said.
    pub(super) fn calls_back(&mut self, outcome: Outcome) {
        let (Some(step), Some(machine)) = (self.awaited.pop_front(), &self.machine) else { return };
        let of = Which { step, direction: Direction::Forward, generation: 1 };
        let body = match outcome {
            Outcome::NoCallback => None,
            outcome => self.stage.called_back(machine, &of, outcome != Outcome::Declined, self.now),
        };
        match body {
            None => self.tell(format!("nobody calls back for {}", of.step)),
            Some(body) => {
                self.tell(format!(
                    "somebody will call back for {}: {}",
                    of.step,
                    if outcome == Outcome::Declined { "no" } else { "yes" }
                ));
                let event = stage::called_back(&of, &body);
                self.callbacks.push(Flight { at: self.now.plus(CALLS_BACK), event });
            }
        }
    }
}

/// What a service's word is on the wire.
fn answer(stage: &Stage, machine: &Machine, send: &SendEffect, said: Said, now: Timestamp) -> Answer {
    let mock = match (said, send.of.direction) {
        (Said::Sealed, _) => return Answer::Sealed,
        (Said::NothingToUndo, _) => return Answer::NothingToUndo,
        (Said::Done { only }, Direction::Forward) => Some((stage.accepted(&send.of.step), only)),
        (Said::Done { only }, Direction::Undo) => stage.undone(machine, &send.of, now).map(|mock| (mock, only)),
        (Said::Refused { only }, _) => stage.refusal(machine, &send.of, now).map(|mock| (mock, only)),
        (Said::Gone { only }, _) => {
            let gone = saga_config::saga::test::Mock { status: 404, headers: Vec::new(), body: serde_json::json!({}) };
            Some((gone, only))
        }
    };
    match mock {
        Some((mock, only)) => Answer::Replied(reply(&mock, only)),
        None => Answer::Unknown { reason: "no answer is known that its `outcome` takes".to_owned() },
    }
}

fn unanswered() -> Answer {
    Answer::Unknown { reason: "no answer".to_owned() }
}

pub(super) const fn told(said: Said) -> &'static str {
    match said {
        Said::Done { .. } => "done",
        Said::Refused { .. } => "refused",
        Said::Gone { .. } => "nothing is there",
        Said::Sealed => "sealed",
        Said::NothingToUndo => "nothing to undo",
    }
}
