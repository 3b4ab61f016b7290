//! From a file, or from the store, to a [`Saga`].

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Saga, build, canonical,
    findings::Findings,
    raw::{Raw, formats},
    test::{self, Test},
    unsupported,
};
use crate::{
    diagnostic::{Diagnostic, Source, has_errors, sort},
    names::UpstreamName,
    schema::{blamed, check_with, read_partly},
    yaml::Document,
};

/// What a saga's file is held against: the upstreams that its calls name.
pub trait UpstreamFacts {
    /// What is known of an upstream; `None` stands for the local one.
    fn find(&self, name: Option<&UpstreamName>) -> Option<UpstreamFact>;

    /// The names there are.
    fn names(&self) -> Vec<String>;
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
    /// What its author says of services and endings, for simulating it.
    pub test: Option<Test>,
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
}

impl Saga {
    /// Reads a file, and proves what it says. Without `upstreams`, nothing is said of the services that it names.
    ///
    /// # Errors
    ///
    /// Everything that is wrong and everything that is probably not meant, in the order of the file.
    pub fn load(source: &Arc<Source>, upstreams: Option<&dyn UpstreamFacts>) -> Result<Loaded, Vec<Diagnostic>> {
        let (raw, mut findings) = read(source)?;
        let built = build::saga(&raw, upstreams, &mut findings);
        let test = built.as_ref().and_then(|built| test::test(raw.test.as_ref(), &built.saga, &mut findings));
        let saga = built.and_then(|built| canonical::finish(raw, built, &mut findings));
        let found = findings.into_sorted();
        match saga {
            Some(saga) if !has_errors(&found) => Ok(Loaded { saga, test, warnings: found }),
            _ => {
                debug_assert!(has_errors(&found), "what is not a saga has a mistake");
                Err(found)
            }
        }
    }

    /// Reads back what [`Saga::canonical`] gave. It was accepted once, so it is not judged again, by the upstreams or by rules that came
    /// later: what is under way must be finished.
    ///
    /// # Errors
    ///
    /// [`StoredError`], if this is not a definition, or one that only a later version understands.
    pub fn from_canonical(json: &str) -> Result<Self, StoredError> {
        let stored: Stored = serde_json::from_str(json).map_err(|error| StoredError(error.to_string()))?;
        if stored.format != canonical::FORMAT {
            return Err(StoredError(format!("its format is {}, this version knows {}", stored.format, canonical::FORMAT)));
        }
        let mut findings = Findings::of_stored();
        let built = build::saga(&stored.definition, None, &mut findings);
        match (built, findings.into_sorted().first()) {
            (Some(saga), None) => Ok(canonical::with_text(saga, json)),
            (_, Some(mistake)) => Err(StoredError(mistake.to_string())),
            (None, None) => Err(StoredError("it is not whole".to_owned())),
        }
    }
}

/// The mirror of a file, and what is wrong with its form.
fn read(source: &Arc<Source>) -> Result<(Raw, Findings), Vec<Diagnostic>> {
    let (document, mut found) = Document::recover(source);
    let Some(document) = document else { return Err(found) };
    let left_out = unsupported::find(&document, &mut found);
    let schema = schemars::schema_for!(Raw);
    let is_left_out = |mistake: &Diagnostic| {
        let at = blamed(&document, mistake);
        at.is_some_and(|at| left_out.iter().any(|left_out| at.is_within(left_out)))
    };
    let mut mistakes = check_with(&document, &schema, &formats());
    // What is wrong as YAML, or known and not supported, would only be reported again.
    mistakes.retain(|mistake| found.iter().all(|known| known.place() != mistake.place()) && !is_left_out(mistake));
    found.extend(mistakes);
    sort(&mut found);
    let partly = read_partly::<Raw>(&document, left_out, found)?;
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
