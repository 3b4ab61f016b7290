//! What is legal in a saga and seldom meant: what a careful reader would ask its author about.

use std::time::Duration;

use serde_json::Value;

use super::{
    Action, Call, CallStep, Effect, InDoubt, Later, OnFailure, Position, Retry, Step,
    build::Builder,
    proofs::shown,
    raw::{self, Compensate, Raw},
    unfold::Node,
};
use crate::{diagnostic::Diagnostic, expr::Expression, template::Method, yaml::Pointer};

/// After the pivot, and while undoing, what is tried for less than this gives up within one short outage.
const SHORT: Duration = Duration::from_secs(60);

/// Names of values that nobody wants to find in a store, and how they end.
const SECRETS: [&str; 9] =
    ["password", "passwd", "passphrase", "cvc", "cvv", "card_number", "api_key", "private_key", "access_token"];

impl Builder<'_, '_> {
    /// Warns of what is legal and unwise. `steps` are those of the plan.
    pub(super) fn look_for_the_unwise(&mut self, raw: &Raw, deadline: Option<Duration>, steps: &[Option<Step>]) {
        self.default_budgets(raw);
        for (index, step) in steps.iter().enumerate() {
            let node = &self.plan.nodes[index];
            let Some(step) = step.as_ref().filter(|_| node.is_whole) else { continue };
            if let Some(when) = &step.when {
                self.constant(&node.at.child("when"), when);
            }
            let Action::Call(call) = &step.action else { continue };
            self.forward(node, step, call, deadline);
            self.backward(node, call);
        }
        if !raw.sensitive.unwrap_or(false) {
            self.secrets_in_the_clear(raw, steps);
        }
        if steps.iter().all(Option::is_some) {
            self.unread_inputs(raw);
        }
    }

    /// What a step's call is given, and what it does with it.
    fn forward(&mut self, node: &Node<'_>, step: &Step, call: &CallStep, deadline: Option<Duration>) {
        let (at, raw) = (&node.at, node.raw);
        let (sent, own) = match raw.wait.as_ref().and_then(|wait| wait.callback.as_ref()) {
            Some(send) => (at.child("wait").child("callback"), (send.timeout, send.retry.as_ref(), send.body.is_some())),
            None => (at.clone(), (raw.timeout, raw.retry.as_ref(), raw.body.is_some())),
        };
        let (timeout, retry, has_body) = own;
        self.attempts(&call.call, timeout.is_some(), retry, &sent);
        let method = call.call.target.method();
        if matches!(method, Method::Get | Method::Head) && has_body {
            let message = format!("a {method} with a body means nothing to most services (RFC 9110, section 9.3.1)");
            self.findings.warning("body-unread", &sent.child("body"), message, "send it as a query, or with POST");
        }
        if step.position != Position::After {
            let tried = retry.and_then(|retry| retry.within).map(|within| within.get());
            self.compare_span(tried, deadline, "this is tried", &sent.child("retry").child("for"));
            let (waits, waits_at) = match &call.later {
                Some(Later::Poll(poll)) => (Some(poll.within), at.child("accept").child("poll").child("for")),
                Some(Later::Callback(callback)) => (Some(callback.within), at.child("wait").child("for")),
                None => (None, at.clone()),
            };
            self.compare_span(waits, deadline, "the end is waited for", &waits_at);
        }
        let tried = longest(&call.call.retry, Duration::ZERO);
        if step.position == Position::After && step.on_failure == OnFailure::Compensate && tried < SHORT {
            let message = format!(
                "after the pivot nothing is undone: this is tried for about {}, and then the saga waits for an operator",
                shown(rounded(tried))
            );
            let place = if retry.is_some() { sent.child("retry") } else { at.child("id") };
            self.findings.warning("short-budget", &place, message, "write `retry: {for: 24h}`, or `on_failure: continue`");
        }
        let is_single = retry.is_some_and(|retry| retry.max == Some(1));
        if is_single && call.effect != Effect::None && matches!(raw.in_doubt, Some(raw::InDoubt::Resend)) {
            let message = "with one start nothing is sent again to go on: one lost answer turns the saga back";
            let help = "write `max: 2` or more, or leave `in_doubt` out";
            self.findings.warning("single-start", &sent.child("retry").child("max"), message, help);
        }
        self.verdicts(&call.call, &sent);
        if let InDoubt::Check(check) = &call.in_doubt {
            self.blind(&at.child("in_doubt").child("check").child("done"), &check.done, "response");
        }
    }

