//! Requests that are passed through: Refrain beside plain proxies, with nothing between load and origin, and with the floor of a proxy.

use crate::contender::{Contender, Lineup};
use crate::error::Error;
use crate::load::Shape;
use crate::origin::Origin;
use crate::peers;
use crate::results::Results;
use crate::rounds::{self, Named};
use crate::settings::Settings;

/// Measures it and writes `pass.json`.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let mut results = Results::new("pass", settings);
    let origin = Origin::start(settings).await?;
    let mut lineup = Lineup::default();
    lineup.take(&mut results, direct(&origin));
    lineup.add(&mut results, "splice", peers::splice::start(settings, &origin).await);
    lineup.add(&mut results, "nginx", peers::nginx::start(settings, &origin).await);
    lineup.add(&mut results, "haproxy", peers::haproxy::start(settings, &origin).await);
    lineup.add(&mut results, "envoy", peers::envoy::start(settings, &origin).await);
    lineup.add(&mut results, "caddy", peers::caddy::start(settings, &origin).await);
    lineup.take(&mut results, peers::refrain::bare(settings, &origin).await?);
    lineup.take(&mut results, peers::refrain::configured(settings, &origin).await?);
    let mut loads = Vec::new();
    for connections in [1, 64, 256] {
        loads.push(Named::new(format!("POST, {connections}"), Shape::Post(1024), connections));
        loads.push(Named::new(format!("GET, {connections}"), Shape::Get, connections));
    }
    loads.push(Named::new("h2c POST, 64", Shape::H2cPost, 64));
    rounds::measure(settings, &mut results, &lineup, &loads).await?;
    lineup.stop().await;
    results.write(&settings.results)
}

/// Nothing between load and origin.
pub(crate) fn direct(origin: &Origin) -> Contender {
    Contender {
        name: "direct".to_owned(),
        versions: Vec::new(),
        processes: Vec::new(),
        store: None,
        address: origin.address,
        h2c: Some(origin.h2c),
        path: "/orders/".to_owned(),
    }
}
