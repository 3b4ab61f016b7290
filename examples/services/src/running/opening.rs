//! The shop's processes, from the first start to the last stop.

use std::io;
use std::path::Path;
use std::sync::Arc;

use reqwest::Url;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::running::addresses::{Addresses, OfRefrain, OfService};
use crate::running::data::{Data, DataError};
use crate::running::keys::Keys;
use crate::running::member::{Member, Post, Service};
use crate::running::process::{Event, Plan, Process, ProcessError, Question};
use crate::running::redis::RedisUrl;
use crate::running::sidecar::{FileError, Files, Sidecar, Store};
use crate::running::table::{Restarts, Table};

/// How many events may wait to be told.
const MAX_EVENTS: usize = 64;

/// Why the shop does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// A folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The sidecars' files are not there.
    #[error(transparent)]
    Files(#[from] FileError),
    /// A process does not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The program does not know itself.
    #[error("cannot find this program's own file")]
    Program(#[source] io::Error),
}

/// What the processes are given.
#[derive(Debug)]
pub struct Stock<'a> {
    /// Where they write.
    pub data: &'a Data,
    /// What they seal and sign with.
    pub keys: &'a Keys,
    /// Where sidecars keep their records, if not in files.
    pub redis: Option<&'a RedisUrl>,
    /// What the services' chaos is drawn from, if there is any.
    pub chaos: Option<u64>,
}

/// The shop while it is open. Dropped, its processes are killed.
#[derive(Debug)]
pub struct Open {
    /// What runs where. Kept by who hears the events.
    pub table: Table,
    /// What happens to processes.
    pub events: mpsc::Receiver<(Member, Event)>,
    blows: Vec<(Member, Arc<Notify>)>,
    /// In the order in which they are stopped: who asks before who answers.
    stages: [Stage; 3],
}

impl Open {
    /// Starts the services, then the sidecars, then the edge, and waits until all of them are ready.
    ///
    /// # Errors
    /// When one of them does not start. All are gone then.
    pub async fn start(addresses: Addresses, stock: Stock<'_>) -> Result<Self, OpeningError> {
        let data = stock.data;
        let program = std::env::current_exe().map_err(OpeningError::Program)?;
        let files = Files::write(data)?;
        let directory = addresses.directory();
        let (edge, services) = addresses.rows(|service| database(data, service));
        let mut table = Table {
            data: data.path().display().to_string(),
            chaos: stock.chaos.is_some(),
            restarts: Restarts::default(),
            edge,
            services,
        };

        let (mut services, mut sidecars) = (Vec::new(), Vec::new());
        for OfService { service, address, sidecars: beside } in addresses.services {
            services.push((service, address));
            sidecars.extend(beside.into_iter().enumerate().map(|(index, of)| (Post::Beside(service), index, of)));
        }
        let refrain = |(post, index, of): (Post, usize, OfRefrain)| {
            let folder = data.folder(post.name())?;
            let store = store(post, stock.redis, &folder);
            let (listen, admin) = (of.listen.release(), of.admin.release());
            let sidecar = Sidecar { post, index, listen, admin, store, folder: &folder };
            Ok::<_, OpeningError>(sidecar.plan(&program, &files, &directory, stock.keys)?)
        };

        let plans = services.into_iter().map(|(service, address)| {
            let database = database(data, service);
            let mut command = Command::new(&program);
            let address = address.release();
            command.args(["service", service.name(), "--listen", &address.to_string(), "--database", &database]);
            if let Some(seed) = stock.chaos {
                command.args(["--chaos-seed", &seed.to_string()]);
            }
            let log = data.folder(service.name())?.join("service.log");
            let question = Question { address, path: "/healthz/" };
            Ok::<_, OpeningError>(Plan { member: Member::Service(service), command, log, question })
        });
        let services = start(plans.collect::<Result<_, _>>()?).await?;
        let sidecars = start(sidecars.into_iter().map(refrain).collect::<Result<_, _>>()?).await?;
        let edge = start(vec![refrain((Post::Edge, 0, addresses.edge))?]).await?;

        for process in services.iter().chain(&sidecars).chain(&edge) {
            table.set(process.member(), process.id());
        }
        let blows = services.iter().chain(&sidecars).map(|process| (process.member(), process.blow())).collect();
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let stages = [edge, sidecars, services].map(|processes| Stage::keep(processes, &sender));
        Ok(Self { table, events, blows, stages })
    }

    /// Kills a process, which is then started again as any that dies. Not the edge.
    pub fn kill(&self, member: Member) {
        if let Some((_, blow)) = self.blows.iter().find(|(known, _)| *known == member) {
            blow.notify_one();
        }
    }

    /// Waits for what happens next; an error: a process is given up.
    ///
    /// # Errors
    /// When a process does not keep running. Nothing is told of it any more.
    pub async fn next(&mut self) -> Result<(Member, Event), ProcessError> {
        let [edge, sidecars, services] = &mut self.stages;
        tokio::select! {
            Some(event) = self.events.recv() => Ok(event),
            error = edge.failure() => Err(error),
            error = sidecars.failure() => Err(error),
            error = services.failure() => Err(error),
        }
    }

    /// Stops the edge, then the sidecars, whose last requests the services still answer, and then the services.
    pub async fn stop(self) {
        let Self { events, stages, .. } = self;
        // Nobody waits to be heard any more.
        drop(events);
        for stage in stages {
            stage.stop().await;
        }
    }
}

/// Processes that are stopped together.
#[derive(Debug)]
struct Stage {
    keepers: JoinSet<Result<(), ProcessError>>,
    stop: CancellationToken,
}

impl Stage {
    fn keep(processes: Vec<Process>, events: &mpsc::Sender<(Member, Event)>) -> Self {
        let (mut keepers, stop) = (JoinSet::new(), CancellationToken::new());
        for process in processes {
            keepers.spawn(process.keep_running(events.clone(), stop.clone()));
        }
        Self { keepers, stop }
    }

    /// Waits until a process is given up.
    async fn failure(&mut self) -> ProcessError {
        loop {
            match self.keepers.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                // Only a process that was told to stop ends well, and none was.
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while self.keepers.join_next().await.is_some() {}
    }
}

/// Starts all of them at once, and waits until all are ready.
async fn start(plans: Vec<Plan>) -> Result<Vec<Process>, ProcessError> {
    let mut starting: JoinSet<_> = plans.into_iter().map(Process::start).collect();
    let mut processes = Vec::with_capacity(starting.len());
    while let Some(started) = starting.join_next().await {
        match started {
            Ok(process) => processes.push(process?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(processes)
}

fn store(post: Post, redis: Option<&RedisUrl>, folder: &Path) -> Store {
    match (post, redis) {
        // It keeps nothing.
        (Post::Edge, _) => Store::Own,
        (Post::Beside(service), Some(redis)) => Store::Redis(redis.database(service)),
        (Post::Beside(_), None) => Store::Embedded(folder.join("refrain.db")),
    }
}

/// The URL of a service's database.
fn database(data: &Data, service: Service) -> String {
    let file = data.path().join(service.name()).join(service.name()).with_extension("db");
    // A URL, so that a `?`, a `%` or a blank in the path is one. The path is absolute: `Data` made it so.
    match Url::from_file_path(&file) {
        Ok(url) => format!("sqlite://{}", url.path()),
        Err(()) => format!("sqlite://{}", file.display()),
    }
}
