//! The presets: sets of choices, each of which the file can change.
//!
//! A preset names what belongs to an interface that clients know: keys, scope, statuses, retention. What is a matter of the deployment
//! (lease, sizes, what happens in doubt) is no preset's.

use std::time::Duration;

use http::{Method, StatusCode};
use saga_config::units::DurationText;

use crate::{
    config::raw::{
        idempotency::{Dedupe, Kept, Key, KeyFormat, OnInFlight, OnStoreLoss, Preset, Rules, Scope, ScopeWord, StatusSet},
        text::{Header, MethodName, Statuses},
    },
    headers::{IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY},
    idempotency::policy::{StatusPattern, StatusPolicy},
};

/// Every preset, made once.
#[derive(Debug)]
pub(in crate::config) struct Presets {
    ietf: Rules,
    stripe: Rules,
    idempot_js: Rules,
}

impl Presets {
    pub(in crate::config) fn new() -> Self {
        Self { ietf: ietf(), stripe: stripe(), idempot_js: idempot_js() }
    }

    pub(super) const fn get(&self, preset: Preset) -> &Rules {
        match preset {
            Preset::Ietf => &self.ietf,
            Preset::Stripe => &self.stripe,
            Preset::IdempotJs => &self.idempot_js,
        }
    }
}

fn ietf() -> Rules {
    let StatusPolicy { store, release } = StatusPolicy::default();
    let key = Key {
        headers: Some(vec![Header(IDEMPOTENCY_KEY), Header(X_IDEMPOTENCY_KEY)]),
        from: None,
        required: Some(false),
        strict: Some(false),
        min_length: Some(1),
        max_length: Some(255),
        format: Some(KeyFormat::Any),
        no_comma: Some(false),
    };
    Rules {
        methods: Some(vec![MethodName(Method::POST), MethodName(Method::PATCH)]),
        key: Some(key),
        scope: Some(Scope::Word(ScopeWord::Authorization)),
        dedupe: Some(Dedupe::Key),
        ttl: Some(DurationText::new(Duration::from_secs(24 * 60 * 60)).expect("a day can be written")),
        on_in_flight: Some(OnInFlight::Conflict),
        on_store_loss: Some(OnStoreLoss::Closed),
        store: Some(Kept { statuses: Some(sets(store)), release: Some(sets(release)) }),
        ..Rules::default()
    }
}

fn stripe() -> Rules {
    Rules { methods: Some(vec![MethodName(Method::POST)]), ..ietf() }
}

fn idempot_js() -> Rules {
    let ietf = ietf();
    let key = Key { required: Some(true), min_length: Some(21), no_comma: Some(true), ..ietf.key.unwrap_or_default() };
    Rules { key: Some(key), scope: Some(Scope::Word(ScopeWord::Global)), dedupe: Some(Dedupe::Payload), ..ietf }
}

fn sets(patterns: Vec<StatusPattern>) -> Vec<StatusSet> {
    let set = |pattern| match pattern {
        StatusPattern::Exactly(status) => StatusSet::One(StatusCode::as_u16(&status)),
        StatusPattern::Class(_) | StatusPattern::WithRetryAfter(_) => StatusSet::Some(Statuses(pattern)),
    };
    patterns.into_iter().map(set).collect()
}
