//! What a saga remembers of one generation of a call.

use super::{super::entry::FrozenRequest, Applied, unfit};
use crate::time::Timestamp;

/// One generation of a call.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct CallState {
    /// From 1.
    pub(in super::super) generation: u32,
    /// Starts that were journalled.
    pub(in super::super) number: u32,
    /// Those of them that came to nothing.
    pub(in super::super) annulled: u32,
    /// Starts and askings.
    pub(in super::super) sends: u32,
    /// Starts on the present budget.
    pub(in super::super) spent: u32,
    /// Probes on the present budget that could not tell.
    pub(in super::super) checks: u32,
    /// Waits on the present budget: what the backoff grows by.
    pub(in super::super) tries: u32,
    /// Since when the present budget is drawn on.
    pub(in super::super) budget_from: Option<Timestamp>,
    pub(in super::super) first_sent: Option<Timestamp>,
    /// From when on the participant may have begun to forget.
    pub(in super::super) window_from: Option<Timestamp>,
    /// Until when the participant says it remembers.
    pub(in super::super) remembered_until: Option<Timestamp>,
    /// When it was last found that a send had no answer: it left before.
    pub(in super::super) unanswered: Option<Timestamp>,
    /// Whether a send before the present one has no answer, so that a refusal proves nothing.
    pub(in super::super) dirty: bool,
    pub(in super::super) standing: Standing,
    /// The request, where its body was bound to secrets.
    pub(in super::super) request: Option<Box<FrozenRequest>>,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// Never sent.
    Idle,
    /// The intent is durable. It is under way, or was lost with its driver.
    Sending {
        /// Whether it only asks again.
        asking: bool,
        /// Whether it is the first send of the generation.
        first: bool,
    },
    /// Nothing is out; it is sent at this time.
    Delayed { again_at: Timestamp },
    /// Not an answer yet: asked again at this time.
    Waiting { again_at: Timestamp },
    /// In doubt: worked on at this time.
    Doubted { again_at: Timestamp },
    /// In doubt, and left so: its budget is spent.
    Left,
    /// In doubt, and only an operator can work on it.
    Stuck,
}

impl Default for CallState {
    fn default() -> Self {
        Self {
            generation: 1,
            number: 0,
            annulled: 0,
            sends: 0,
            spent: 0,
            checks: 0,
            tries: 0,
            budget_from: None,
            first_sent: None,
            window_from: None,
            remembered_until: None,
            unanswered: None,
            dirty: false,
            standing: Standing::Idle,
            request: None,
        }
    }
}

impl CallState {
    /// The next generation: a new key, of which nothing was sent.
    pub(super) fn next_generation(&self) -> Self {
        Self { generation: self.generation.saturating_add(1), ..Self::default() }
    }

    /// Whether something was sent and nobody knows what became of it.
    pub(in super::super) fn is_unresolved(&self) -> bool {
        match self.standing {
            Standing::Idle | Standing::Delayed { .. } => false,
            Standing::Sending { .. } | Standing::Waiting { .. } | Standing::Doubted { .. } | Standing::Left | Standing::Stuck => {
                true
            }
        }
    }

    pub(super) fn sending(&mut self, at: Timestamp) -> Applied {
        match self.standing {
            Standing::Sending { .. } => {
                self.unanswered = Some(at);
                self.dirty = true;
            }
            Standing::Waiting { .. } | Standing::Left | Standing::Stuck => return unfit("it waits for an answer"),
            Standing::Idle | Standing::Delayed { .. } | Standing::Doubted { .. } => {}
        }
        self.standing = Standing::Sending { asking: false, first: self.first_sent.is_none() };
        self.number = self.number.saturating_add(1);
        self.sends = self.sends.saturating_add(1);
        self.spent = self.spent.saturating_add(1);
        self.checks = 0;
        for since in [&mut self.budget_from, &mut self.first_sent, &mut self.window_from] {
            since.get_or_insert(at);
        }
        Ok(())
    }

    pub(super) fn asking(&mut self, _at: Timestamp) -> Applied {
        let Standing::Waiting { .. } = self.standing else { return unfit("there is nothing to ask for again") };
        self.standing = Standing::Sending { asking: true, first: false };
        self.sends = self.sends.saturating_add(1);
        Ok(())
    }

    pub(super) fn not_sent(&mut self, again_at: Timestamp) -> Applied {
        let Standing::Sending { asking: false, first } = self.standing else { return unfit("no start is under way") };
        self.annulled = self.annulled.saturating_add(1);
        self.spent = self.spent.saturating_sub(1);
        self.tries = self.tries.saturating_add(1);
        if first {
            (self.first_sent, self.window_from) = (None, None);
        }
        self.standing = if self.dirty { Standing::Doubted { again_at } } else { Standing::Delayed { again_at } };
        Ok(())
    }

    pub(super) fn doubted(&mut self, standing: Standing, at: Timestamp, remembered_until: Option<Timestamp>) -> Applied {
        match self.standing {
            Standing::Idle | Standing::Delayed { .. } => return unfit("nothing was sent"),
            Standing::Sending { .. } => self.unanswered = Some(at),
            Standing::Doubted { .. } => self.checks = self.checks.saturating_add(1),
            Standing::Waiting { .. } | Standing::Left | Standing::Stuck => {}
        }
        self.dirty = true;
        self.tries = self.tries.saturating_add(1);
        self.remembered_until = remembered_until.or(self.remembered_until);
        self.standing = standing;
        Ok(())
    }

    pub(super) fn waiting(&mut self, again_at: Timestamp, remembered_until: Option<Timestamp>) -> Applied {
        let Standing::Sending { .. } = self.standing else { return unfit("nothing is under way") };
        self.tries = self.tries.saturating_add(1);
        self.remembered_until = remembered_until.or(self.remembered_until);
        self.standing = Standing::Waiting { again_at };
        Ok(())
    }

    pub(super) fn not_done(&mut self, at: Timestamp) -> Applied {
        let Standing::Doubted { .. } = self.standing else { return unfit("it is not in doubt") };
        self.dirty = false;
        (self.window_from, self.remembered_until, self.unanswered) = (None, None, None);
        self.standing = Standing::Delayed { again_at: at };
        Ok(())
    }

    /// An undo that failed: where its status is 0 nobody refused it, and it may have been carried out.
    pub(super) fn failed(&mut self, status: u16) {
        self.dirty |= status == 0 && self.is_unresolved();
        self.standing = match (self.number, self.dirty) {
            (0, _) => Standing::Idle,
            (_, true) => Standing::Stuck,
            (_, false) => Standing::Delayed { again_at: Timestamp::ZERO },
        };
    }

    /// Budgets begin anew, and what waits is tried at `again_at`, if that is given.
    pub(super) fn fresh_budget(&mut self, at: Timestamp, again_at: Option<Timestamp>) {
        (self.spent, self.checks, self.tries) = (0, 0, 0);
        self.budget_from = Some(at);
        if let Some(again_at) = again_at {
            self.standing = match self.standing {
                Standing::Delayed { .. } => Standing::Delayed { again_at },
                Standing::Waiting { .. } => Standing::Waiting { again_at },
                Standing::Doubted { .. } | Standing::Left | Standing::Stuck => Standing::Doubted { again_at },
                other @ (Standing::Idle | Standing::Sending { .. }) => other,
            };
        }
    }
}
