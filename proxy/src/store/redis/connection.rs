//! One multiplexed connection, opened when it is first used and opened again when it is lost.
//!
//! Everything that fails before a command is handed to the connection was not applied; everything after it, up to its answer, may
//! have been. A connection that lost an answer is given up, and its successor first ends it on the server: else a command still in
//! its pipe could be applied after a later command of this process (a claim, after the release that was to undo it).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, RedisError, ServerError, Value, aio::MultiplexedConnection,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    super::StoreError,
    Shared,
    backoff::Backoff,
    decode, encode,
    facts::{self, Facts},
    fault::{self, ConnectError, OpenError},
    sagas,
    scripts::{self, Script},
};

/// Commands waiting to be written. Further callers wait for room, within their timeout.
const QUEUE: usize = 1024;

/// Commands of all callers share a write, until they are so many bytes (the crate's own bound is 8 KiB: six responses).
const WRITTEN_AT_ONCE: usize = 64 * 1024;

/// A connection that comes and goes.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    slot: Mutex<Slot>,
    /// One connects, the others wait for it.
    gate: tokio::sync::Mutex<Gate>,
}

#[derive(Debug, Default)]
struct Slot {
    live: Option<Arc<Live>>,
    /// The last connection that was given up, until a successor has ended it on the server.
    orphan: Option<ServerSide>,
}

#[derive(Debug)]
struct Live {
    connection: MultiplexedConnection,
    /// Set when the other side closed it.
    closed: Arc<AtomicBool>,
    server_side: Option<ServerSide>,
}

/// A connection as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerSide {
    id: String,
    address: String,
}

#[derive(Debug, Default)]
struct Gate {
    backoff: Backoff,
    /// No attempt before this time, unless somebody else reached Redis since.
    shut: Option<Shut>,
}

