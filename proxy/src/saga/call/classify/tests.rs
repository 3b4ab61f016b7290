#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::{idempotency::marker::Dialect, problem::Problem, time::http_date};

const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

fn about(from_refrain: bool) -> About {
    About { from_refrain, is_undo: false, reads: Reads::ALL, now: NOW }
}

fn came(status: u16, lines: &[(&str, &str)], body: &str) -> Came {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    Came { status: StatusCode::from_u16(status).unwrap(), headers, body: BodyRead::Whole(Bytes::from(body.to_owned())) }
}

fn of_problem(problem: Problem) -> Came {
    let (parts, body) = problem.into_response(Dialect::Ietf).into_parts();
    Came { status: parts.status, headers: parts.headers, body: BodyRead::Whole(body) }
}

/// The kind of an answer, in a word.
fn word(answer: &Answer) -> String {
    match answer {
        Answer::Replied(reply) => format!("replied {}", reply.status),
        Answer::NotYet { reason, retry_after } => format!("not yet: {reason}, {retry_after:?}"),
        Answer::NotSent { .. } => "not sent".to_owned(),
        Answer::Unknown { reason } => format!("unknown: {reason}"),
        Answer::NotKept => "not kept".to_owned(),
        Answer::Sealed => "sealed".to_owned(),
        Answer::NothingToUndo => "nothing to undo".to_owned(),
        Answer::Untrusted => "untrusted".to_owned(),
        Answer::Wrong { reason } => format!("wrong: {reason}"),
    }
}

