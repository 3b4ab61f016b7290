//! What an operator's command changes.

use saga_config::saga::Saga;

use super::{Applied, Back, CallState, Forward, Standing, State, unfit};
use crate::{saga::entry::Act, time::Timestamp};

impl State {
    pub(super) fn obey(&mut self, definition: &Saga, act: &Act, at: Timestamp) -> Applied {
        match act {
            Act::Pause => self.paused = true,
            Act::Resume => self.paused = false,
            Act::Retry { step, run_again } => {
                let chosen = match step {
                    None => None,
                    Some(step) => match self.instances.find(definition, step) {
                        None => return unfit("there is no such step"),
                        some => some,
                    },
                };
                for i in 0..self.steps.len() {
                    if chosen.is_none_or(|chosen| chosen == i) {
                        match run_again {
                            true => self.run_again(i),
                            false => self.retry(definition, i, chosen.is_some(), at),
                        }
                    }
                }
                self.quarantined = None;
            }
            // What they say of a step is in the next entry.
            Act::ResolveDone { .. }
            | Act::ResolveNotDone { .. }
            | Act::ResolveUndone { .. }
            | Act::Compensate
            | Act::Skip { .. } => self.quarantined = None,
        }
        Ok(())
    }

    /// What waits is tried at once, on fresh budgets; what failed is tried again.
    fn retry(&mut self, definition: &Saga, i: usize, is_named: bool, at: Timestamp) {
        let is_failing = self.is_failing(definition, i);
        let turned = self.turned.is_some();
        let step = &mut self.steps[i];
        match step.forward {
            // A timer ends at once where it is named: it is no trouble that a retry of all is meant for.
            Forward::Open if step.timed.is_some() && is_named && !turned => step.timed = Some(at),
            Forward::Open => match step.call.standing {
                Standing::Left if !is_named && !is_failing => {}
                Standing::Idle | Standing::Sending { .. } => {}
                _ => step.call.fresh_budget(at, Some(at)),
            },
            Forward::Refused { .. } if is_failing && !turned => {
                step.forward = Forward::Open;
                step.call.dirty = false;
                step.call.standing = if step.call.number == 0 { Standing::Idle } else { Standing::Delayed { again_at: at } };
                step.call.fresh_budget(at, Some(at));
            }
            _ => {}
        }
        if turned && step.back != Back::Undone {
            let failed = step.back == Back::Failed;
            step.back = Back::Open;
            if failed || !matches!(step.undo_call.standing, Standing::Idle | Standing::Sending { .. }) {
                step.undo_call.fresh_budget(at, Some(at));
            }
        }
    }

    /// A new key, for what the operator knows was not carried out.
    fn run_again(&mut self, i: usize) {
        let turned = self.turned.is_some();
        let step = &mut self.steps[i];
        if turned {
            step.undo_call = step.undo_call.next_generation();
            step.back = Back::Open;
        } else {
            let call: CallState = step.call.next_generation();
            (step.forward, step.call, step.frozen) = (Forward::Open, call, None);
            (step.accepted, step.called_back) = (None, None);
            step.output.clear();
        }
        step.reason = None;
    }
}
