//! What must hold of steps, of the pivot and of the services that are called, so that a saga that fails can be undone.

use std::time::Duration;

use super::{
    Action, Auth, Call, CallStep, Effect, Frozen, InDoubt, Later, Position, Step, Within, build::Builder, load::UpstreamFact,
    raw, unfold::Node,
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    template::{CallTarget, Method, Template},
    units::DurationText,
    yaml::Pointer,
};

pub(super) fn shown(time: Duration) -> String {
    DurationText::new(time).map_or_else(|| format!("{time:?}"), |time| time.to_string())
}

/// Where a call is written.
struct Sent<'a> {
    at: &'a Pointer,
    /// The key of its target.
    key: &'static str,
    /// Whether it says itself how long it is tried.
    has_own_budget: bool,
    is_undo: bool,
}

impl Builder<'_, '_> {
    /// What is known of a call's upstream; one that is not there is reported.
    pub(super) fn know_upstream(&mut self, target: &CallTarget, at: &Pointer) -> Option<UpstreamFact> {
        let upstreams = self.upstreams?;
        let name = target.upstream();
        let found = upstreams.find(name);
        if found.is_none() {
            let names = upstreams.names();
            let (message, help, length) = match name {
                None => {
                    let message = "there is no local upstream, and this call names none".to_owned();
                    let help = format!("name one of {}, or mark one `local: true`", names.join(", "));
                    (message, help, target.method().as_str().len())
                }
                Some(name) => {
                    let help = match did_you_mean(name.as_str(), names.iter().map(String::as_str)) {
                        Some(meant) => format!("did you mean {}?", quoted(meant)),
                        None => format!("there are {}", names.join(", ")),
                    };
                    (format!("there is no upstream {}", quoted(name.as_str())), help, name.as_str().len())
                }
            };
            let place = self.findings.place_within(at, 0..length);
            self.findings.prove(Diagnostic::error("unknown-upstream", place, message).with_help(help));
        }
        found
    }

    pub(super) fn know_credentials(&mut self, target: &CallTarget, auth: Auth, at: &Pointer) {
        let upstream = self.upstreams.and_then(|upstreams| upstreams.find(target.upstream()));
        if auth == Auth::Service && upstream.is_some_and(|upstream| !upstream.has_credentials) {
            self.findings.refuse(
                "no-credentials",
                at,
                "there are no credentials for this upstream",
                "write `auth` at the upstream",
            );
        }
    }

    /// Two credentials would go with one call.
    pub(super) fn compare_with_credentials(&mut self, headers: &[(http::HeaderName, Template)], auth: Auth, at: &Pointer) {
        if auth == Auth::Service && headers.iter().any(|(name, _)| name == http::header::AUTHORIZATION) {
            let place = self.findings.key_place(at);
            let message = "`auth: service` brings the upstream's own credentials, and `headers` bring others";
            self.findings.prove(Diagnostic::error("two-credentials", place, message).with_help("leave one of them out"));
        }
    }

    pub(super) fn compare_with_execution(&mut self, after: Option<Duration>, max_execution: Duration, at: &Pointer) {
        if after.is_some_and(|after| after < max_execution) {
            let longest = shown(max_execution);
            let message = format!(
                "a request may act for `max_execution`, {longest}: a \"not done\" before that may be wrong, and it would act twice"
            );
            self.findings.warning("probe-too-early", at, message, format!("leave `after` out, or write at least {longest}"));
        }
    }

