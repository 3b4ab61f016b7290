//! The canonical form: the definition as JSON, the same whatever the formatting of its file, with every default written out.
//!
//! Maps with fixed keys are in one order, durations in one spelling. Inputs, outputs and headers, and what goes into bodies, keep the
//! order of the file, for what is rendered depends on it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{
    Action, DefinitionHash, InDoubt as BuiltInDoubt, Saga, Step as BuiltStep,
    build::Built,
    findings::Findings,
    limits,
    load::Stored,
    raw::{self, Compensate, InDoubt, Raw, UndoInDoubt},
};
use crate::{diagnostic::Diagnostic, units::DurationText, yaml::Pointer};

/// The version of the form.
pub(super) const FORMAT: u32 = 1;

/// Gives a saga its canonical form. `None`: it is too long, which is reported.
pub(super) fn finish(raw: Raw, built: Built, findings: &mut Findings) -> Option<Saga> {
    let text = text(raw, &built)?;
    if text.len() > limits::CANONICAL_BYTES {
        let message = format!("the definition is {} bytes long as JSON; the limit is {}", text.len(), limits::CANONICAL_BYTES);
        let place = findings.place(&Pointer::root());
        findings.add(Diagnostic::error("too-long", place, message).with_help("split it, or let a service know what is constant"));
        return None;
    }
    Some(with_text(built, &text))
}

/// Gives a saga the form that it was read from.
pub(super) fn with_text(built: Built, text: &str) -> Saga {
    let hash = DefinitionHash::from_bytes(Sha256::digest(text).into());
    Saga { canonical: Arc::from(text), hash, ..built.saga }
}

/// The canonical form of what was built from `raw`.
pub(super) fn text(mut raw: Raw, built: &Built) -> Option<String> {
    let saga = &built.saga;
    // For simulating it only: it does not tell definitions apart.
    raw.test = None;
    raw.defaults = Some(built.defaults.written());
    raw.max_parallel = u32::try_from(saga.max_parallel).ok();
    raw.sensitive = Some(saga.sensitive);
    let response = raw.response.get_or_insert_default();
    response.pending = Some(raw::Pending { after: DurationText::new(saga.response.pending_after) });
    let idempotency = if saga.trigger.key_required { raw::Idempotency::Required } else { raw::Idempotency::Optional };
    raw.trigger.get_or_insert_default().idempotency = Some(idempotency);
    for step in raw.steps.iter_mut().flatten().flatten() {
        fill(step, saga);
        if let Some(group) = &mut step.parallel {
            group.steps.iter_mut().flatten().flatten().for_each(|step| fill(step, saga));
        }
    }
    serde_json::to_string(&Stored { format: FORMAT, definition: raw }).ok()
}

/// How long probes wait is the upstream's, where nothing is written.
fn fill(raw: &mut raw::Step, saga: &Saga) {
    let built = raw.id.as_deref().and_then(|id| saga.step(id)).map(|index| &saga[index]);
    let Some(BuiltStep { action: Action::Call(call), .. }) = built else { return };
    if let (Some(InDoubt::Check(raw)), BuiltInDoubt::Check(check)) = (&mut raw.in_doubt, &call.in_doubt) {
        raw.after = DurationText::new(check.after);
    }
    let Some(Compensate::Call(undo)) = &mut raw.compensate else { return };
    if let (Some(UndoInDoubt::Check(raw)), Some(BuiltInDoubt::Check(check))) =
        (&mut undo.in_doubt, call.compensate.as_ref().map(|undo| &undo.in_doubt))
    {
        raw.after = DurationText::new(check.after);
    }
}