#[test]
fn every_problem_of_a_refrain_means_what_the_table_says() {
    let table: Vec<String> = ProblemName::ALL
        .into_iter()
        .map(|name| format!("{name}: {}", word(&answer(about(true), &of_problem(Problem::new(name, ""))))))
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_service_cannot_speak_as_a_refrain() {
    for name in ProblemName::ALL {
        let problem = of_problem(Problem::new(name, ""));
        let status = problem.status.as_u16();
        assert_eq!(word(&answer(about(false), &problem)), format!("replied {status}"), "{name}");
    }
    for said in ["pending", "outcome-unknown", "nothing-to-undo"] {
        let lines = [("idempotency-status", said), ("idempotency-attempt", "1"), ("idempotency-expires", FAR)];
        let Answer::Replied(reply) = answer(about(false), &came(204, &lines, "")) else { panic!("{said}") };
        assert!(!reply.only_send && reply.remembered_for.is_none());
    }
}

/// An hour after [`NOW`].
const FAR: &str = "Tue, 14 Nov 2023 23:13:20 GMT";

#[test]
fn what_was_carried_out_without_its_answer_is_done_only_if_the_service_said_so() {
    let kept =
        |status: u16| Problem::new(ProblemName::ResponseNotKept, "").original_status(StatusCode::from_u16(status).unwrap());
    let of = |status| word(&answer(about(true), &of_problem(kept(status))));
    assert_eq!(of(201), "not kept");
    assert_eq!(of(409), "replied 409", "a refusal stays one");
    assert_eq!(of(500), "replied 500");
    let mut cut = of_problem(kept(201));
    cut.body = BodyRead::TooMuch;
    assert!(matches!(answer(about(true), &cut), Answer::Wrong { .. }));
}

#[test]
fn a_problem_that_this_version_does_not_know_is_judged_by_its_status() {
    for (status, lines, expected) in [
        (409, &[][..], "wrong: a Refrain answered something-newer"),
        (200, &[], "wrong: a Refrain answered something-newer"),
        (429, &[], "not yet: something-newer, None"),
        (503, &[("retry-after", "7")], "not yet: something-newer, Some(7s)"),
        (503, &[], "unknown: something-newer"),
        (500, &[], "unknown: something-newer"),
    ] {
        let lines: Vec<_> = lines.iter().copied().chain([("refrain-problem", "something-newer")]).collect();
        assert_eq!(word(&answer(about(true), &came(status, &lines, ""))), expected);
    }
}

#[test]
fn a_refrains_pending_and_outcome_unknown_are_no_answers_but_a_services_own_failure_is() {
    let of = |status, said| word(&answer(about(true), &came(status, &[("idempotency-status", said), ("retry-after", "2")], "")));
    assert_eq!(of(202, "pending"), "not yet: pending, Some(2s)");
    assert_eq!(of(500, "pending"), "not yet: pending, Some(2s)");
    assert_eq!(of(202, "outcome-unknown"), "not yet: outcome-unknown, Some(2s)");
    assert_eq!(of(500, "outcome-unknown"), "replied 500");
    for said in ["executed", "replayed", "joined", "ignored", "unprotected", "something"] {
        assert_eq!(of(202, said), "replied 202");
    }
}

#[test]
fn only_an_undo_has_nothing_to_undo() {
    let empty = came(204, &[("idempotency-status", "nothing-to-undo")], "");
    assert_eq!(answer(About { is_undo: true, ..about(true) }, &empty), Answer::NothingToUndo);
    assert!(matches!(answer(about(true), &empty), Answer::Wrong { .. }));
    assert_eq!(word(&answer(About { is_undo: true, ..about(false) }, &empty)), "replied 204");
}

#[test]
fn what_a_service_says_is_its_answer_whatever_its_status() {
    for status in [200, 201, 204, 302, 400, 404, 408, 409, 425, 429, 500, 502, 503, 504] {
        for from_refrain in [true, false] {
            let replied = answer(about(from_refrain), &came(status, &[("content-type", "application/json")], r#"{"id": 1}"#));
            let Answer::Replied(reply) = replied else { panic!("{status}") };
            assert_eq!(reply.response["status"], status);
            assert_eq!(reply.response["body"]["id"], 1);
            assert_eq!(reply.response["headers"]["content-type"], "application/json");
        }
    }
}

#[test]
fn a_refrain_tells_whether_it_was_the_only_send_and_how_long_it_remembers() {
    let of = |lines: &[(&str, &str)]| match answer(about(true), &came(422, lines, "")) {
        Answer::Replied(reply) => (reply.only_send, reply.remembered_for),
        other => panic!("{other:?}"),
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(of(&[("idempotency-attempt", "1"), ("idempotency-expires", FAR)]), (true, Some(hour)));
    assert_eq!(of(&[("idempotency-attempt", "2")]), (false, None));
    assert_eq!(of(&[("idempotency-expires", "soon")]), (false, None));
    let an_hour_ago = "Tue, 14 Nov 2023 21:13:20 GMT";
    assert_eq!(of(&[("idempotency-expires", FAR), ("date", an_hour_ago)]), (false, Some(hour * 2)), "by its own clock");
    assert_eq!(of(&[("idempotency-expires", an_hour_ago)]), (false, Some(Duration::ZERO)));
}

#[test]
fn retry_after_is_seconds_or_a_date_and_has_a_bound() {
    let of = |said: &str| match answer(about(false), &came(503, &[("retry-after", said)], "")) {
        Answer::Replied(reply) => reply.retry_after,
        other => panic!("{other:?}"),
    };
    assert_eq!(of("0"), Some(Duration::ZERO));
    assert_eq!(of(" 120 "), Some(Duration::from_secs(120)));
    assert_eq!(of(FAR), Some(Duration::from_secs(3600)));
    assert_eq!(of("99999999999999999999999"), Some(LONGEST_RETRY_AFTER));
    for none in ["", "soon", "-1", "1.5", "+3"] {
        assert_eq!(of(none), None, "{none}");
    }
}

#[test]
fn an_answer_too_large_to_read_is_done_without_its_body_or_refused_without_its_body() {
    for body in [BodyRead::TooMuch, BodyRead::NoRoom] {
        let of = |status, from_refrain| word(&answer(about(from_refrain), &Came { body: body.clone(), ..came(status, &[], "") }));
        assert_eq!(of(200, false), "not kept");
        assert_eq!(of(404, false), "replied 404");
        assert_eq!(of(500, false), "replied 500");
        let replayable = matches!(body, BodyRead::NoRoom);
        assert_eq!(of(200, true).starts_with("not yet"), replayable, "a Refrain is asked again");
        assert_eq!(of(200, true) == "not kept", !replayable);
    }
}

#[test]
fn a_probe_tells_something_only_where_the_service_itself_can() {
    let of = |from_refrain, came: &Came| match finding(about(from_refrain), came) {
        Finding::Replied(reply) => format!("replied {}", reply.status),
        Finding::CannotTell { reason } => reason,
    };
    assert_eq!(of(false, &came(200, &[], "[]")), "replied 200");
    assert_eq!(of(false, &came(404, &[], "")), "replied 404");
    for status in [408, 425, 429, 500, 503] {
        assert_eq!(of(false, &came(status, &[], "")), format!("the service answered {status}"));
    }
    for name in ProblemName::ALL {
        assert_eq!(of(true, &of_problem(Problem::new(name, ""))), format!("a Refrain answered {name}"));
    }
    assert_eq!(of(false, &Came { body: BodyRead::TooMuch, ..came(200, &[], "") }), "its answer is too large");
}

proptest! {
    /// No answer that a Refrain did not give is anything but the service's own; no answer at all is "nothing was sent".
    #[test]
    fn whatever_comes_has_a_meaning(
        status in 100_u16..1000,
        problem in proptest::option::of("[ -~]{0,80}"),
        said in proptest::option::of("[ -~]{0,80}"),
        after in "[ -~]{0,40}",
        body in "\\PC{0,80}",
        from_refrain: bool,
        is_undo: bool,
    ) {
        let mut lines = vec![("retry-after", after.as_str()), ("content-type", "application/json")];
        lines.extend(problem.as_deref().map(|problem| ("refrain-problem", problem)));
        lines.extend(said.as_deref().map(|said| ("idempotency-status", said)));
        let came = came(status, &lines, &body);
        let answer = answer(About { from_refrain, is_undo, reads: Reads::ALL, now: NOW }, &came);
        prop_assert!(!matches!(answer, Answer::NotSent { .. }), "something came");
        if !from_refrain {
            prop_assert!(matches!(answer, Answer::Replied(reply) if reply.status == status));
        }
        finding(About { from_refrain, is_undo, reads: Reads::ALL, now: NOW }, &came);
    }

    #[test]
    fn dates_are_read_as_they_are_written(seconds in 0_u64..253_402_300_799) {
        let at = Timestamp::from_unix_ms(seconds * 1000);
        prop_assert_eq!(parse_http_date(http_date(at).to_str().unwrap()), Some(at));
    }
}