    /// What must hold of a step that calls.
    pub(super) fn prove_step(&mut self, index: usize, step: &CallStep) {
        let node = &self.plan.nodes[index];
        if !node.is_whole {
            // What is missing may be what was meant.
            return;
        }
        self.prove_compensation(index, node, step);
        self.prove_doubt(node, step);
        let is_callback = matches!(step.later, Some(Later::Callback(_)));
        let asked = node.raw.wait.as_ref().and_then(|wait| wait.callback.as_ref());
        let (at, key) = if is_callback { (node.at.child("wait").child("callback"), "send") } else { (node.at.clone(), "call") };
        let retry = if is_callback { asked.and_then(|send| send.retry.as_ref()) } else { node.raw.retry.as_ref() };
        let has_own_budget = retry.is_some_and(|retry| retry.within.is_some());
        self.prove_resending(&step.call, step.effect, &step.in_doubt, &Sent { at: &at, key, has_own_budget, is_undo: false });
        if let Some(undo) = &step.compensate {
            let at = node.at.child("compensate");
            let has_own_budget = matches!(&node.raw.compensate, Some(raw::Compensate::Call(undo)) if undo.retry.as_ref().is_some_and(|retry| retry.within.is_some()));
            self.prove_resending(
                &undo.call,
                undo.effect,
                &undo.in_doubt,
                &Sent { at: &at, key: "call", has_own_budget, is_undo: true },
            );
            if matches!(undo.call.target.method(), Method::Get | Method::Head | Method::Options) {
                let message = format!("an undo acts, and a {} only reads", undo.call.target.method());
                self.findings.warning("undo-reads", &at.child("call"), message, "write the call that undoes the step");
            }
        }
        let method = step.call.target.method();
        // Asking somebody for a callback does nothing that is undone, whatever the method.
        if step.effect == Effect::None && !is_callback && !matches!(method, Method::Get | Method::Head | Method::Options) {
            let message =
                format!("a {method} seldom only reads: without a key and an undo, an effect it has is made twice, and stays");
            let help = "if it does read, all is well; else leave `effect` out, and say how it is undone";
            self.findings.warning("effect-none", &node.at.child("effect"), message, help);
        }
    }

    fn prove_compensation(&mut self, index: usize, node: &Node<'_>, step: &CallStep) {
        let at = node.at.child("compensate");
        let position_is_known = self.plan.order_is_known || self.plan.pivot().is_none();
        let name = node.id.as_ref().map_or_else(|| "this step".to_owned(), |id| quoted(id.as_str()));
        if self.must_be_undone(index, step.effect) && position_is_known && node.raw.compensate.is_none() {
            let help = match step.call.target.method() {
                _ if self.position(index) == Position::Pivot => {
                    "the pivot is not undone: write `compensate: none` if it may stay, or let another step be the pivot"
                }
                Method::Get | Method::Head | Method::Options => "if it only reads, write `effect: none`",
                _ => "write the call that undoes it, or `compensate: none` if nothing has to be undone",
            };
            let place = self.findings.place(&node.at.child("id"));
            let message = match self.position(index) {
                Position::Pivot => format!("{name} may fail after it was carried out, and nothing says how it is undone"),
                Position::Before | Position::After => format!("{name} has an effect, and nothing says how it is undone"),
            };
            self.findings.prove(Diagnostic::error("missing-compensate", place, message).with_help(help));
        }
        if step.compensate.is_none() {
            return;
        }
        let place = self.findings.key_place(&at);
        if step.effect == Effect::None {
            let message = format!("{name} only reads (`effect: none`): there is nothing to undo");
            self.findings.prove(Diagnostic::error("nothing-to-undo", place, message).with_help("leave `compensate` out"));
        } else if self.position(index) != Position::Before && position_is_known {
            let message = match self.position(index) {
                Position::Pivot => format!("{name} is the pivot: once it is done, the saga never turns back"),
                _ => format!("{name} comes after the pivot: the saga does not turn back any more"),
            };
            self.findings.prove(Diagnostic::error("never-undone", place, message).with_help("leave `compensate` out"));
        }
    }

