//! How speed depends on size: on open connections, on what is stored, on how many sagas wait, on the length of bodies, on the number of
//! workers.

use std::time::Duration;

use crate::clock;
use crate::contender::{Contender, Lineup};
use crate::error::Error;
use crate::load::{Load, Shape};
use crate::origin::Origin;
use crate::peers;
use crate::peers::refrain::{self, Store};
use crate::results::{Measure, Results};
use crate::rounds::{sample, tell};
use crate::settings::Settings;

/// Rounds of every point, at most: there are many points.
const MAX_ROUNDS: usize = 2;

/// How long a store is filled at a time: wrk ends by time, not by count.
const SLICE: Duration = Duration::from_secs(5);

/// Connections that fill.
const FILLERS: usize = 256;

const PARKED: &str = include_str!("../../peers/refrain/parked.yaml");
const PARKED_SAGA: &str = include_str!("../../sagas/parked.yaml");
const PARK: &str = include_str!("../../load/park.lua");

/// Measures it and writes `curves.json`.
pub(crate) async fn run(settings: &Settings) -> Result<(), Error> {
    let settings = &Settings { rounds: settings.rounds.min(MAX_ROUNDS), ..settings.clone() };
    let mut results = Results::new("curves", settings);
    let origin = Origin::start(settings).await?;
    let curves = Curves { settings, origin: &origin };
    let mut lineup = curves.proxies(&mut results).await?;
    curves.connections(&mut results, &lineup).await?;
    curves.bodies(&mut results, &mut lineup).await?;
    lineup.stop().await;
    curves.workers(&mut results).await?;
    // What was measured so far is not lost if a store cannot be filled.
    results.write(&settings.results)?;
    for store in [Store::Memory, Store::Redis, Store::Embedded] {
        curves.stored_keys(&mut results, store).await?;
    }
    for store in [Store::Redis, Store::Embedded] {
        curves.parked_sagas(&mut results, store).await?;
    }
    results.write(&settings.results)
}

struct Curves<'a> {
    settings: &'a Settings,
    origin: &'a Origin,
}

