//! What an answer means.

use saga_config::{
    expr::Bindings,
    saga::{Check, Outcome},
};
use serde_json::{Value, json};

use super::turn::Reply;

/// What an answer means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It was carried out.
    Done,
    /// It was carried out, if its status can be believed: the expression that should say so has no value.
    DoneButUnclear {
        /// Which expression, and why.
        fault: String,
    },
    /// A definite no.
    Refused {
        /// Why.
        reason: String,
        /// Whether the status alone says so.
        by_status: bool,
    },
    /// Not an answer yet.
    NotYet {
        /// Why.
        reason: String,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Judges an answer: `failure`, `pending` and `success` in this order, then the status. Where an expression has no value, the status
/// decides, and the reason says so: an answer is never taken for a yes because nobody could ask it.
pub(super) fn judge(outcome: &Outcome, reply: &Reply, known: &Bindings<'_>) -> Verdict {
    let status = reply.status;
    let mut faults = Vec::new();
    let mut says = |name: &str, expression: &Option<saga_config::expr::Expression>| {
        let verdict = expression.as_ref()?.eval_bool(known);
        verdict.inspect_err(|error| faults.push(format!("`outcome.{name}`: {error}"))).ok()
    };
    if says("failure", &outcome.failure) == Some(true) {
        return Verdict::Refused { reason: format!("answered {status}, a failure by its `outcome`"), by_status: false };
    }
    if says("pending", &outcome.pending) == Some(true) {
        return Verdict::NotYet { reason: format!("answered {status}, pending by its `outcome`") };
    }
    match says("success", &outcome.success) {
        Some(true) if faults.is_empty() => return Verdict::Done,
        Some(false) => {
            let reason = format!("answered {status}, no success by its `outcome`");
            return match status {
                100..=499 => Verdict::Refused { reason, by_status: false },
                _ => Verdict::Unknown { reason },
            };
        }
        _ => {}
    }
    by_status(reply, &faults)
}

/// The same where the definition does not say. `faults`: what its expressions met.
pub(super) fn by_status(reply: &Reply, faults: &[String]) -> Verdict {
    let status = reply.status;
    let reason = match faults {
        [] => format!("answered {status}"),
        faults => format!("answered {status}; {}", faults.join("; ")),
    };
    match status {
        200..=299 if faults.is_empty() => Verdict::Done,
        200..=299 => Verdict::DoneButUnclear { fault: reason },
        408 | 425 | 429 => Verdict::NotYet { reason },
        503 if reply.retry_after.is_some() => Verdict::NotYet { reason },
        300..=499 => Verdict::Refused { reason, by_status: true },
        _ => Verdict::Unknown { reason },
    }
}

/// What a probe's answer says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// It was carried out, and this counts as the answer.
    Done {
        /// As expressions see it.
        response: Value,
    },
    /// It was not, as far as the service knows now.
    NotDone,
    /// It does not say.
    CannotTell(String),
}

/// Judges a probe's answer. A service in trouble knows nothing, whatever it says.
pub(super) fn found(check: &Check, reply: &Reply, known: &Bindings<'_>) -> Found {
    if reply.status >= 500 || reply.status == 429 {
        return Found::CannotTell(format!("the probe was answered {}", reply.status));
    }
    match check.done.eval_bool(known) {
        Err(error) => Found::CannotTell(format!("`done`: {error}")),
        Ok(false) => Found::NotDone,
        Ok(true) => match &check.response {
            None => Found::Done { response: reply.response.clone() },
            Some(response) => match (response.status.render(known), response.body.render(known)) {
                (Ok(status), Ok(body)) => Found::Done { response: json!({"status": status, "headers": {}, "body": body}) },
                (Err(error), _) | (_, Err(error)) => Found::CannotTell(format!("the probe's `response`: {error}")),
            },
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use saga_config::expr::{Expression, Names};

    use super::*;

    fn reply(status: u16) -> Reply {
        let response = json!({"status": status, "headers": {}, "body": {"state": "DENIED"}});
        Reply { status, response, retry_after: None, only_send: false, remembered_for: None }
    }

    fn verdict(outcome: &Outcome, reply: &Reply) -> Verdict {
        judge(outcome, reply, &Bindings::new().with("response", &reply.response))
    }

    fn says(source: &str) -> Option<Expression> {
        Some(Expression::compile(source, &Names::new(&["response"])).unwrap())
    }

    fn kind(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Done => "done",
            Verdict::DoneButUnclear { .. } => "unclear",
            Verdict::Refused { .. } => "refused",
            Verdict::NotYet { .. } => "not yet",
            Verdict::Unknown { .. } => "unknown",
        }
    }

    #[test]
    fn without_an_outcome_the_status_decides() {
        for status in 0..700 {
            let expected = match status {
                200..=299 => "done",
                408 | 425 | 429 => "not yet",
                300..=499 => "refused",
                _ => "unknown",
            };
            assert_eq!(kind(&verdict(&Outcome::default(), &reply(status))), expected, "{status}");
        }
        let later = Reply { retry_after: Some(Duration::from_secs(1)), ..reply(503) };
        assert_eq!(kind(&verdict(&Outcome::default(), &later)), "not yet");
        let later = Reply { status: 502, ..later };
        assert_eq!(kind(&verdict(&Outcome::default(), &later)), "unknown");
    }

    #[test]
    fn failure_comes_before_pending_and_pending_before_success() {
        let all = Outcome { failure: says("true"), pending: says("true"), success: says("true") };
        assert_eq!(kind(&verdict(&all, &reply(200))), "refused");
        let two = Outcome { failure: says("false"), ..all };
        assert_eq!(kind(&verdict(&two, &reply(200))), "not yet");
        let one = Outcome { pending: None, ..two };
        assert_eq!(kind(&verdict(&one, &reply(500))), "done", "also against the status");
    }

    #[test]
    fn what_is_no_success_is_a_no_below_500_and_unknown_above() {
        let outcome = Outcome { success: says("false"), ..Outcome::default() };
        assert_eq!(kind(&verdict(&outcome, &reply(204))), "refused");
        assert_eq!(kind(&verdict(&outcome, &reply(404))), "refused");
        assert_eq!(kind(&verdict(&outcome, &reply(500))), "unknown");
    }

    #[test]
    fn an_expression_without_a_value_leaves_the_answer_to_its_status_and_says_so() {
        for outcome in [
            Outcome { failure: says("response.body.nothing == 1"), ..Outcome::default() },
            Outcome { failure: says("response.body.nothing == 1"), success: says("true"), ..Outcome::default() },
            Outcome { success: says("response.body.nothing == 1"), ..Outcome::default() },
        ] {
            let Verdict::DoneButUnclear { fault } = verdict(&outcome, &reply(200)) else { panic!("a yes that nobody gave") };
            assert!(fault.contains("`outcome.") && fault.contains("nothing") && !fault.contains("DENIED"), "{fault}");
            assert_eq!(kind(&verdict(&outcome, &reply(500))), "unknown");
        }
    }
}