    /// Whether what is done in doubt can be done.
    fn prove_doubt(&mut self, node: &Node<'_>, step: &CallStep) {
        let at = node.at.child("in_doubt");
        // What a step inherits is said at the step.
        let at = if step.in_doubt_is_own { at } else { node.at.child("id") };
        let inherited = if step.in_doubt_is_own { "" } else { " (from `defaults`)" };
        if step.effect == Effect::None && step.in_doubt_is_own {
            let message = "reading again does no harm, so nothing is in doubt";
            self.findings.refuse("nothing-in-doubt", &at, message, "leave `in_doubt` out");
            return;
        }
        let word = match step.in_doubt {
            InDoubt::Compensate => "compensate",
            InDoubt::Barrier => "barrier",
            InDoubt::Resend | InDoubt::Check(_) | InDoubt::Manual => return,
        };
        match &step.compensate {
            None => {
                let message = format!("`in_doubt: {word}`{inherited} undoes the step, and there is no undo");
                self.findings.refuse("blind-undo", &at, message, "write `compensate`, or `in_doubt: resend`");
            }
            Some(undo) if undo.frozen != Frozen::WithIntent => {
                let message =
                    format!("`in_doubt: {word}`{inherited} undoes the step without its answer, and the undo uses that answer");
                let undo = self.findings.key_place(&node.at.child("compensate"));
                let place = self.findings.place(&at);
                let help = "let the undo find the effect by `step` and `input` alone, or write `in_doubt: resend`";
                let diagnostic =
                    Diagnostic::error("blind-undo", place, message).with_label(undo, "it reads the step's own output");
                self.findings.prove(diagnostic.with_help(help));
            }
            Some(_) => {}
        }
        if node.raw.on_failure == Some(raw::OnFailure::Continue) {
            let message = format!("`in_doubt: {word}`{inherited} turns the saga back, and `on_failure: continue` goes on");
            self.findings.refuse("blind-undo", &at, message, "leave one of them out");
        }
        if matches!(step.in_doubt, InDoubt::Barrier) {
            self.prove_barrier(step, inherited, &at);
        }
    }

    /// The barrier is one Refrain, which sees the step and its undo.
    fn prove_barrier(&mut self, step: &CallStep, inherited: &str, at: &Pointer) {
        let forward = step.call.target.upstream();
        let undo = step.compensate.as_ref();
        if undo.is_some_and(|undo| undo.call.target.upstream() != forward) {
            let message =
                format!("`in_doubt: barrier`{inherited} asks the Refrain that saw the step, and the undo goes to another");
            self.findings.refuse("barrier", at, message, "name the same upstream in both calls, or write `in_doubt: check`");
        }
        let upstream = self.upstreams.and_then(|upstreams| upstreams.find(forward));
        if upstream.is_some_and(|upstream| !upstream.has_refrain) {
            let message =
                format!("`in_doubt: barrier`{inherited} needs a Refrain beside the service, and this upstream has none");
            self.findings.refuse(
                "barrier",
                at,
                message,
                "write `refrain: true` at the upstream if there is one, or `in_doubt: check`",
            );
        }
    }

    /// Whether a call can be sent again without a second effect.
    fn prove_resending(&mut self, call: &Call, effect: Effect, in_doubt: &InDoubt, sent: &Sent<'_>) {
        let Some(upstream) = self.upstreams.and_then(|upstreams| upstreams.find(call.target.upstream())) else { return };
        if effect != Effect::Once || !matches!(in_doubt, InDoubt::Resend) {
            return;
        }
        let at = sent.at.child(sent.key);
        let Some(window) = upstream.idempotency_window else {
            if !upstream.has_refrain {
                let message = "in doubt this is sent again, and nothing says that the service knows the key: it could act twice";
                let help = match sent.is_undo {
                    true => {
                        "write `idempotency_window` at the upstream if it knows keys, `effect: idempotent`, or `in_doubt: {check: …}`"
                    }
                    false => {
                        "write `idempotency_window` at the upstream if it knows keys, `effect: idempotent`, or another `in_doubt`"
                    }
                };
                self.findings.refuse("resend", &at, message, help);
            }
            return;
        };
        if let Some(within) = call.retry.within.filter(|within| *within > window) {
            let message = format!(
                "this is tried for {}, and the service forgets its key after {}: it is not sent again after that",
                shown(within),
                shown(window)
            );
            let place = if sent.has_own_budget { sent.at.child("retry").child("for") } else { at };
            self.findings.warning("window", &place, message, format!("write `retry: {{for: {}}}` or less", shown(window)));
        }
    }