#[derive(Debug)]
struct Shut {
    until: Instant,
    recoveries: u64,
    reason: ConnectError,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, slot: Mutex::default(), gate: tokio::sync::Mutex::default() }
    }

    /// Runs one script.
    pub(super) async fn run(&self, script: Script, cmd: Cmd) -> Result<Value, StoreError> {
        let deadline = self.deadline();
        let answer = self.exchange(deadline, async |mut link| link.send_packed_command(&cmd).await).await?;
        match answer {
            Value::ServerError(error) if fault::is_noscript(&error) => {}
            Value::ServerError(error) => return Err(self.refused(&error)),
            answer => return Ok(answer),
        }
        // Boxed, as all that is rare: the future of every operation has room for what it may wait for.
        match Box::pin(self.run_loaded(deadline, script, std::slice::from_ref(&cmd))).await?.pop() {
            Some(Value::ServerError(error)) => Err(self.refused(&error)),
            Some(answer) => Ok(answer),
            None => Err(StoreError::AnswerLost("Redis gave fewer answers than commands".to_owned())),
        }
    }

    /// Runs one script many times, in one round trip; an answer for each, in order.
    pub(super) async fn run_many(&self, script: Script, cmds: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        if cmds.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = self.deadline();
        let mut pipeline = Pipeline::with_capacity(cmds.len());
        for cmd in cmds {
            pipeline.add_command(cmd.clone());
        }
        let mut answers = self.send_all(deadline, &pipeline).await?;
        let is_missing = |answer: &Value| matches!(answer, Value::ServerError(error) if fault::is_noscript(error));
        let missing: Vec<_> = (0..answers.len()).filter(|&i| is_missing(&answers[i])).collect();
        if !missing.is_empty() {
            let again: Vec<_> = missing.iter().map(|&i| cmds[i].clone()).collect();
            for (i, answer) in missing.into_iter().zip(self.run_loaded(deadline, script, &again).await?) {
                answers[i] = answer;
            }
        }
        Ok(answers)
    }

    /// Gives the connection up; the next call opens another one.
    pub(super) fn close(&self) {
        self.lock().live = None;
    }

    /// What an error answer means; where another connection may do better, this one is given up.
    pub(super) fn refused(&self, error: &ServerError) -> StoreError {
        if fault::asks_for_another_connection(error) {
            let live = self.lock().live.clone();
            if let Some(live) = live {
                self.give_up(&live);
            }
        }
        fault::of_reply(error)
    }

    /// Opens the connection if there is none.
    pub(super) async fn open(&self) -> Result<(), ConnectError> {
        self.live(self.deadline()).await.map(|_| ())
    }

    /// Loads a script that Redis does not know (any more), and runs it, in one round trip.
    async fn run_loaded(&self, deadline: Instant, script: Script, cmds: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(cmds.len() + 1);
        pipeline.add_command(script.load());
        for cmd in cmds {
            pipeline.add_command(cmd.clone());
        }
        let mut answers = self.send_all(deadline, &pipeline).await?;
        answers.remove(0);
        Ok(answers)
    }

    async fn send_all(&self, deadline: Instant, pipeline: &Pipeline) -> Result<Vec<Value>, StoreError> {
        let count = pipeline.len();
        let answers = self.exchange(deadline, async |mut link| link.send_packed_commands(pipeline, 0, count).await).await?;
        if answers.len() == count {
            Ok(answers)
        } else {
            Err(StoreError::AnswerLost("Redis gave fewer answers than commands".to_owned()))
        }
    }

    /// One round trip. From the call of `send` on, the commands may have been applied.
    async fn exchange<T>(
        &self,
        deadline: Instant,
        send: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, StoreError> {
        let live = match self.current() {
            Some(live) if !self.shared.is_closed() => live,
            _ => Box::pin(self.live(deadline)).await?,
        };
        self.shared.health.count_round_trip();
        let reason = match timeout_at(deadline, send(live.connection.clone())).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.shared.timeout),
        };
        self.give_up(&live);
        self.shared.health.lost(&ConnectError::Unreachable(reason.clone()));
        Err(StoreError::AnswerLost(reason))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.timeout
    }

    /// The connection that stands, or a new one.
    async fn live(&self, deadline: Instant) -> Result<Arc<Live>, ConnectError> {
        if self.shared.is_closed() {
            self.close();
            return Err(ConnectError::Unreachable("the store was closed".to_owned()));
        }
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let Ok(mut gate) = timeout_at(deadline, self.gate.lock()).await else { return Err(self.too_slow()) };
        if let Some(live) = self.current() {
            return Ok(live);
        }
        gate.pass(self.shared.health.recoveries())?;
        // Dropped here: the gate opens again, nothing was sent but what opens the connection.
        let opened = match timeout_at(deadline, self.establish()).await {
            Ok(opened) => opened,
            Err(_) => Err(self.too_slow()),
        };
        match opened {
            Ok(live) => {
                gate.backoff.reset();
                gate.shut = None;
                let mut slot = self.lock();
                slot.live = Some(Arc::clone(&live));
                slot.orphan = None;
                Ok(live)
            }
            Err(reason) => {
                self.shared.health.lost(&reason);
                let until = Instant::now() + gate.backoff.after_failure();
                gate.shut = Some(Shut { until, recoveries: self.shared.health.recoveries(), reason: reason.clone() });
                Err(reason)
            }
        }
    }

    /// Opens a connection and prepares it: scripts loaded, permissions tried, the server's own words judged.
    async fn establish(&self) -> Result<Arc<Live>, ConnectError> {
        let closed = Arc::new(AtomicBool::new(false));
        let notice = Arc::clone(&closed);
        let mut connection = dial(&self.shared, move |push| {
            if push.kind == PushKind::Disconnection {
                notice.store(true, Ordering::Release);
            }
        })
        .await?;
        let orphan = self.lock().orphan.clone();
        let hash_key = self.shared.known_hash_key();
        let mut pipeline = Pipeline::new();
        if let Some(ServerSide { id, address }) = &orphan {
            pipeline.add_command(facts::command("CLIENT", &["KILL", "ID", id, "ADDR", address]));
        }
        pipeline.add_command(facts::command("CLIENT", &["INFO"]));
        facts::ask(&mut pipeline);
        scripts::load_all(&mut pipeline);
        pipeline.add_command(encode::access(self.shared.wakes.mailbox()));
        pipeline.add_command(encode::partitions(self.shared.partitions));
        if let Some(hash_key) = hash_key {
            pipeline.add_command(encode::hash_key(hash_key));
        }
        let count = pipeline.len();
        let answers = connection.send_packed_commands(&pipeline, 0, count).await.map_err(|error| fault::of_opening(&error))?;
        let mut answers = answers.into_iter();
        let fenced = orphan.is_none() || !matches!(answers.next(), None | Some(Value::ServerError(_)));
        let server_side = ServerSide::read(answers.next());
        let facts = Facts::read(&mut answers)?;
        if let Some(reason) = facts.unusable() {
            return Err(ConnectError::Unusable(reason));
        }
        scripts::all_loaded(&mut answers).map_err(|error| match error {
            Some(error) => fault::of_setup_reply(&error),
            None => ConnectError::Unusable(OpenError::Unusable("it does not load scripts".to_owned())),
        })?;
        granted(answers.next())?;
        self.compare_partitions(answers.next())?;
        if let Some(mine) = hash_key {
            self.compare_hash_key(mine, answers.next())?;
        }
        self.shared.health.may_fence(fenced && server_side.is_some());
        self.shared.health.reached(facts);
        Ok(Arc::new(Live { connection, closed, server_side }))
    }

    /// Fixed by the first process, for ever: with another number a saga would be looked for where it is not, and started again.
    fn compare_partitions(&self, answer: Option<Value>) -> Result<(), ConnectError> {
        let stored = match answer {
            // What passes is told by the operation that meets it: it is refused too.
            Some(Value::ServerError(error)) if passes(error.code()) => return Ok(()),
            Some(Value::ServerError(error)) => return Err(fault::of_setup_reply(&error)),
            Some(answer) => sagas::partitions(&answer),
            None => sagas::partitions(&Value::Nil),
        };
        let stored = stored.map_err(|error| ConnectError::Unusable(OpenError::Unusable(error.to_string())))?;
        let configured = self.shared.partitions;
        if stored == configured { Ok(()) } else { Err(ConnectError::Unusable(OpenError::OtherPartitions { stored, configured })) }
    }

    /// A Redis that lost its data got this process's key back, or has another process's: then that one is in force.
    fn compare_hash_key(&self, mine: crate::ids::HashKey, answer: Option<Value>) -> Result<(), ConnectError> {
        let kept = match answer {
            Some(Value::ServerError(error)) => return Err(fault::of_setup_reply(&error)),
            Some(value) => decode::hash_key(&value),
            None => decode::hash_key(&Value::Nil),
        };
        let kept = kept.map_err(|error| ConnectError::Unusable(OpenError::Unusable(error.to_string())))?;
        if kept != mine {
            self.shared.learn_hash_key(kept);
        }
        Ok(())
    }

    fn current(&self) -> Option<Arc<Live>> {
        let mut slot = self.lock();
        let live = slot.live.as_ref()?;
        if !live.closed.load(Ordering::Acquire) {
            return Some(Arc::clone(live));
        }
        // It is closed here, and perhaps not yet there.
        let orphan = live.server_side.clone();
        slot.orphan = orphan;
        slot.live = None;
        None
    }

    /// Takes this connection out of use. Calls that still wait for their answers on it may get them.
    fn give_up(&self, lost: &Arc<Live>) {
        let mut slot = self.lock();
        if slot.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, lost)) {
            slot.live = None;
            slot.orphan.clone_from(&lost.server_side);
        }
    }

    fn too_slow(&self) -> ConnectError {
        ConnectError::Unreachable(format!("no connection within {:?}", self.shared.timeout))
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn pass(&self, recoveries: u64) -> Result<(), ConnectError> {
        match &self.shut {
            Some(shut) if shut.recoveries == recoveries && Instant::now() < shut.until => Err(shut.reason.clone()),
            _ => Ok(()),
        }
    }
}

