//! What is rendered: requests, outputs, answers. Rendering again gives the same bytes: an expression sees the saga's inputs and the
//! outputs of the steps that its own step waits for, and those do not change once it has begun.

use std::fmt::Write as _;

use saga_config::{
    expr::Bindings,
    saga::{Call, Check, Later, Poll, Saga},
    template::{CallTarget, Target, Template, ValueTemplate},
};
use serde_json::{Map, Value};

use super::{
    entry::{Direction, FrozenRequest, HeaderPart},
    state::{State, call_step},
    turn::Upstreams,
};
use crate::{ids::SagaId, time::Timestamp};

mod answer;
mod names;
mod secrets;

pub(super) use answer::{Rendered, compensated, completed, quarantined};
pub(super) use secrets::body_holds_secrets;

/// The largest output of a step, and the largest frozen request, in bytes of JSON: together with what is around them they stay below
/// [`crate::store::journal::MAX_ENTRY_BYTES`].
pub(super) const MAX_KEPT_BYTES: usize = 1024 * 1024 + 512 * 1024;

/// What expressions are evaluated with.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) id: SagaId,
    pub(super) definition: &'a Saga,
    pub(super) state: &'a State,
}

/// Which steps' outputs can be read. The numbers are instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that the step waits for.
    Before(usize),
    /// Those, and its own.
    BeforeAndOwn(usize),
    /// All.
    All,
}

impl Reach {
    const fn instance(self) -> Option<usize> {
        match self {
            Self::Before(i) | Self::BeforeAndOwn(i) => Some(i),
            Self::All => None,
        }
    }
}

/// What stands for `step`.
pub(super) struct StepName<'a> {
    pub(super) key: &'a str,
    /// In headers only.
    pub(super) attempt: Option<u32>,
}

/// Why something cannot be rendered. Names expressions and types, never values.
pub(super) type Fault = String;

impl<'a> Scope<'a> {
    /// Where a step is called back, if it is.
    fn callback_url(self, i: usize) -> Option<String> {
        let call = call_step(self.state.instances.step(self.definition, i))?;
        let Some(Later::Callback(_)) = call.later else { return None };
        let callbacks = self.state.started.callbacks.as_ref()?;
        Some(callbacks.url(self.id, self.state.instances.path(i).as_str(), self.state.steps[i].call.generation))
    }

    /// A request. `attempt` is there for headers only.
    pub(super) fn request(
        self,
        call: &Call,
        reach: Reach,
        key: &str,
        attempt: Option<u32>,
        upstreams: &dyn Upstreams,
    ) -> Result<FrozenRequest, Fault> {
        let name = StepName { key, attempt: None };
        let known = self.calling(reach, &name);
        let (upstream, method, target) = target(&call.target, &known.bindings(), upstreams)?;
        let Headers { plain, secret } = match call.headers.is_empty() {
            true => Headers::default(),
            false => headers(&call.headers, &self.calling(reach, &StepName { key, attempt }).bindings())?,
        };
        let body = call.body.as_ref().map(|body| secrets::body(body, known.bindings(), upstreams)).transpose()?;
        Ok(FrozenRequest { upstream, method, target, headers: plain, secret_headers: secret, body })
    }

    /// A poll's request. `accepted`: the answer that accepted the step.
    pub(super) fn poll(
        self,
        poll: &Poll,
        reach: Reach,
        key: &str,
        accepted: &Value,
        upstreams: &dyn Upstreams,
    ) -> Result<FrozenRequest, Fault> {
        let name = StepName { key, attempt: None };
        let known = self.calling(reach, &name);
        let known = known.bindings().with("response", accepted);
        let (upstream, method, target) = target(&poll.target, &known, upstreams)?;
        let Headers { plain, secret } = headers(&poll.headers, &known)?;
        Ok(FrozenRequest { upstream, method, target, headers: plain, secret_headers: secret, body: None })
    }

    /// A probe's request.
    pub(super) fn probe(self, check: &Check, reach: Reach, key: &str, upstreams: &dyn Upstreams) -> Result<FrozenRequest, Fault> {
        let name = StepName { key, attempt: None };
        let known = self.calling(reach, &name);
        let known = known.bindings();
        let (upstream, method, target) = target(&check.target, &known, upstreams)?;
        let Headers { plain, secret } = headers(&check.headers, &known)?;
        Ok(FrozenRequest { upstream, method, target, headers: plain, secret_headers: secret, body: None })
    }
}

