//! The mailbox of this process, and the watch over Redis: one connection, one task.
//!
//! A completion publishes the record's name to the mailboxes registered with it. Word that was missed while the connection was
//! lost is made up for by waking everybody when it is back.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    Shared,
    backoff::Backoff,
    connection::{dial, pause},
    encode,
    facts::{self, Facts},
    fault::{self, ConnectError},
};
use crate::{ids::RecordName, store::wakes::Wakes};

/// How often Redis is asked how it is.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Listens and watches until the store is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    while !shared.is_closed() {
        let lost = tokio::select! {
            () = shared.closing.cancelled() => return,
            lost = listen(&shared, &mut backoff) => lost,
        };
        shared.health.lost(&lost);
        pause(&shared, Instant::now() + backoff.after_failure()).await;
    }
}

/// One connection, from its opening to its loss.
async fn listen(shared: &Shared, backoff: &mut Backoff) -> ConnectError {
    let closed = Arc::new(Notify::new());
    let mut connection = match bounded(shared, open(shared, Arc::clone(&closed))).await {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    backoff.reset();
    // Whatever was published before the subscription stood, nobody here has heard.
    shared.wakes.wake_all();
    loop {
        tokio::select! {
            () = closed.notified() => return ConnectError::Unreachable("Redis closed the connection".to_owned()),
            () = tokio::time::sleep(CHECK_EVERY) => {}
        }
        if let Err(error) = bounded(shared, check(shared, &mut connection)).await {
            return error;
        }
    }
}

/// Subscribes, and then asks how Redis is: who sees a recovery can rely on being woken.
async fn open(shared: &Shared, closed: Arc<Notify>) -> Result<MultiplexedConnection, ConnectError> {
    let wakes = shared.wakes.clone();
    let mut connection = dial(shared, move |push| match push.kind {
        PushKind::Message => deliver(&wakes, &push),
        PushKind::Disconnection => closed.notify_one(),
        _ => {}
    })
    .await?;
    match connection.subscribe(encode::channel(shared.wakes.mailbox())).await {
        Ok(()) => shared.health.may_subscribe(true),
        Err(error) if error.code() == Some("NOPERM") => shared.health.may_subscribe(false),
        Err(error) => return Err(fault::of_opening(&error)),
    }
    check(shared, &mut connection).await?;
    Ok(connection)
}

async fn check(shared: &Shared, connection: &mut MultiplexedConnection) -> Result<(), ConnectError> {
    let mut pipeline = Pipeline::new();
    facts::ask(&mut pipeline);
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
    let answers = answers.map_err(|error| fault::of_opening(&error))?;
    let facts = Facts::read(&mut answers.into_iter())?;
    match facts.unusable() {
        Some(reason) => Err(ConnectError::Unusable(reason)),
        None => {
            shared.health.reached(facts);
            Ok(())
        }
    }
}

async fn bounded<T>(shared: &Shared, work: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    match timeout(shared.timeout, work).await {
        Ok(done) => done,
        Err(_) => Err(ConnectError::Unreachable(format!("no answer within {:?}", shared.timeout))),
    }
}

/// A message is the name of a record, in hexadecimal. Anything else on the channel is not ours to judge, and wakes nobody.
fn deliver(wakes: &Wakes, push: &PushInfo) {
    if let Some(Value::BulkString(payload)) = push.data.get(1)
        && let Some(name) = std::str::from_utf8(payload).ok().and_then(RecordName::from_hex)
    {
        wakes.wake(name);
    }
}