    fn compare_span(&mut self, span: Option<Duration>, deadline: Option<Duration>, what: &str, at: &Pointer) {
        let (Some(span), Some(deadline)) = (span, deadline) else { return };
        if span > deadline {
            let message = format!("{what} for {}, and the saga turns back after {}", shown(span), shown(deadline));
            let help = format!("write {} or less, or a later `deadline`", shown(deadline));
            self.findings.warning("beyond-deadline", at, message, help);
        }
    }

    /// How a step is undone.
    fn backward(&mut self, node: &Node<'_>, call: &CallStep) {
        let (Some(undo), Some(Compensate::Call(raw))) = (&call.compensate, &node.raw.compensate) else { return };
        let at = node.at.child("compensate");
        self.attempts(&undo.call, raw.timeout.is_some(), raw.retry.as_ref(), &at);
        self.verdicts(&undo.call, &at);
        if let InDoubt::Check(check) = &undo.in_doubt {
            self.blind(&at.child("in_doubt").child("check").child("done"), &check.done, "response");
        }
        let tried = longest(&undo.call.retry, Duration::ZERO);
        if raw.on_exhausted == Some(raw::OnExhausted::Continue) && tried < SHORT {
            self.gives_up(&at.child("on_exhausted"), tried);
        }
        let is_same =
            node.raw.call == raw.call && node.raw.body == raw.body && node.raw.headers.is_none() && raw.headers.is_none();
        if is_same && raw.call.is_some() {
            let message = "this is the step's own request again: it does not undo it";
            self.findings.warning("undo-repeats", &at.child("call"), message, "write the request that takes it back");
        }
    }

    fn gives_up(&mut self, at: &Pointer, tried: Duration) {
        let message = format!(
            "after about {} without an answer the undo counts as made: what the step did may stay, and nobody is told",
            shown(rounded(tried))
        );
        self.findings.warning("gives-up", at, message, "try for longer, such as `retry: {for: 24h}`, or write `quarantine`");
    }

    /// What `defaults` say holds for all steps, and is said once.
    fn default_budgets(&mut self, raw: &Raw) {
        let Some(written) = &raw.defaults else { return };
        let at = Pointer::root().child("defaults");
        let defaults = self.defaults;
        if written.timeout.is_some() || written.retry.as_ref().is_some_and(|retry| retry.within.is_some()) {
            self.longer_than_budget(defaults.timeout, &defaults.retry, written.timeout.is_some(), &at);
        }
        let undo = written.compensation.as_ref();
        let at = at.child("compensation");
        let tried = longest(&defaults.undo_retry, Duration::ZERO);
        let gives_up = undo.is_some_and(|undo| undo.on_exhausted == Some(raw::OnExhausted::Continue));
        if gives_up && tried < SHORT {
            self.gives_up(&at.child("on_exhausted"), tried);
        }
    }

    /// One attempt, and all of them.
    fn attempts(&mut self, call: &Call, has_own_timeout: bool, own: Option<&raw::Retry>, at: &Pointer) {
        if has_own_timeout || own.is_some_and(|retry| retry.within.is_some()) {
            self.longer_than_budget(call.timeout, &call.retry, has_own_timeout, at);
        }
        let Some(upstream) = self.upstreams.and_then(|upstreams| upstreams.find(call.target.upstream())) else { return };
        if has_own_timeout && call.timeout > upstream.max_execution {
            let longest = shown(upstream.max_execution);
            let message = format!(
                "one attempt may take {}, and the upstream's `max_execution` says that a request acts for {longest} at most",
                shown(call.timeout)
            );
            let help = format!("write {longest} or less, or a longer `max_execution` at the upstream: undos wait for that long");
            self.findings.warning("timeout", &at.child("timeout"), message, help);
        }
    }

    fn longer_than_budget(&mut self, timeout: Duration, retry: &Retry, has_own_timeout: bool, at: &Pointer) {
        let Some(within) = retry.within.filter(|within| timeout > *within) else { return };
        let message = format!("one attempt may take {}, longer than all of them together ({})", shown(timeout), shown(within));
        let at = if has_own_timeout { at.child("timeout") } else { at.child("retry").child("for") };
        self.findings.warning("timeout", &at, message, "make `timeout` shorter than `retry.for`, or no second attempt is made");
    }

