//! One that is measured: a proxy that runs, before the origin.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::process::{Process, Usage};
use crate::results::{Results, Sample};

/// One that is measured. Dropped, its processes are killed.
#[derive(Debug)]
pub(crate) struct Contender {
    /// In tables, with its store if that matters: `refrain, redis`.
    pub(crate) name: String,
    /// Its programs with their versions.
    pub(crate) versions: Vec<(String, String)>,
    /// What its CPU time and memory are summed over. Nothing for what is no proxy: the origin asked directly.
    pub(crate) processes: Vec<Process>,
    /// The store's process, if it has one of its own, summed apart.
    pub(crate) store: Option<Process>,
    /// Where it takes HTTP/1.1.
    pub(crate) address: SocketAddr,
    /// Where it takes HTTP/2 with prior knowledge, if it does.
    pub(crate) h2c: Option<SocketAddr>,
    /// The path that requests go to.
    pub(crate) path: String,
}

/// What a contender and its store have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) own: Usage,
    pub(crate) store: Option<Usage>,
}

impl Contender {
    /// With one process.
    pub(crate) fn new(name: &str, version: String, process: Process, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            versions: vec![(name.split(',').next().unwrap_or(name).to_owned(), version)],
            processes: vec![process],
            store: None,
            address,
            h2c: None,
            path: "/orders/".to_owned(),
        }
    }

    /// Where HTTP/1.1 requests go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Where HTTP/2 requests go.
    pub(crate) fn h2c_url(&self) -> Option<String> {
        Some(format!("http://{}{}", self.h2c?, self.path))
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When a process has ended.
    pub(crate) fn used(&self) -> Result<Used, Error> {
        let mut own = Usage::default();
        for process in &self.processes {
            let usage = process.usage()?;
            own.cpu += usage.cpu;
            own.rss_bytes += usage.rss_bytes;
            own.peak_bytes += usage.peak_bytes;
            own.descriptors += usage.descriptors;
        }
        Ok(Used { own, store: self.store.as_ref().map(Process::usage).transpose()? })
    }

    /// Stops its processes: each is asked first.
    pub(crate) async fn stop(self) {
        for process in self.processes.into_iter().chain(self.store) {
            process.stop().await;
        }
    }
}

impl Used {
    /// Adds to `sample` what was used since `before`, by so many requests.
    pub(crate) fn add_to(&self, sample: &mut Sample, before: &Self, requests: u64) {
        use crate::results::Measure;
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / requests.max(1) as f64;
        if self.own.rss_bytes > 0 {
            sample.insert(Measure::CpuUs, each(self.own.cpu.saturating_sub(before.own.cpu)));
            sample.insert(Measure::RssBytes, self.own.rss_bytes as f64);
            sample.insert(Measure::Descriptors, self.own.descriptors as f64);
        }
        if let (Some(now), Some(before)) = (self.store, before.store) {
            sample.insert(Measure::StoreCpuUs, each(now.cpu.saturating_sub(before.cpu)));
            sample.insert(Measure::StoreRssBytes, now.rss_bytes as f64);
        }
    }
}

/// Those that take part in a suite.
#[derive(Debug, Default)]
pub(crate) struct Lineup(pub(crate) Vec<Contender>);

impl Lineup {
    /// Takes one up; one that is not here or does not start is named as skipped.
    pub(crate) fn add(&mut self, results: &mut Results, name: &str, started: Result<Contender, Error>) {
        match started {
            Ok(contender) => self.take(results, contender),
            Err(error) => results.skip(name, error),
        }
    }

    /// Takes up one that has started.
    pub(crate) fn take(&mut self, results: &mut Results, contender: Contender) {
        results.versions.extend(contender.versions.iter().cloned());
        self.0.push(contender);
    }

    /// Stops all of them.
    pub(crate) async fn stop(self) {
        for contender in self.0 {
            contender.stop().await;
        }
    }
}