impl Curves<'_> {
    async fn proxies(&self, results: &mut Results) -> Result<Lineup, Error> {
        let mut lineup = Lineup::default();
        lineup.add(results, "nginx", peers::nginx::start(self.settings, self.origin).await);
        lineup.add(results, "haproxy", peers::haproxy::start(self.settings, self.origin).await);
        lineup.take(results, refrain::bare(self.settings, self.origin).await?);
        Ok(lineup)
    }

    /// POST of 1 KiB at 1 to 10,000 connections, each with a request under way.
    async fn connections(&self, results: &mut Results, lineup: &Lineup) -> Result<(), Error> {
        let all: &[usize] = if self.settings.quick { &[1, 1000] } else { &[1, 10, 100, 1000, 5000, 10_000] };
        for &connections in all {
            if self.settings.max_connections() < connections as u64 {
                results
                    .skip(format!("{connections} connections"), format!("{} descriptors are allowed", self.settings.descriptors));
                continue;
            }
            for round in 0..self.settings.rounds {
                for contender in &lineup.0 {
                    let load = self.load(contender, Shape::Post(1024), connections);
                    self.point(results, "connections", contender, connections as f64, &load, round).await;
                }
            }
        }
        Ok(())
    }

    /// POST, and GET of what is as long, with 0 to 8 MiB.
    async fn bodies(&self, results: &mut Results, lineup: &mut Lineup) -> Result<(), Error> {
        const KIB: usize = 1024;
        let all: &[usize] =
            if self.settings.quick { &[0, 1024 * KIB] } else { &[0, KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB, 8192 * KIB] };
        for &bytes in all {
            for round in 0..self.settings.rounds {
                for contender in &mut lineup.0 {
                    let load = self.load(contender, Shape::Post(bytes), 16);
                    self.point(results, "request body", contender, bytes as f64, &load, round).await;
                    let path = std::mem::replace(&mut contender.path, format!("/bytes/{bytes}"));
                    let load = self.load(contender, Shape::Get, 16);
                    self.point(results, "response body", contender, bytes as f64, &load, round).await;
                    contender.path = path;
                }
            }
        }
        Ok(())
    }

    /// Passing on, and first requests under a key, with one and with two workers.
    async fn workers(&self, results: &mut Results) -> Result<(), Error> {
        let mut lineup = Vec::new();
        for workers in [1, 2] {
            let settings = Settings { workers, ..self.settings.clone() };
            lineup.push((workers, refrain::bare(&settings, self.origin).await?));
            lineup.push((workers, refrain::keyed(&settings, self.origin, Store::Memory).await?));
        }
        for round in 0..self.settings.rounds {
            for (workers, contender) in &lineup {
                let load = self.load(contender, Shape::First, 64);
                self.point(results, "workers", contender, *workers as f64, &load, round).await;
            }
        }
        for (_, contender) in lineup {
            contender.stop().await;
        }
        Ok(())
    }

    /// First requests and replays of random keys, beside 0 to a million keys that are stored.
    async fn stored_keys(&self, results: &mut Results, store: Store) -> Result<(), Error> {
        let contender = refrain::keyed(self.settings, self.origin, store).await?;
        results.versions.extend(contender.versions.iter().cloned());
        let prefix = clock::nonce();
        let fill = |after| Shape::Fill(prefix.clone(), after);
        let mut filling = Filling { curves: self, contender: &contender, stored: 0, left: self.settings.fill };
        for target in self.targets() {
            let is_full = filling.up_to(target, fill).await?;
            for round in 0..self.settings.rounds {
                let at = filling.stored as f64;
                let load = self.load(&contender, Shape::First, 64);
                self.point(results, "stored keys, first", &contender, at, &load, round).await;
                if filling.stored > 0 {
                    let load = self.load(&contender, Shape::Stored(prefix.clone(), filling.stored), 64);
                    self.point(results, "stored keys, replay", &contender, at, &load, round).await;
                }
            }
            if !is_full {
                filling.cut(results, "stored keys", target);
                break;
            }
        }
        contender.stop().await;
        Ok(())
    }

    /// First requests beside 0 to a million sagas, each of which waits for a timer of a day.
    async fn parked_sagas(&self, results: &mut Results, store: Store) -> Result<(), Error> {
        let saga = self.settings.file("parked-saga.yaml", PARKED_SAGA)?;
        let values = [("saga", &*saga.to_string_lossy())];
        let mut contender = refrain::with_store(self.settings, store.name(), PARKED, self.origin, store, &values).await?;
        results.versions.extend(contender.versions.iter().cloned());
        let prefix = clock::nonce();
        let fill = |after: u64| Shape::Script(PARK, vec![prefix.clone(), after.to_string()]);
        let mut stored = 0;
        let mut left = self.settings.fill;
        for target in self.targets() {
            contender.path = "/sagas/parked".to_owned();
            let mut filling = Filling { curves: self, contender: &contender, stored, left };
            let is_full = filling.up_to(target, fill).await?;
            (stored, left) = (filling.stored, filling.left);
            if !is_full {
                filling.cut(results, "parked sagas", target);
            }
            contender.path = "/orders/".to_owned();
            for round in 0..self.settings.rounds {
                let load = self.load(&contender, Shape::First, 64);
                self.point(results, "parked sagas, first", &contender, stored as f64, &load, round).await;
            }
            if !is_full {
                break;
            }
        }
        contender.stop().await;
        Ok(())
    }

    fn targets(&self) -> Vec<u64> {
        if self.settings.quick { vec![0, 10_000] } else { vec![0, 10_000, 100_000, 1_000_000] }
    }

    fn load(&self, contender: &Contender, shape: Shape, connections: usize) -> Load {
        Load { url: contender.url(), shape, connections, time: self.settings.measure }
    }

    /// One round of one point; one that fails is skipped, and named.
    async fn point(&self, results: &mut Results, curve: &str, contender: &Contender, at: f64, load: &Load, round: usize) {
        let what = format!("{curve} {at}, {}", contender.name);
        match sample(self.settings, contender, load).await {
            Ok((mut sample, _)) => {
                if curve.ends_with("body") {
                    let rate = sample.get(&Measure::RequestsPerSecond).copied().unwrap_or(0.0);
                    sample.insert(Measure::BytesPerSecond, rate * at);
                }
                tell(&what, round, &sample);
                results.add(curve, &contender.name, Some(at), sample);
            }
            Err(error) => results.skip(what, error),
        }
    }
}

/// A store while it is filled through its proxy.
struct Filling<'a> {
    curves: &'a Curves<'a>,
    contender: &'a Contender,
    stored: u64,
    /// How much longer it may be filled.
    left: Duration,
}

impl Filling<'_> {
    /// Fills until there are at least so many. `false`: time was over before.
    async fn up_to(&mut self, target: u64, fill: impl Fn(u64) -> Shape) -> Result<bool, Error> {
        let settings = self.curves.settings;
        // The first slice is as short as can be, and tells how long the next ones have to be.
        let mut slice = Duration::from_secs(1);
        while self.stored < target {
            if self.left.is_zero() {
                return Ok(false);
            }
            let time = slice.min(self.left).max(Duration::from_secs(1));
            let shape = fill(self.stored);
            let load = Load { url: self.contender.url(), shape, connections: FILLERS, time };
            // Those that were under way when the slice before ended are sent again in this one: they can still be.
            let outcome = load.run_leniently(settings).await?;
            let answered = outcome.requests - outcome.refused.min(outcome.requests);
            if answered == 0 {
                return Err(Error::program(&self.contender.name, format!("cannot be filled: {outcome:?}")));
            }
            self.stored += outcome.requests;
            self.left = self.left.saturating_sub(time);
            let rate = outcome.requests_per_second().max(1.0);
            let needed = target.saturating_sub(self.stored) as f64 / rate;
            slice = Duration::from_secs(needed.ceil() as u64).clamp(Duration::from_secs(1), SLICE);
            eprintln!("bench: {}: {} of {target}, {rate:.0}/s", self.contender.name, self.stored);
        }
        Ok(true)
    }

    /// Names how far it went.
    fn cut(&self, results: &mut Results, curve: &str, target: u64) {
        let (seconds, stored) = (self.curves.settings.fill.as_secs(), self.stored);
        let why = format!("{stored} after {seconds} seconds of filling, which is what --fill-seconds allows");
        results.skip(format!("{curve} {target}, {}", self.contender.name), why);
    }
}
