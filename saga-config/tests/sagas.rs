//! Files of sagas: what is taken, and what users see for what is not.

use std::time::Duration;

use saga_config::{
    diagnostic::{Colour, Diagnostic, Source, render},
    names::UpstreamName,
    saga::{Loaded, Saga, UpstreamFact, UpstreamFacts},
};

/// Services as a small shop has them.
struct Shop;

impl UpstreamFacts for Shop {
    fn find(&self, name: Option<&UpstreamName>) -> Option<UpstreamFact> {
        let fact = UpstreamFact {
            has_refrain: false,
            idempotency_window: None,
            max_execution: Duration::from_secs(30),
            has_credentials: false,
        };
        Some(match name.map(UpstreamName::as_str) {
            None | Some("orders" | "billing" | "notifications") => UpstreamFact { has_refrain: true, ..fact },
            Some("psp") => {
                UpstreamFact { idempotency_window: Some(Duration::from_secs(24 * 3600)), has_credentials: true, ..fact }
            }
            Some("legacy") => fact,
            Some(_) => return None,
        })
    }

    fn names(&self) -> Vec<String> {
        ["orders", "billing", "notifications", "psp", "legacy"].map(str::to_owned).to_vec()
    }
}

fn load(name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    Saga::load(&Source::new(name, text), Some(&Shop))
}

fn loaded(name: &str, text: &str) -> Saga {
    match load(name, text) {
        Ok(loaded) => loaded.saga,
        Err(found) => panic!("{}", render(&found, Colour::Never)),
    }
}

#[test]
fn the_first_example_loads_word_for_word() {
    let saga = loaded("create-order.yaml", include_str!("valid/create-order.yaml"));
    assert_eq!(saga.steps.len(), 5);
    assert_eq!(Saga::from_canonical(&saga.canonical).map(|again| again.hash), Ok(saga.hash));
}
