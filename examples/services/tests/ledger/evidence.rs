//! Whether sagas have ended, and what is kept of those that have not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use shop::client::{Edge, Intent};
use shop::tour::State;
use tokio::time::{Instant, interval};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How many sagas of a kind are kept.
const MAX_KEPT: usize = 50;

/// Waits until no sidecar has a saga under way. One that waits for an operator is as wrong as one that does not end.
pub(crate) async fn settled(state: &State, limit: Duration, folder: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let open = open(state, "running,compensating").await;
        let stuck = open_count(&self::open(state, "quarantined").await);
        match open {
            Ok(sagas) if sagas.is_empty() && stuck == 0 => return Ok(()),
            Ok(sagas) if sagas.is_empty() => break,
            _ if begun.elapsed() > limit => break,
            _ => {}
        }
    }
    let open = open(state, "running,compensating,quarantined").await?;
    let mut lines = String::new();
    for (admin, sagas) in open {
        for id in sagas.iter().take(MAX_KEPT) {
            lines += &kept(&admin, id, folder).await;
        }
    }
    Err(format!("sagas have not ended within {:.0?}:\n{lines}", begun.elapsed()))
}

/// Keeps the journals of all sagas that `wrong` names, if any sidecar has them.
pub(crate) async fn keep(state: &State, wrong: &str, folder: &Path) {
    let words = wrong.split(|letter: char| !letter.is_ascii_hexdigit()).filter(|word| word.len() == 32);
    for id in words.collect::<BTreeSet<_>>().into_iter().take(MAX_KEPT) {
        for sidecar in state.services.iter().filter_map(|service| service.sidecars.first()) {
            eprint!("{}", kept(&sidecar.admin, id, folder).await);
        }
    }
}

/// The ids of sagas by the admin side of the first sidecar that knows them.
async fn open(state: &State, states: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut open = BTreeMap::new();
    // Replicas share a store, so that one of them tells for all.
    for sidecar in state.services.iter().filter_map(|service| service.sidecars.first()) {
        let page = look(&sidecar.admin, &format!("/sagas?state={states}")).await?;
        let sagas = page["sagas"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = sagas.iter().filter_map(|saga| Some(saga["id"].as_str()?.to_owned())).collect();
        if !ids.is_empty() {
            open.insert(sidecar.admin.clone(), ids);
        }
    }
    Ok(open)
}

fn open_count(open: &Result<BTreeMap<String, Vec<String>>, String>) -> usize {
    open.as_ref().map_or(0, |open| open.values().map(Vec::len).sum())
}

/// Writes a saga down, and tells it on a line.
async fn kept(admin: &str, id: &str, folder: &Path) -> String {
    let Ok(shown) = look(admin, &format!("/sagas/{id}")).await else { return String::new() };
    let file = folder.join(format!("saga-{id}.json"));
    let written = std::fs::write(&file, format!("{shown:#}"));
    let said = written.map_or_else(|error| error.to_string(), |()| file.display().to_string());
    format!("  saga {} {id} is {} ({}): {said}\n", shown["saga"], shown["state"], shown["reason"])
}

async fn look(admin: &str, path: &str) -> Result<Value, String> {
    let edge = Edge::at(admin).map_err(|error| error.to_string())?;
    let answer = edge.send(&Intent::look(path)).await.map_err(|error| error.to_string())?;
    answer.expect(200).map_err(|error| error.to_string())
}
