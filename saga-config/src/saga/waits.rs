//! Waiting: for a time, for a callback, and for what was accepted.

use std::time::Duration;

use super::{
    Call, Callback, Later, Poll,
    build::{Builder, within},
    calls::auth,
    defaults::timeout,
    limits,
    proofs::shown,
    raw,
    scope::Steps,
    secrets::Secrets,
};
use crate::{expr::Expression, template::Method, units::DurationText, yaml::Pointer};

/// The status by which a service accepts, where nothing is written.
const ACCEPTED: u16 = 202;
/// The first delay between two polls, where nothing is written.
const EVERY: Duration = Duration::from_secs(2);
/// The longest delay between two polls, where nothing is written.
const MAX_EVERY: Duration = Duration::from_secs(60);

impl Builder<'_, '_> {
    /// How long a step waits. `None`: reported.
    pub(super) fn waiting_time(&mut self, written: Option<DurationText>, at: &Pointer) -> Option<Duration> {
        self.span(written, &at.child("for"))
    }

    /// What comes after the answer to the call of the step at `index` that waits for a callback. `None`: reported.
    pub(super) fn callback(&mut self, index: usize, wait: &raw::Wait, outcome: Option<&raw::Outcome>) -> Option<Later> {
        let at = self.plan.nodes[index].at.clone();
        let within = self.waiting_time(wait.within, &at.child("wait"));
        let at = at.child("outcome");
        for (key, is_written) in outcome.into_iter().flat_map(|outcome| outcome.judgements()) {
            if is_written && key != "failure" {
                let message = format!("`{key}` means nothing at a step that waits for a callback: what comes is the end");
                self.means_nothing(
                    &at.child(key),
                    message,
                    "write `failure`, or judge the answer to the call: `callback: {outcome: …}`",
                );
            }
        }
        let scope = self.request(Steps::Before(index)).called_back();
        let failure = self.maybe(outcome.and_then(|outcome| outcome.failure.as_ref()), &at.child("failure"), &scope);
        Some(Later::Callback(Callback { within: within?, failure: failure? }))
    }

    /// Nobody calls back who was not told where.
    pub(super) fn prove_that_it_says_where(&mut self, call: &Call, at: &Pointer) {
        if !call.expressions().any(|expression| expression.touches(&["callback", "url"])) {
            let message = "nobody is told where to call back";
            self.findings.refuse("no-callback-url", at, message, "send it: `body: {url: \"${callback.url}\"}`");
        }
    }

    /// How a service that accepted the request of the step at `index` is asked until it is done. `None`: reported.
    pub(super) fn accept(&mut self, index: usize, accept: &raw::Accept, outcome: Option<&raw::Outcome>) -> Option<Later> {
        let node = &self.plan.nodes[index];
        if outcome.is_some_and(|outcome| outcome.pending.is_some()) {
            let message = "`pending` means nothing beside `accept`: it is done when `until` says so";
            self.means_nothing(&node.at.child("outcome").child("pending"), message, "write it into `until`");
        }
        let at = node.at.child("accept").child("poll");
        let poll = self.poll(index, accept.status.unwrap_or(ACCEPTED), accept.poll.as_deref()?, &at)?;
        Some(Later::Poll(Box::new(poll)))
    }

    fn poll(&mut self, index: usize, status: u16, written: &raw::Poll, at: &Pointer) -> Option<Poll> {
        let scope = self.request(Steps::Before(index)).answer();
        let target = written.call.as_ref().and_then(|call| self.target(call, &at.child("call"), &scope));
        let of_headers = scope.clone().with_secrets(Secrets::InHeader);
        let headers = self.headers(written.headers.as_ref(), &at.child("headers"), &of_headers);
        let until = written.until.as_ref().and_then(|until| self.expression(until, &at.child("until"), &scope));
        let timeout = timeout(written.timeout, self.defaults.timeout, &at.child("timeout"), self.findings);
        let auth = auth(written.auth);
        self.compare_with_credentials(headers.as_deref().unwrap_or_default(), auth, &at.child("auth"));
        let (every, max_every) = self.delays(written, at);
        let within = self.waiting_time(written.within, at);
        let target = target?;
        if !matches!(target.method(), Method::Get | Method::Head) {
            let message = format!("a poll only asks, it does not act: {} could", target.method());
            self.findings.error("probe-acts", &at.child("call"), message, "use GET or HEAD");
        }
        self.know_upstream(&target, &at.child("call"));
        self.know_credentials(&target, auth, &at.child("auth"));
        let poll = Poll { status, target, headers: headers?, auth, timeout, every, max_every, until: until?, within: within? };
        self.prove_polls(&poll, written, at);
        Some(poll)
    }