/// What the keys of all calls of a saga begin with.
pub(super) fn key_prefix(id: SagaId, incarnation: &str) -> String {
    let incarnation: String = incarnation.chars().take(16).collect();
    format!("{id}-{incarnation}-")
}

/// The key of a call (invariant 3).
pub(super) fn key(prefix: &str, step: &str, direction: Direction, generation: u32) -> String {
    let direction = match direction {
        Direction::Forward => "-do-",
        Direction::Undo => "-undo-",
    };
    let mut key = String::with_capacity(prefix.len() + step.len() + direction.len() + 2);
    for part in [prefix, step, direction] {
        key.push_str(part);
    }
    match generation {
        1 => key.push('1'),
        // Writing to a string does not fail.
        more => drop(write!(key, "{more}")),
    }
    key
}

/// Values for names, those that have one, and why the others have none.
pub(super) fn values<'n>(
    templates: impl IntoIterator<Item = (&'n str, &'n ValueTemplate)>,
    known: &Bindings<'_>,
) -> (Map<String, Value>, Option<Fault>) {
    let mut values = Map::new();
    let mut fault = None;
    for (name, template) in templates {
        match template.render(known) {
            Ok(value) => {
                values.insert(name.to_owned(), value);
            }
            Err(error) => fault = fault.or_else(|| Some(format!("output `{name}`: {error}"))),
        }
    }
    (values, fault)
}

/// How many bytes of JSON a value is.
pub(super) fn size<T: serde::Serialize>(value: &T) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

fn target(
    target: &CallTarget,
    known: &Bindings<'_>,
    upstreams: &dyn Upstreams,
) -> Result<(Option<String>, String, String), Fault> {
    let upstream = target.upstream().map(|name| name.as_str());
    let path = match target.target() {
        Target::Path(path) => path.render(known),
        Target::Reference(reference) => {
            let origins = upstreams.origins(upstream);
            reference.render(known, &origins.iter().map(String::as_str).collect::<Vec<_>>())
        }
    };
    let path = path.map_err(|error| format!("the path: {error}"))?;
    Ok((upstream.map(str::to_owned), target.method().as_str().to_owned(), path))
}

/// Headers, as far as they can be rendered.
#[derive(Default)]
struct Headers {
    plain: Vec<(String, String)>,
    /// Those that a secret has to be put into.
    secret: Vec<(String, Vec<HeaderPart>)>,
}

fn headers(templates: &[(http::HeaderName, Template)], known: &Bindings<'_>) -> Result<Headers, Fault> {
    let mut headers = Headers::default();
    for (name, template) in templates {
        let fault = |error| format!("the header `{name}`: {error}");
        if template.has_secrets() {
            let parts = template.render_header_parts(known).map_err(fault)?;
            headers.secret.push((name.as_str().to_owned(), parts.into_iter().map(HeaderPart::from).collect()));
        } else {
            let value = template.render_header(known).map_err(fault)?;
            headers.plain.push((name.as_str().to_owned(), value));
        }
    }
    Ok(headers)
}

/// A point in time as RFC 3339 writes it, in UTC and with milliseconds.
fn rfc3339(at: Timestamp) -> String {
    let (ms, seconds) = (at.as_unix_ms() % 1000, at.as_unix_ms() / 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let mut text = String::with_capacity(24);
    // Writing to a string does not fail.
    let _ =
        write!(text, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", second / 3600, second / 60 % 60, second % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_written_as_rfc_3339_has_it() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix_ms(ms)), text);
        }
        assert!(!rfc3339(Timestamp::from_unix_ms(u64::MAX)).is_empty());
    }

    #[test]
    fn a_key_names_all_that_makes_a_call_the_same_call() {
        let id = SagaId::from_bytes([7; 16]);
        let incarnation = "00112233445566778899aabbccddeeff";
        assert_eq!(
            key(&key_prefix(id, incarnation), "create_order", Direction::Undo, 2),
            "07070707070707070707070707070707-0011223344556677-create_order-undo-2"
        );
    }
}
