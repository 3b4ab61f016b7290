//! The command line.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::settings::Settings;
use crate::{machine, origin, report, splice, suites};

/// Measures Refrain and others that do its job, side by side. Run it by scripts/bench, which installs what it needs.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    suite: Suite,
    /// The `refrain` program; by default the one beside this program.
    #[arg(long, global = true)]
    refrain: Option<PathBuf>,
    /// A `refrain` with symbols and frame pointers, for flame graphs; by default the other one, whose stacks may be short.
    #[arg(long, global = true)]
    profiled: Option<PathBuf>,
    /// How long one measurement takes.
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often each is made.
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: u8,
    /// How long one store may be filled for a curve: it goes as far as that.
    #[arg(long, global = true, default_value_t = 100)]
    fill_seconds: u64,
    /// Threads of every proxy; by default one per core.
    #[arg(long, global = true)]
    workers: Option<usize>,
    /// Threads of the origin.
    #[arg(long, global = true, default_value_t = 1)]
    origin_threads: usize,
    /// Threads of the load generator.
    #[arg(long, global = true, default_value_t = 1)]
    load_threads: usize,
    /// One round of a second each, and short curves: to see that all of it runs, not how fast.
    #[arg(long, global = true)]
    quick: bool,
    /// The first port that servers listen on.
    #[arg(long, global = true, default_value_t = 26000)]
    base_port: u16,
    /// Where peers were installed.
    #[arg(long, global = true, default_value = "target/peers")]
    tools: PathBuf,
    /// Where results are written; the page and the pictures are above. By default docs/benchmarks/results, and with --quick
    /// target/bench/quick/results.
    #[arg(long, global = true)]
    results: Option<PathBuf>,
    /// Where stores and logs of a run are, in a folder that goes with it.
    #[arg(long, global = true, default_value = "target/bench")]
    work: PathBuf,
}

/// What is run.
#[derive(Clone, Debug, Subcommand)]
enum Suite {
    /// Requests that are passed through.
    Pass,
    /// Requests under a key: first ones and replays.
    Keyed,
    /// Sagas of two and five steps.
    Sagas,
    /// What is below the stores, alone.
    Engine,
    /// How speed depends on size.
    Curves,
    /// Memory at rest, and the time to start.
    Footprint,
    /// Flame graphs.
    Flames,
    /// Half an hour of everything at a moderate rate: nothing grows, nothing is answered wrong.
    Long(crate::long::Args),
    /// Instructions per request, compared with the recorded ones.
    Counts(crate::counts::Args),
    /// All of the above, then the report.
    All,
    /// Writes docs/benchmarks.md and the plots anew, from the results that are there.
    Report,
    /// Serves the origin: 1 KiB of JSON for everything.
    #[command(hide = true)]
    Origin {
        address: SocketAddr,
        h2c: SocketAddr,
        #[arg(long)]
        threads: usize,
    },
    /// Serves the floor of a proxy: bytes from one connection to another.
    #[command(hide = true)]
    Splice {
        address: SocketAddr,
        upstream: SocketAddr,
        #[arg(long)]
        threads: usize,
    },
}

/// What `all` runs, in order.
const ALL: [Suite; 7] = [Suite::Pass, Suite::Keyed, Suite::Sagas, Suite::Engine, Suite::Footprint, Suite::Curves, Suite::Flames];

impl Cli {
    /// Runs what was asked for.
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self.suite {
            Suite::Origin { address, h2c, threads } => origin::serve(address, h2c, threads),
            Suite::Splice { address, upstream, threads } => splice::serve(address, upstream, threads),
            Suite::Report => report::write(&self.results()),
            Suite::All => {
                let mut failed = Vec::new();
                for suite in ALL {
                    match self.measure(&suite).await {
                        Ok(()) => {}
                        Err(error) => {
                            error.tell();
                            failed.push(format!("{suite:?}").to_lowercase());
                        }
                    }
                }
                report::write(&self.results())?;
                if failed.is_empty() { Ok(()) } else { Err(Error::Invalid(format!("not measured: {}", failed.join(", ")))) }
            }
            ref suite => {
                self.measure(suite).await?;
                report::write(&self.results())
            }
        }
    }

    fn results(&self) -> PathBuf {
        let default = if self.quick { "target/bench/quick/results" } else { "docs/benchmarks/results" };
        self.results.clone().unwrap_or_else(|| default.into())
    }

    async fn measure(&self, suite: &Suite) -> Result<(), Error> {
        let (settings, _work) = self.settings()?;
        match suite {
            Suite::Pass => suites::pass::run(&settings).await,
            Suite::Keyed => suites::keyed::run(&settings).await,
            Suite::Sagas => suites::sagas::run(&settings).await,
            Suite::Engine => suites::engine::run(&settings).await,
            Suite::Footprint => suites::footprint::run(&settings).await,
            Suite::Curves => suites::curves::run(&settings).await,
            Suite::Flames => suites::flames::run(&settings).await,
            Suite::Long(args) => crate::long::run(&settings, args).await,
            Suite::Counts(args) => crate::counts::run(&settings, args).await,
            Suite::All | Suite::Report | Suite::Origin { .. } | Suite::Splice { .. } => Ok(()),
        }
    }

    /// With the folder of the run, which is removed when it is dropped.
    fn settings(&self) -> Result<(Settings, tempfile::TempDir), Error> {
        let beside = std::env::current_exe().map_err(Error::io("find this program"))?.with_file_name("refrain");
        let refrain = self.refrain.clone().unwrap_or(beside);
        let refrain = std::path::absolute(refrain).map_err(Error::io("find refrain"))?;
        if !refrain.is_file() {
            return Err(Error::Invalid(format!("there is no {}: build it, or say --refrain", refrain.display())));
        }
        std::fs::create_dir_all(&self.work).map_err(Error::io(format!("make {}", self.work.display())))?;
        let work = std::path::absolute(&self.work).and_then(|work| tempfile::tempdir_in(&work));
        let work = work.map_err(Error::io("make a folder for the run"))?;
        let profiled = self.profiled.clone().filter(|path| path.is_file()).map(std::path::absolute).transpose();
        let settings = Settings {
            profiled: profiled.map_err(Error::io("find refrain"))?.unwrap_or_else(|| refrain.clone()),
            refrain,
            measure: Duration::from_secs(if self.quick { 1 } else { self.seconds }),
            rounds: if self.quick { 1 } else { self.rounds.into() },
            workers: self.workers.unwrap_or_else(machine::cores).max(1),
            origin_threads: self.origin_threads.max(1),
            load_threads: self.load_threads.max(1),
            fill: Duration::from_secs(if self.quick { 3 } else { self.fill_seconds }),
            descriptors: machine::raise_descriptors(),
            quick: self.quick,
            tools: self.tools.clone(),
            results: self.results(),
            work: work.path().to_owned(),
            next_port: Rc::new(Cell::new(self.base_port)),
        };
        Ok((settings, work))
    }
}