impl ServerSide {
    /// From the answer to `CLIENT INFO`: `id=9 addr=10.0.0.1:39808 …`.
    fn read(answer: Option<Value>) -> Option<Self> {
        let text = match answer? {
            Value::VerbatimString { text, .. } => text,
            Value::BulkString(text) => String::from_utf8(text).ok()?,
            _ => return None,
        };
        let field = |name: &str| text.split_ascii_whitespace().find_map(|field| field.strip_prefix(name)).map(str::to_owned);
        Some(Self { id: field("id=")?, address: field("addr=")? })
    }
}

/// Opens a RESP3 connection on this runtime. Its deadline is the caller's.
pub(super) async fn dial(
    shared: &Shared,
    on_push: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, ConnectError> {
    // The timeouts are ours, around every call, and not the crate's default of half a second.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE)
        .set_write_backpressure_boundary(WRITTEN_AT_ONCE)
        .set_push_sender(move |push: PushInfo| {
            on_push(push);
            Ok::<(), ()>(())
        });
    let opened = shared.client.get_multiplexed_async_connection_with_config(&config).await;
    opened.map_err(|error| fault::of_opening(&error))
}

/// A full disk, missing replicas: whether it is no reason not to open, but is told by the operation that meets it.
fn passes(code: &str) -> bool {
    matches!(code, "MISCONF" | "NOREPLICAS" | "OOM")
}

/// The answer of the access script.
fn granted(answer: Option<Value>) -> Result<(), ConnectError> {
    match answer {
        Some(Value::BulkString(granted)) if granted == b"K" => Ok(()),
        Some(Value::Array(refusal)) => {
            let text = |i: usize| match refusal.get(i) {
                Some(Value::BulkString(text)) => String::from_utf8_lossy(text).trim_start_matches('-').to_owned(),
                _ => String::new(),
            };
            let reason = text(1);
            if reason.split(' ').next().is_some_and(passes) {
                return Ok(());
            }
            Err(ConnectError::Unusable(OpenError::NotPermitted(format!("{}: {reason}", text(0)))))
        }
        Some(Value::ServerError(error)) if passes(error.code()) => Ok(()),
        Some(Value::ServerError(error)) => Err(fault::of_setup_reply(&error)),
        _ => Err(ConnectError::Unusable(OpenError::Unusable("it does not run scripts".to_owned()))),
    }
}

/// Sleeps until `deadline`, or ends early when the store is closed.
pub(super) async fn pause(shared: &Shared, deadline: Instant) {
    tokio::select! {
        () = sleep_until(deadline) => {}
        () = shared.closing.cancelled() => {}
    }
}
