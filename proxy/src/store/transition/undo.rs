//! The barrier's rules: a step's record and its undo's own, looked at together.
//!
//! | the step | then the undo |
//! |---|---|
//! | in flight | waits |
//! | done | is sent |
//! | sealed, attempt 0 (nothing was done), or so by an operator's word | has nothing to undo, unless its driver knows better |
//! | sealed, attempt 1 or more | is sent |
//! | absent, and that is proof | seals it, and has nothing to undo |
//! | absent, and that is none | seals it, and is sent |
//! | unknown | is sent if its driver knows that the step was done; else probes, waits its time, or holds |
//!
//! Whoever is sent has sealed a step that is not done: a step that arrives later is cancelled. Once the undo has a record of its own,
//! that record alone decides: the step was judged when it was made.

use bytes::Bytes;

use super::{Claimed, Open, ProbeLease, Record, State, Step, Write, claim};
use crate::{
    ids::{Fence, Mailbox},
    store::{Claim, OnAbsent, OnStepUnknown, Undo, Undone},
    time::Timestamp,
};

/// One transition of two records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both {
    /// The answer to the caller.
    pub outcome: Undone,
    /// What to write of the step.
    pub step: Write,
    /// What to write of the undo itself.
    pub own: Write,
    /// Who waited for the step and is to be woken, after the writes. Nobody waits for a record that an undo begins.
    pub wake: Vec<Mailbox>,
}

/// [`crate::store::Store::undo`]. `remembers_since`: see [`crate::store::Health::remembers_since`].
pub fn undo(step: Option<&Record>, own: Option<&Record>, undo: &Undo, remembers_since: Timestamp, now: Timestamp) -> Both {
    if own.is_some() {
        return Both::own(claim(own, &begins(undo), remembers_since, now));
    }
    match judge(step, undo, remembers_since, now) {
        Judged::Send => {
            let own = Both::own(claim(None, &begins(undo), remembers_since, now));
            match step {
                Some(Record { state: State::Done(_), .. }) => own,
                Some(step) => own.sealing(step.sealed(step.attempt.max(1), undo.claim.ttl, now), step.mailboxes()),
                None => own.sealing(Record::seal(undo.claim.owner, 1, undo.claim.ttl, now), &[]),
            }
        }
        Judged::Nothing => {
            let own = Both::own(nothing(&undo.claim, now));
            match step {
                Some(step) => own.sealing(step.sealed(0, undo.claim.ttl, now), step.mailboxes()),
                None => own.sealing(Record::seal(undo.claim.owner, 0, undo.claim.ttl, now), &[]),
            }
        }
        Judged::Not { outcome, step } => Both { outcome, step, own: Write::Nothing, wake: Vec::new() },
    }
}

enum Judged {
    /// The undo may be sent.
    Send,
    /// There is nothing to undo.
    Nothing,
    /// Not yet, or not at all.
    Not { outcome: Undone, step: Write },
}

fn judge(step: Option<&Record>, undo: &Undo, remembers_since: Timestamp, now: Timestamp) -> Judged {
    let Some(record) = step else {
        let never_came = !undo.knows_done && undo.absence.is_proof(remembers_since, now);
        return if never_came { Judged::Nothing } else { Judged::Send };
    };
    match &record.state {
        State::Done(_) => Judged::Send,
        State::Open(open) => match open.left(now) {
            Some(left) => {
                let mut waiting = open.clone();
                waiting.cut(now);
                waiting.register(undo.claim.mailbox);
                not(Undone::StepInFlight { left }, record, waiting)
            }
            None if undo.knows_done => Judged::Send,
            None if record.attempt == 0 => Judged::Nothing,
            None => unknown(record, open, undo, now),
        },
        State::Sealed if record.attempt == 0 && !undo.knows_done => Judged::Nothing,
        State::Sealed => Judged::Send,
    }
}

fn unknown(record: &Record, open: &Open, undo: &Undo, now: Timestamp) -> Judged {
    let probing = open.is_probed_by_another(undo.claim.owner, now);
    let send_after = match undo.on_step_unknown {
        OnStepUnknown::Probe { lease, .. } if !open.note.is_empty() && !probing => {
            let probe = ProbeLease { prober: undo.claim.owner, until: now.plus(lease) };
            let sent_ago = open.sent_by.until(now);
            let outcome = Undone::StepProbe { fence: record.fence, sent_ago, note: open.note.clone() };
            return not(outcome, record, Open { probe: Some(probe), ..open.clone() });
        }
        OnStepUnknown::Probe { otherwise, .. } => otherwise,
        OnStepUnknown::Send { after } => Some(after),
        OnStepUnknown::Hold => None,
    };
    // Somebody who asks the service will know better, soon.
    if !probing && send_after.is_some_and(|after| open.sent_by.plus(after) <= now) {
        return Judged::Send;
    }
    let mut waiting = open.clone();
    waiting.register(undo.claim.mailbox);
    not(Undone::StepUnknown { probing }, record, waiting)
}

fn not(outcome: Undone, record: &Record, open: Open) -> Judged {
    let Step { outcome, write, .. } = super::write_if_changed(outcome, record, open);
    Judged::Not { outcome, step: write }
}

/// The claim of the undo's own record, which always begins.
fn begins(undo: &Undo) -> Claim {
    Claim { on_absent: OnAbsent::Begin, ..undo.claim.clone() }
}

/// The undo's own record where nothing is sent: done, with no response, attempt 0.
fn nothing(claim: &Claim, now: Timestamp) -> Step<Claimed> {
    let record = Record {
        fingerprint: claim.fingerprint,
        owner: claim.owner,
        fence: Fence(now.as_unix_us()),
        attempt: 0,
        expires_at: now.plus(claim.ttl),
        state: State::Done(Bytes::new()),
    };
    Step::put(Claimed::Replay(record.done(&Bytes::new(), now)), record)
}

impl Both {
    fn own(claimed: Step<Claimed>) -> Self {
        Self { outcome: Undone::Own(claimed.outcome), step: Write::Nothing, own: claimed.write, wake: Vec::new() }
    }

    fn sealing(self, sealed: Record, waiting: &[Mailbox]) -> Self {
        Self { step: Write::Put(Box::new(sealed)), wake: waiting.to_vec(), ..self }
    }
}
