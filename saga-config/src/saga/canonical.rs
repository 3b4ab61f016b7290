//! The canonical form: the definition as JSON, the same whatever the formatting of its file, with every default written out.
//!
//! Maps with fixed keys are in one order, durations in one spelling. Inputs, outputs and headers, and what goes into bodies, keep the
//! order of the file, for what is rendered depends on it.

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{
    Action, CallStep, DefinitionHash, InDoubt as BuiltInDoubt, Later, Saga,
    build::Built,
    findings::Findings,
    limits,
    load::Stored,
    raw::{self, Compensate, InDoubt, Raw, UndoInDoubt},
};
use crate::{diagnostic::Diagnostic, names::SagaName, units::DurationText, yaml::Pointer};

/// The version of the form.
pub(super) const FORMAT: u32 = 1;

/// The canonical form of a saga, with the mirrors of the sagas that it runs. `None`: it is too long, which is reported.
pub(super) fn text(definition: Raw, sagas: BTreeMap<SagaName, Raw>, findings: &mut Findings) -> Option<String> {
    let text = serde_json::to_string(&Stored { format: FORMAT, definition, sagas }).ok()?;
    if text.len() > limits::CANONICAL_BYTES {
        let message = format!("the definition is {} bytes long as JSON; the limit is {}", text.len(), limits::CANONICAL_BYTES);
        let place = findings.place(&Pointer::root());
        findings.add(Diagnostic::error("too-long", place, message).with_help("split it, or let a service know what is constant"));
        return None;
    }
    Some(text)
}

/// Gives a saga the form that it was read from.
pub(super) fn with_text(saga: Saga, text: &str) -> Saga {
    let hash = DefinitionHash::from_bytes(Sha256::digest(text).into());
    Saga { canonical: Arc::from(text), hash, ..saga }
}

/// The mirror of what was built, with every default written out.
pub(super) fn filled(mut raw: Raw, built: &Built) -> Raw {
    let saga = &built.saga;
    raw.defaults = Some(built.defaults.written());
    raw.max_parallel = u32::try_from(saga.max_parallel).ok();
    raw.sensitive = Some(saga.sensitive);
    let response = raw.response.get_or_insert_default();
    response.pending = Some(raw::Pending { after: DurationText::new(saga.response.pending_after) });
    let idempotency = if saga.trigger.key_required { raw::Idempotency::Required } else { raw::Idempotency::Optional };
    raw.trigger.get_or_insert_default().idempotency = Some(idempotency);
    fill_list(raw.steps.as_deref_mut(), saga);
    raw
}

/// Fills in the steps of a list, and what stands in them.
fn fill_list(list: Option<&mut [Option<raw::Step>]>, saga: &Saga) {
    for step in list.into_iter().flatten().flatten() {
        fill(step, saga);
        fill_list(step.parallel.as_mut().and_then(|group| group.steps.as_deref_mut()), saga);
        fill_list(step.steps.as_deref_mut(), saga);
        for arm in step.switch.iter_mut().flatten().flatten() {
            fill_list(arm.steps.as_deref_mut(), saga);
            fill_list(arm.otherwise.as_deref_mut(), saga);
        }
    }
}

/// What holds where nothing is written.
fn fill(raw: &mut raw::Step, saga: &Saga) {
    let built = raw.id.as_deref().and_then(|id| saga.step(id)).map(|index| &saga[index]);
    match built.map(|step| &step.action) {
        Some(Action::Call(call)) => fill_call(raw, call),
        Some(Action::Foreach(number)) => {
            let (written, built) = (raw.foreach.get_or_insert_default(), &saga.loops[number.0]);
            written.max = u32::try_from(built.max).ok();
            written.limit = u32::try_from(built.limit).ok();
        }
        Some(Action::Set(_) | Action::Switch(_) | Action::Wait(_) | Action::Enter(_) | Action::Leave(_)) | None => {}
    }
}

/// How long probes wait is the upstream's, where nothing is written.
fn fill_call(raw: &mut raw::Step, call: &CallStep) {
    if let (Some(written), Some(Later::Poll(poll))) = (&mut raw.accept, &call.later) {
        written.status = Some(poll.status);
        let written = written.poll.get_or_insert_default();
        written.every = DurationText::new(poll.every);
        written.max_every = DurationText::new(poll.max_every);
    }
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
