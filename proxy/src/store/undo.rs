//! The barrier: undoing a step that may never have run, may be running, or may have run unnoticed.

use std::time::Duration;

use bytes::Bytes;

use super::{Claim, Claimed, Done};
use crate::{
    ids::{Fence, RecordName},
    time::Timestamp,
};

/// How far the clocks of the driver's store and of this one may differ. A first send within this time of what the store may have
/// lost, or of the end of its record, is taken for one that may be forgotten.
pub const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(2);

/// What it means that there is no record of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It never came here.
    Proof,
    /// It never came here, if its record could not have been lost or have expired since then.
    ProofSince(FirstSend),
    /// Nothing: it may have been forgotten.
    NoProof,
}

/// The first send of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSend {
    /// When, by the driver's store's clock.
    pub at: Timestamp,
    /// How long a record of it is kept, at the least.
    pub kept_for: Duration,
}

impl Absence {
    /// Whether the step never came here. `remembers_since`: what was acknowledged since then is not lost.
    pub fn is_proof(self, remembers_since: Timestamp, now: Timestamp) -> bool {
        match self {
            Self::Proof => true,
            Self::NoProof => false,
            Self::ProofSince(first) => {
                first.is_remembered(remembers_since) && now < first.proves_until() && first.at <= now.plus(CLOCKS_DIFFER_BY)
            }
        }
    }
}

impl FirstSend {
    /// Whether nothing was lost since.
    pub fn is_remembered(self, remembers_since: Timestamp) -> bool {
        self.at >= remembers_since.plus(CLOCKS_DIFFER_BY)
    }

    /// Until when a record of it would still be there.
    pub fn proves_until(self) -> Timestamp {
        Timestamp::from_unix_ms(self.at.plus(self.kept_for).as_unix_ms().saturating_sub(crate::time::whole_ms(CLOCKS_DIFFER_BY)))
    }
}

/// An undo's call.
#[derive(Clone, Debug)]
pub struct Undo {
    /// The claim of the undo's own record. Its mailbox hears of the step's end, too; its `ttl` is the seal's as well; what it says
    /// of an absent record is not looked at.
    pub claim: Claim,
    /// The record of the step. It is a neighbour of the undo's own, see [`RecordName::neighbourhood`].
    pub step: RecordName,
    /// Whether the driver has an answer that says that the step was carried out.
    pub knows_done: bool,
    /// What it means that there is no record of the step. Not looked at where the driver knows that it was done.
    pub absence: Absence,
    /// What to do where nobody knows whether the step was carried out. Not looked at where the driver knows.
    pub on_step_unknown: OnStepUnknown,
}

/// What an undo does where nobody knows whether its step was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStepUnknown {
    /// Nothing: [`Undone::StepUnknown`].
    Hold,
    /// It is sent all the same, once this long has passed since the step was sent; until then, nothing.
    Send {
        /// How long a step may still act after it was sent.
        after: Duration,
    },
    /// The service is asked, if the step left a note of how: [`Undone::StepProbe`], under a probe lease of this length. A step
    /// without a note is treated as by `otherwise`.
    Probe {
        /// How long the probe lease holds.
        lease: Duration,
        /// As [`OnStepUnknown::Send`], if it may be sent all the same; `None`: as [`OnStepUnknown::Hold`].
        otherwise: Option<Duration>,
    },
}

/// The answer to an [`Undo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// What became of the claim of the undo's own record. Granted: the step is done or sealed, and the undo may be sent. A replay
    /// may be one of [nothing to undo](Done::is_nothing_to_undo).
    Own(Claimed),
    /// Somebody is at the step, and has the lease for this long.
    StepInFlight {
        /// The time left on the lease.
        left: Duration,
    },
    /// Nobody knows whether the step was carried out.
    StepUnknown {
        /// Whether somebody else is probing now.
        probing: bool,
    },
    /// The caller is the step's prober, with the undo's owner as its nonce: it asks the service, and then
    /// [settles](super::Store::settle) the step's record.
    StepProbe {
        /// The fence of the step's record, which a probe does not change.
        fence: Fence,
        /// How long ago the step's send began, at the least.
        sent_ago: Duration,
        /// What the step left for its prober, see [`Claim::note`].
        note: Bytes,
    },
}

impl Done {
    /// Whether this is the record of an undo whose step never ran: nothing was sent, and there is no response.
    pub fn is_nothing_to_undo(&self) -> bool {
        self.response.is_empty()
    }
}
