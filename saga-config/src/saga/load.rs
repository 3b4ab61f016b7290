//! From a file, or from the store, to a [`Saga`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Saga, build, canonical,
    findings::Findings,
    link::{self, Unit},
    raw::{Raw, formats},
};
use crate::{
    diagnostic::{Diagnostic, Source, has_errors, sort},
    expr::on_a_large_stack,
    names::{SagaName, UpstreamName},
    schema::{check_with, read_partly},
    yaml::Document,
};

/// What a saga's file is held against: the upstreams that its calls name, and the secrets.
pub trait UpstreamFacts: Sync {
    /// What is known of an upstream; `None` stands for the local one.
    fn find(&self, name: Option<&UpstreamName>) -> Option<UpstreamFact>;

    /// The names there are.
    fn names(&self) -> Vec<String>;

    /// The names of the secrets there are; `None`: that is not known.
    fn secrets(&self) -> Option<Vec<String>> {
        None
    }
}

/// What is known of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamFact {
    /// Whether a Refrain stands before it: it is the local one, or has `refrain: true`.
    pub has_refrain: bool,
    /// How long it remembers keys by itself, if that is known.
    pub idempotency_window: Option<Duration>,
    /// How long a request may still act after it was sent.
    pub max_execution: Duration,
    /// Whether there are credentials for it (`auth: service`).
    pub has_credentials: bool,
}

/// A saga, and what is allowed in its file and probably not meant.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The saga.
    pub saga: Saga,
    /// In the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Why a stored definition cannot be read: it is not one, or was written by a later version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored definition cannot be used: {0}")]
pub struct StoredError(String);

/// The canonical form.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub(super) format: u32,
    pub(super) definition: Raw,
    /// The sagas that it runs, and those that they run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sagas: BTreeMap<SagaName, Raw>,
}

impl Saga {
    /// Reads a file of a saga that runs no other, and proves what it says. Without `upstreams`, nothing is said of the services that it
    /// names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong and everything that is probably not meant, in the order of the file.
    pub fn load(source: &Arc<Source>, upstreams: Option<&dyn UpstreamFacts>) -> Result<Loaded, Vec<Diagnostic>> {
        Self::load_all(std::slice::from_ref(source), upstreams).pop().unwrap_or_else(|| Err(Vec::new()))
    }

    /// Reads files of sagas that may run each other, as [`Saga::load`] does one. What comes of each is in the order of `sources`.
    ///
    /// ```
    /// use saga_config::{diagnostic::Source, saga::Saga};
    ///
    /// let trip = Source::new("trip.yaml", r#"
    /// saga: trip
    /// version: 1
    /// trigger: {route: POST /trips/}
    /// input: {city: {from: "${request.body.city}"}}
    /// steps:
    ///   - {id: stay, saga: {name: hotel, input: {city: "${input.city}"}}}
    ///   - {id: told, set: {room: "${steps.stay.body.room}"}}
    /// "#);
    /// let hotel = Source::new("hotel.yaml", r#"
    /// saga: hotel
    /// version: 1
    /// trigger: {route: POST /stays/}
    /// input: {city: {from: "${request.body.city}", type: string}}
    /// steps:
    ///   - id: reserve
    ///     call: hotels POST /rooms/
    ///     body: {city: "${input.city}", reference: "${step.key}"}
    ///     output: {room: "${response.body.room}"}
    ///     compensate: {call: "hotels DELETE /rooms/${steps.reserve.room}", effect: idempotent}
    /// response:
    ///   completed: {body: {room: "${steps.reserve.room}"}}
    /// "#);
    /// let loaded = Saga::load_all(&[trip, hotel], None);
    /// let trip = &loaded[0].as_ref().expect("nothing is wrong with it").saga;
    /// let paths: Vec<&str> = trip.steps.iter().map(|step| step.id.as_str()).collect();
    /// // What follows the sub-saga waits for its end, which has its outputs.
    /// assert_eq!(paths, ["stay/(input)", "stay/reserve", "stay", "told"]);
    /// ```
    ///
    /// # Errors
    ///
    /// For each, as [`Saga::load`].
    pub fn load_all(sources: &[Arc<Source>], upstreams: Option<&dyn UpstreamFacts>) -> Vec<Result<Loaded, Vec<Diagnostic>>> {
        let here = || {
            let units = sources.iter().map(|source| read(source).map(|(raw, findings)| unit(raw, upstreams, findings)));
            finished(linked(units.collect()))
        };
        on_a_large_stack(here).unwrap_or_else(|_| here())
    }