    /// The first delay and the longest one.
    fn delays(&mut self, written: &raw::Poll, at: &Pointer) -> (Duration, Duration) {
        let mut time = |written: Option<DurationText>, key: &str| {
            written.and_then(|written| within(written, limits::DELAY, &at.child(key), self.findings))
        };
        match (time(written.every, "every"), time(written.max_every, "max_every")) {
            (None, None) => (EVERY, MAX_EVERY),
            (Some(every), None) => (every, MAX_EVERY.max(every)),
            (None, Some(max_every)) => (EVERY.min(max_every), max_every),
            (Some(every), Some(max_every)) => {
                if every > max_every {
                    let message = format!("`every` ({}) is longer than `max_every` ({})", shown(every), shown(max_every));
                    self.findings.refuse("delays", &at.child("every"), message, "write the shorter as `every`");
                }
                (every, max_every)
            }
        }
    }

    fn prove_polls(&mut self, poll: &Poll, written: &raw::Poll, at: &Pointer) {
        let polls = polls(poll.every, poll.max_every, poll.within);
        if polls > limits::POLLS {
            let message = format!("the service would be asked {polls} times; the limit is {}", limits::POLLS);
            let help = "write a longer `max_every`, or a shorter `for`";
            self.findings.refuse("too-many-polls", &at.child("for"), message, help);
        }
        if poll.every >= poll.within && written.every.is_some() {
            let message = format!("the first delay, {}, is all the time there is", shown(poll.every));
            let help = format!("write less than {} for `every`, or a longer `for`", shown(poll.within));
            self.findings.warning("never-asked", &at.child("every"), message, help);
        }
    }
}

/// How often a service is asked in a time, the delay doubling from `every` to `max_every`, if no delay is drawn below its bound.
fn polls(every: Duration, max_every: Duration, time: Duration) -> u64 {
    let (mut delay, mut left, mut polls) = (every.min(max_every), time, 0);
    // Doubles at most as often as the delay has bits.
    while delay < max_every {
        let Some(rest) = left.checked_sub(delay) else { return polls };
        left = rest;
        polls += 1;
        delay = delay.saturating_mul(2).min(max_every);
    }
    let rest = left.as_nanos() / max_every.as_nanos().max(1);
    polls.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX))
}

impl raw::Outcome {
    fn judgements(&self) -> [(&'static str, bool); 3] {
        [("failure", self.failure.is_some()), ("pending", self.pending.is_some()), ("success", self.success.is_some())]
    }
}

impl Call {
    /// Everything that is evaluated to make the request.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let target = self.target.template().expressions().map(|(expression, _)| expression);
        let headers = self.headers.iter().flat_map(|(_, header)| header.expressions().map(|(expression, _)| expression));
        target.chain(headers).chain(self.body.iter().flat_map(|body| body.expressions()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_asked_as_often_as_the_delays_fit_into_the_time() {
        let seconds = Duration::from_secs;
        assert_eq!(polls(seconds(2), seconds(60), seconds(1)), 0);
        // After 2, 6, 14, 30 and 62 seconds, then each minute.
        assert_eq!(polls(seconds(2), seconds(60), seconds(62)), 5);
        assert_eq!(polls(seconds(2), seconds(60), seconds(62 + 600)), 15);
        assert_eq!(polls(seconds(5), seconds(5), seconds(60)), 12);
        assert_eq!(polls(Duration::ZERO, Duration::ZERO, Duration::MAX), u64::MAX);
        assert_eq!(polls(Duration::from_millis(1), limits::DELAY, limits::SPAN), 740);
    }
}
