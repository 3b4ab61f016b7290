//! What holds for steps that say nothing else.

use std::time::Duration;

use super::{
    OnExhausted, Retry,
    build::within,
    findings::Findings,
    limits,
    raw::{self, DefaultInDoubt},
};
use crate::{units::DurationText, yaml::Pointer};

/// What holds for steps that say nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) in_doubt: DefaultInDoubt,
    pub(super) undo_retry: Retry,
    pub(super) on_exhausted: OnExhausted,
}

/// Those that nobody wrote. They are written out in the canonical form, so that a stored definition does not change with them.
const DEFAULTS: Defaults = Defaults {
    timeout: Duration::from_secs(10),
    retry: Retry { max: Some(5), within: None, initial: Duration::from_millis(200), max_delay: Duration::from_secs(10) },
    in_doubt: DefaultInDoubt::Resend,
    undo_retry: Retry {
        max: None,
        within: Some(Duration::from_secs(24 * 60 * 60)),
        initial: Duration::from_secs(1),
        max_delay: Duration::from_secs(5 * 60),
    },
    on_exhausted: OnExhausted::Quarantine,
};

impl Defaults {
    pub(super) fn read(written: Option<&raw::Defaults>, at: &Pointer, findings: &mut Findings) -> Self {
        let Some(written) = written else { return DEFAULTS };
        let compensation = written.compensation.as_ref();
        let undo_at = at.child("compensation").child("retry");
        let undo_retry = compensation.and_then(|written| written.retry.as_ref());
        Self {
            timeout: timeout(written.timeout, DEFAULTS.timeout, &at.child("timeout"), findings),
            retry: retry(written.retry.as_ref(), DEFAULTS.retry, &at.child("retry"), findings),
            in_doubt: written.in_doubt.unwrap_or(DEFAULTS.in_doubt),
            undo_retry: retry(undo_retry, DEFAULTS.undo_retry, &undo_at, findings),
            on_exhausted: on_exhausted(compensation.and_then(|written| written.on_exhausted), DEFAULTS.on_exhausted),
        }
    }

    /// As they are written.
    pub(super) fn written(&self) -> raw::Defaults {
        let on_exhausted = match self.on_exhausted {
            OnExhausted::Quarantine => raw::OnExhausted::Quarantine,
            OnExhausted::Continue => raw::OnExhausted::Continue,
        };
        raw::Defaults {
            timeout: DurationText::new(self.timeout),
            retry: Some(written(self.retry)),
            in_doubt: Some(self.in_doubt),
            compensation: Some(raw::Compensation { retry: Some(written(self.undo_retry)), on_exhausted: Some(on_exhausted) }),
        }
    }
}

fn written(retry: Retry) -> raw::Retry {
    raw::Retry {
        max: retry.max,
        within: retry.within.and_then(DurationText::new),
        initial: DurationText::new(retry.initial),
        max_delay: DurationText::new(retry.max_delay),
    }
}

/// The time for one attempt.
pub(super) fn timeout(written: Option<DurationText>, default: Duration, at: &Pointer, findings: &mut Findings) -> Duration {
    written.and_then(|written| within(written, limits::TIMEOUT, at, findings)).unwrap_or(default)
}

/// What happens when an undo's budget is spent.
pub(super) fn on_exhausted(written: Option<raw::OnExhausted>, default: OnExhausted) -> OnExhausted {
    match written {
        Some(raw::OnExhausted::Quarantine) => OnExhausted::Quarantine,
        Some(raw::OnExhausted::Continue) => OnExhausted::Continue,
        None => default,
    }
}

/// A `max` or a `for` replaces both budgets of `default`; the delays are inherited one by one.
pub(super) fn retry(written: Option<&raw::Retry>, default: Retry, at: &Pointer, findings: &mut Findings) -> Retry {
    let Some(written) = written else { return default };
    let mut time = |written: Option<DurationText>, limit, key: &str| {
        written.and_then(|written| within(written, limit, &at.child(key), findings))
    };
    let budget = match (written.max, time(written.within, limits::SPAN, "for")) {
        (None, None) => (default.max, default.within),
        given => given,
    };
    let initial = time(written.initial, limits::DELAY, "initial").unwrap_or(default.initial);
    let max_delay = time(written.max_delay, limits::DELAY, "max_delay").unwrap_or(default.max_delay);
    let writes_delays = written.initial.is_some() || written.max_delay.is_some();
    if initial > max_delay && writes_delays {
        let shown = |time| DurationText::new(time).map_or_else(String::new, |time| time.to_string());
        let key = if written.initial.is_some() { "initial" } else { "max_delay" };
        let message = format!("`initial` ({}) is longer than `max_delay` ({})", shown(initial), shown(max_delay));
        findings.refuse(
            "delays",
            &at.child(key),
            message,
            "what one of them leaves out is inherited: write both, the shorter as `initial`",
        );
    }
    Retry { max: budget.0, within: budget.1, initial, max_delay }
}