    /// Reads back what [`Saga::canonical`] gave. It was accepted once, so it is not judged again, by the upstreams or by rules that came
    /// later: what is under way must be finished.
    ///
    /// # Errors
    ///
    /// [`StoredError`], if this is not a definition, or one that only a later version understands.
    pub fn from_canonical(json: &str) -> Result<Self, StoredError> {
        on_a_large_stack(|| Self::from_canonical_here(json)).unwrap_or_else(|_| Self::from_canonical_here(json))
    }

    fn from_canonical_here(json: &str) -> Result<Self, StoredError> {
        let stored: Stored = serde_json::from_str(json).map_err(|error| StoredError(error.to_string()))?;
        if stored.format != canonical::FORMAT {
            return Err(StoredError(format!("its format is {}, this version knows {}", stored.format, canonical::FORMAT)));
        }
        let raws = std::iter::once(stored.definition).chain(stored.sagas.into_values());
        let mut units: Vec<Unit> = raws.map(|raw| unit(raw, None, Findings::of_stored())).collect();
        link::link(&mut units, true);
        let saga = units.first_mut().and_then(|unit| unit.linked.take());
        let mistake = units.into_iter().rev().find_map(|unit| unit.findings.into_sorted().into_iter().next());
        match (saga, mistake) {
            (Some(saga), None) => Ok(canonical::with_text(saga, json)),
            (_, Some(mistake)) => Err(StoredError(mistake.to_string())),
            (None, None) => Err(StoredError("it is not whole".to_owned())),
        }
    }
}

type Read = Result<Unit, Vec<Diagnostic>>;

fn unit(raw: Raw, upstreams: Option<&dyn UpstreamFacts>, mut findings: Findings) -> Unit {
    let (built, subs) = build::saga(&raw, upstreams, &mut findings);
    let raw = match &built {
        Some(built) => canonical::filled(raw, built),
        None => raw,
    };
    Unit::new(raw, built, subs, findings)
}

/// All that could be read, with their sub-sagas in them.
fn linked(read: Vec<Read>) -> Vec<Read> {
    let are_all = read.iter().all(Result::is_ok);
    let mut units = Vec::new();
    let failed: Vec<Option<Vec<Diagnostic>>> = read
        .into_iter()
        .map(|read| match read {
            Ok(unit) => {
                units.push(unit);
                None
            }
            Err(found) => Some(found),
        })
        .collect();
    link::link(&mut units, are_all);
    let mut units = with_forms(units).into_iter();
    failed.into_iter().filter_map(|failed| failed.map_or_else(|| units.next().map(Ok), |found| Some(Err(found)))).collect()
}

/// Gives every saga its canonical form.
fn with_forms(mut units: Vec<Unit>) -> Vec<Unit> {
    for index in 0..units.len() {
        let Some(saga) = units[index].linked.take() else { continue };
        let used = units[index].uses.iter().map(|used| &units[*used].raw);
        let sagas = used.filter_map(|raw| Some((raw.saga.clone()?, raw.clone()))).collect();
        let definition = units[index].raw.clone();
        let unit = &mut units[index];
        unit.linked = canonical::text(definition, sagas, &mut unit.findings).map(|text| canonical::with_text(saga, &text));
    }
    units
}

fn finished(read: Vec<Read>) -> Vec<Result<Loaded, Vec<Diagnostic>>> {
    let finish = |unit: Unit| {
        let found = unit.findings.into_sorted();
        match unit.linked {
            Some(saga) if !has_errors(&found) => Ok(Loaded { saga, warnings: found }),
            _ => {
                debug_assert!(has_errors(&found), "what is not a saga has a mistake");
                Err(found)
            }
        }
    };
    read.into_iter().map(|read| read.and_then(finish)).collect()
}

/// The mirror of a file, and what is wrong with its form.
fn read(source: &Arc<Source>) -> Result<(Raw, Findings), Vec<Diagnostic>> {
    let (document, mut found) = Document::recover(source);
    let Some(document) = document else { return Err(found) };
    let schema = schemars::schema_for!(Raw);
    let mut mistakes = check_with(&document, &schema, &formats());
    // What is wrong as YAML would only be reported again.
    mistakes.retain(|mistake| found.iter().all(|known| known.place() != mistake.place()));
    found.extend(mistakes);
    sort(&mut found);
    let partly = read_partly::<Raw>(&document, Vec::new(), found)?;
    Ok((partly.value, Findings::of_file(document, partly.left_out, partly.found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::unsupported_keywords;

    #[test]
    fn the_check_understands_the_whole_schema() {
        assert_eq!(unsupported_keywords(&schemars::schema_for!(Raw), &formats()), [""; 0]);
    }
}
