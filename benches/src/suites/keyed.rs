//! Requests under a key: the first one, which is executed and recorded, and its replays. Refrain on each store, beside itself with
//! nothing protected, and beside others that do this.

use crate::contender::Lineup;
use crate::error::Error;
use crate::load::Shape;
use crate::origin::Origin;
use crate::peers;
use crate::peers::refrain::Store;
use crate::results::Results;
use crate::rounds::{self, Named};
use crate::settings::Settings;

/// Measures it and writes `keyed.json`.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let mut results = Results::new("keyed", settings);
    let origin = Origin::start(settings).await?;
    let mut lineup = Lineup::default();
    lineup.take(&mut results, peers::refrain::unprotected(settings, &origin).await?);
    for store in [Store::Memory, Store::Redis, Store::Embedded] {
        lineup.take(&mut results, peers::refrain::keyed(settings, &origin, store).await?);
    }
    lineup.add(&mut results, "idempotent-proxy", peers::idempotent_proxy::start(settings, &origin).await);
    lineup.add(&mut results, "idempot-js", peers::idempot_js::start(settings, &origin).await);
    let loads = [Named::new("first, 64", Shape::First, 64), Named::new("replay, 64", Shape::Same(crate::clock::nonce()), 64)];
    rounds::measure(settings, &mut results, &lineup, &loads).await?;
    // What the engine does alone, in the same minutes.
    lineup.0.retain(|contender| contender.name == Store::Embedded.name());
    let once = Settings { rounds: 1, ..settings.clone() };
    for round in 0..settings.rounds {
        for callers in [1, 64, 256] {
            if callers != 64 {
                let load = Named::new(format!("first, {callers}"), Shape::First, callers);
                rounds::measure(&once, &mut results, &lineup, &[load]).await?;
            }
            super::engine::redb(settings, &mut results, callers, round).await?;
        }
    }
    lineup.stop().await;
    results.write(&settings.results)
}