    /// What must hold of the pivot, and of every other step with regard to it.
    pub(super) fn prove_the_pivot(&mut self) {
        self.prove_groups();
        let Some(pivot) = self.plan.pivot() else { return };
        let (node, at) = (&self.plan.nodes[pivot], self.plan.nodes[pivot].at.child("pivot"));
        for other in self.plan.nodes.iter().skip(pivot + 1).filter(|node| node.is_pivot()) {
            let place = self.findings.key_place(&other.at.child("pivot"));
            let diagnostic = Diagnostic::error("two-pivots", place, "a saga has one pivot: the last step that may fail");
            let first = self.findings.key_place(&at);
            self.findings.prove(diagnostic.with_label(first, "the first is here").with_help("leave one out"));
        }
        let mut refuse = |message: &str, help: &str| self.findings.refuse("pivot", &at, message, help);
        if let Some(held) = self.plan.nodes[pivot].held {
            match held.within {
                Within::Arm { .. } => refuse("a pivot that may not be chosen decides nothing", "put it into the saga's own list"),
                Within::Body(_) => refuse("a pivot is passed once, not for each item", "put it into the saga's own list"),
                Within::Sub(_) => {}
            }
        }
        if node.group.is_some() {
            refuse("what runs beside the pivot is neither before nor after it", "put the pivot after the group");
        }
        if node.raw.when.is_some() {
            refuse("a pivot that is skipped decides nothing", "leave `when` out");
        }
        if node.raw.on_failure == Some(raw::OnFailure::Continue) {
            refuse("a pivot whose failure changes nothing decides nothing", "leave `on_failure` out");
        }
        if !self.plan.order_is_known || node.held.is_some() {
            return;
        }
        // What stands in a switch or a loop is ordered as that is.
        for (index, other) in self.plan.nodes.iter().enumerate().filter(|(_, other)| other.held.is_none()) {
            let same_group = other.group.is_some() && other.group == node.group;
            if self.plan.are_ordered(index, pivot) || same_group {
                continue;
            }
            let name = |node: &Node<'_>| node.id.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            let (this, pivot) = (name(other), name(node));
            let place = self.findings.place(&other.at.child("id"));
            let message =
                format!("`{this}` is neither before nor after the pivot `{pivot}`: nobody could say whether it may still fail");
            let help = format!("write `needs: [{pivot}]` at `{this}`, or `{this}` in the `needs` of `{pivot}`");
            self.findings.prove(Diagnostic::error("unordered", place, message).with_help(help));
        }
    }

    /// What a group's entry says is said of nobody.
    fn prove_groups(&mut self) {
        for group in &self.plan.groups {
            self.kind(group.entry, &group.at);
        }
    }

    /// What may take longer than the saga has.
    pub(super) fn compare_with_deadline(&mut self, deadline: Option<Duration>, steps: &[Option<Step>]) {
        let Some(deadline) = deadline else { return };
        for (node, step) in self.plan.nodes.iter().zip(steps) {
            let Some(Step { action, position, .. }) = step else { continue };
            // After the pivot the deadline is void.
            if *position == Position::After {
                continue;
            }
            match action {
                Action::Call(call) => self.compare_call_with_deadline(deadline, node, call),
                Action::Wait(time) if *time >= deadline => {
                    let message = format!("this waits {}, and the saga turns back after {}", shown(*time), shown(deadline));
                    let help = format!("write less than {}, or a later `deadline`", shown(deadline));
                    self.findings.refuse("timer", &node.at.child("wait").child("for"), message, help);
                }
                Action::Wait(_)
                | Action::Set(_)
                | Action::Switch(_)
                | Action::Foreach(_)
                | Action::Enter(_)
                | Action::Leave(_) => {}
            }
        }
    }

    fn compare_call_with_deadline(&mut self, deadline: Duration, node: &Node<'_>, step: &CallStep) {
        let help = format!("write less than {}, or a later `deadline`", shown(deadline));
        let (at, is_written) = match &node.raw.wait {
            Some(wait) => {
                let is_written = wait.callback.as_ref().is_some_and(|send| send.timeout.is_some());
                (node.at.child("wait").child("callback").child("timeout"), is_written)
            }
            None => (node.at.child("timeout"), node.raw.timeout.is_some()),
        };
        if step.call.timeout > deadline && is_written {
            let message = format!("one attempt may take {}, longer than the saga's deadline", shown(step.call.timeout));
            self.findings.warning("timeout", &at, message, help.clone());
        }
        let (within, at) = match &step.later {
            Some(Later::Poll(poll)) => (poll.within, node.at.child("accept").child("poll").child("for")),
            Some(Later::Callback(callback)) => (callback.within, node.at.child("wait").child("for")),
            None => return,
        };
        if within > deadline {
            let message = format!("this may wait {}, longer than the saga's deadline: that comes first", shown(within));
            self.findings.warning("timeout", &at, message, help);
        }
    }
}
