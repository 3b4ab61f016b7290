//! The rules of keys, fingerprints, methods and statuses.

use http::{HeaderName, Method, StatusCode, header::SET_COOKIE};

use super::{About, layers::Layers};
use crate::{
    config::{
        expressions::{self, expression, reads_no_claims},
        findings::Findings,
        raw::{
            idempotency::{self as raw, StatusSet},
            text::Header,
        },
    },
    idempotency::policy::{Dedupe, FingerprintRules, JsonBody, KeyForm, KeyFormat, KeyRules, StatusPattern, StatusPolicy},
};

/// `key`, choice by choice. `None`: reported.
pub(super) fn key(layers: &Layers<'_>, about: &About<'_>, findings: &mut Findings) -> Option<KeyRules> {
    let form = KeyForm::default();
    macro_rules! choice {
        ($name:ident) => {
            layers.find(&["key", stringify!($name)], |rules| rules.key.as_ref()?.$name.as_ref())
        };
    }
    let flag = |chosen: Option<super::Chosen<&bool>>| chosen.is_some_and(|chosen| *chosen.value);
    let headers = choice!(headers);
    let from = choice!(from);
    let (least, most) = (choice!(min_length), choice!(max_length));
    let lengths = [(&least, form.min_length), (&most, form.max_length)];
    let [min_length, max_length] =
        lengths.map(|(chosen, default)| chosen.as_ref().map_or(default, |chosen| usize::from(*chosen.value)));
    if min_length > max_length {
        let written = least.filter(|least| least.at.is_some()).or(most);
        let at = written.map_or_else(Default::default, |written| layers.place(&written, "key"));
        let message = format!("`min_length` ({min_length}) is more than `max_length` ({max_length}): no key could be right");
        findings.error("lengths-out-of-order", &at, message, "swap them, or change one");
    }
    if let Some(headers) = headers.as_ref().filter(|headers| headers.value.is_empty() && from.is_none()) {
        let at = layers.place(headers, "key");
        findings.error(
            "no-key",
            &at,
            "without a header and without `from` no request has a key",
            "name a header, or turn it `off`",
        );
    }
    let from = from.map(|from| {
        let at = layers.place(&from, "key");
        let text = from.value.as_str();
        let from_start = text.find("${").unwrap_or_default();
        let from = expression(text, &at, &expressions::names(&["claims", "request"]), findings)?;
        let whole = (&from, from_start..text.len());
        (about.has_claims || reads_no_claims(std::iter::once(whole), &at, findings)).then_some(from)
    });
    let from = match from {
        None => None,
        Some(sound) => Some(sound?),
    };
    Some(KeyRules {
        headers: headers.map(|headers| names(headers.value)).unwrap_or_default(),
        from,
        required: flag(choice!(required)),
        form: KeyForm {
            strict: flag(choice!(strict)),
            min_length,
            max_length,
            format: match choice!(format).map(|format| format.value) {
                Some(raw::KeyFormat::Any) | None => KeyFormat::Any,
                Some(raw::KeyFormat::Uuid) => KeyFormat::Uuid,
                Some(raw::KeyFormat::Regex(pattern)) => KeyFormat::Pattern(pattern.0.clone()),
            },
            no_comma: flag(choice!(no_comma)),
        },
    })
}

pub(super) fn methods(layers: &Layers<'_>, findings: &mut Findings) -> Vec<Method> {
    let Some(chosen) = layers.find(&["methods"], |rules| rules.methods.as_ref()) else { return Vec::new() };
    let at = layers.place(&chosen, "methods");
    for (index, method) in chosen.value.iter().enumerate() {
        if method.0 == Method::CONNECT {
            findings.error("method-not-protected", &at.child(index), "a tunnel (CONNECT) cannot be replayed", "leave it out");
        }
    }
    chosen.value.iter().map(|method| method.0.clone()).collect()
}

pub(super) fn fingerprint(layers: &Layers<'_>, findings: &mut Findings) -> FingerprintRules {
    macro_rules! choice {
        ($name:ident) => {
            layers.find(&["fingerprint", stringify!($name)], |rules| rules.fingerprint.as_ref()?.$name.as_ref())
        };
    }
    let json = match choice!(json).map(|json| json.value) {
        Some(raw::Json::Canonical) | None => JsonBody::Canonical,
        Some(raw::Json::Raw) => JsonBody::Raw,
    };
    let exclude = choice!(exclude);
    if let Some(exclude) = exclude.as_ref().filter(|exclude| json == JsonBody::Raw && !exclude.value.is_empty()) {
        let at = layers.place(exclude, "fingerprint");
        findings.error(
            "exclude-needs-canonical",
            &at,
            "nothing can be left out where every byte counts (`json: raw`)",
            "leave `exclude` out, or write `json: canonical`",
        );
    }
    FingerprintRules {
        json,
        exclude: exclude.map(|exclude| exclude.value.iter().map(|place| place.0.clone()).collect()).unwrap_or_default(),
        headers: choice!(headers).map(|headers| names(headers.value)).unwrap_or_default(),
    }
}

pub(super) fn dedupe(layers: &Layers<'_>) -> Dedupe {
    match layers.choose(&["dedupe"], |rules| rules.dedupe, raw::Dedupe::Key).value {
        raw::Dedupe::Key => Dedupe::Key,
        raw::Dedupe::Payload => Dedupe::Payload,
    }
}

pub(super) fn statuses(layers: &Layers<'_>, findings: &mut Findings) -> StatusPolicy {
    let default = StatusPolicy::default();
    let store = layers.find(&["store", "statuses"], |rules| rules.store.as_ref()?.statuses.as_ref());
    let release = layers.find(&["store", "release"], |rules| rules.store.as_ref()?.release.as_ref());
    let released = release.map_or(default.release, |release| patterns(release.value));
    let Some(store) = store else { return StatusPolicy { store: default.store, release: released } };
    let at = layers.place(&store, "store");
    let stored = patterns(store.value);
    for (index, pattern) in stored.iter().enumerate() {
        if !matches!(pattern, StatusPattern::Class(_)) && released.contains(pattern) {
            findings.warning(
                "status-in-both",
                &at.child(index),
                "this status is in `release` too, which is looked at first: it is never kept",
                "take it out of one of them",
            );
        }
    }
    StatusPolicy { store: stored, release: released }
}

pub(super) fn drop_headers(layers: &Layers<'_>) -> Vec<HeaderName> {
    let chosen = layers.find(&["drop_headers"], |rules| rules.drop_headers.as_ref());
    chosen.map_or_else(|| vec![SET_COOKIE], |chosen| names(chosen.value))
}

fn names(headers: &[Header]) -> Vec<HeaderName> {
    headers.iter().map(|header| header.0.clone()).collect()
}

fn patterns(sets: &[StatusSet]) -> Vec<StatusPattern> {
    let pattern = |set: &StatusSet| match set {
        // The schema bounds it; a status out of bounds has been reported.
        StatusSet::One(code) => StatusCode::from_u16(*code).ok().map(StatusPattern::Exactly),
        StatusSet::Some(pattern) => Some(pattern.0),
    };
    sets.iter().filter_map(pattern).collect()
}