    /// What judges an answer without looking at it.
    fn verdicts(&mut self, call: &Call, at: &Pointer) {
        let outcome = &call.outcome;
        let written = [("failure", &outcome.failure), ("pending", &outcome.pending), ("success", &outcome.success)];
        for (key, expression) in written {
            if let Some(expression) = expression {
                self.blind(&at.child("outcome").child(key), expression, "response");
            }
        }
    }

    fn blind(&mut self, at: &Pointer, expression: &Expression, name: &str) {
        if !expression.touches(&[name]) {
            let message = format!("this does not look at `{name}`: it says the same of every answer");
            self.findings.warning("blind-verdict", at, message, format!("ask for something of it, such as `{name}.status`"));
        }
    }

    /// What is decided before anything runs.
    fn constant(&mut self, at: &Pointer, expression: &Expression) {
        if expression.references().is_empty() {
            let message = "this reads nothing: it is the same for every saga";
            self.findings.warning("constant", at, message, "read an input or an output, or leave it out");
        }
    }

    /// What is journalled can be read by whoever reads the store.
    fn secrets_in_the_clear(&mut self, raw: &Raw, steps: &[Option<Step>]) {
        let root = Pointer::root().child("input");
        let inputs = raw.input.iter().flat_map(|input| &input.0).map(|(name, _)| (name.as_str(), root.child(name)));
        let mut named: Vec<(String, Pointer)> = inputs.map(|(name, at)| (name.to_owned(), at)).collect();
        for (node, step) in self.plan.nodes.iter().zip(steps) {
            let Some(Step { action: Action::Call(call), .. }) = step else { continue };
            let at = node.at.child("output");
            named.extend(call.output.iter().map(|(name, _)| (name.as_str().to_owned(), at.child(name.as_str()))));
        }
        for (name, at) in named.iter().filter(|(name, _)| is_secret(name)) {
            let message = format!("`{name}` is journalled, and by its name it is a secret");
            let help = "write `sensitive: true`, so that it is stored only where the store encrypts, or do not keep it";
            let place = self.findings.key_place(at);
            self.findings.prove(Diagnostic::warning("looks-secret", place, message).with_help(help));
        }
    }

    /// An input that nobody reads is evaluated, checked and journalled for its own sake.
    fn unread_inputs(&mut self, raw: &Raw) {
        let Some(inputs) = &raw.input else { return };
        let rest = Raw { input: None, ..raw.clone() };
        let Ok(rest) = serde_json::to_value(rest) else { return };
        let mut texts = Vec::new();
        collect(&rest, &mut texts);
        for (name, input) in &inputs.0 {
            // A check is a use: it refuses what must not start.
            if input.check.is_some() || texts.iter().any(|text| names(text, name)) {
                continue;
            }
            let at = Pointer::root().child("input").child(name);
            let place = self.findings.key_place(&at);
            let message = format!("nothing reads the input `{name}`");
            let warning = Diagnostic::warning("unread", place, message);
            self.findings.prove(warning.with_help("leave it out, or say what must hold of it with `check`"));
        }
    }
}

/// How long all attempts take at most: those of a `max` each as long as `timeout`, with the longest delays between them.
pub(super) fn longest(retry: &Retry, timeout: Duration) -> Duration {
    let by_starts = retry.max.map(|max| {
        let mut delay = retry.initial;
        let mut sum = timeout;
        // At most 1000, see `limits::STARTS`.
        for _ in 1..max {
            sum += delay + timeout;
            delay = (delay * 2).min(retry.max_delay);
        }
        sum
    });
    match (by_starts, retry.within) {
        (Some(starts), Some(within)) => starts.min(within),
        (Some(time), None) | (None, Some(time)) => time,
        (None, None) => Duration::MAX,
    }
}

/// To whole seconds, as "about" says.
fn rounded(time: Duration) -> Duration {
    if time < Duration::from_secs(1) { time } else { Duration::from_secs(time.as_secs()) }
}

fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.strip_suffix(secret).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

/// The texts of a value. As deep as a file nests at most.
fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(entries) => entries.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text with `${…}` may read this input: by its name, or by reading `input` as a whole.
fn names(text: &str, input: &str) -> bool {
    let mut rest = text;
    while let Some(found) = rest.find("input") {
        rest = &rest[found + "input".len()..];
        let path = rest.trim_start_matches(['?', '.', '[', '\'', '"', ' ']);
        let is_whole = path.len() == rest.len();
        let after = path.strip_prefix(input);
        if is_whole || after.is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')) {
            return true;
        }
    }
    false
}
