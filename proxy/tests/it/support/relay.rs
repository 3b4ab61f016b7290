//! A relay between Refrain and Redis that can hold one write: before Redis has it, or before its answer is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::gate::{Gate, Moment};

/// Relays to one port of this machine.
pub(crate) struct Relay {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Writes so far.
    writes: usize,
    /// Scripts on something else so far.
    others: usize,
    /// The write with this number is held.
    hold: Option<(usize, Moment, Gate)>,
}

/// One connection: how many commands have been sent, and from which answer on they are held.
#[derive(Default)]
struct Connection {
    sent: u64,
    held_from: Option<(u64, Gate)>,
}

impl Relay {
    /// A relay to a port, on this runtime.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let connection = Arc::<Mutex<Connection>>::default();
                tokio::spawn(commands(from_client, to_server, Arc::clone(&shared), Arc::clone(&connection)));
                tokio::spawn(answers(from_server, to_client, connection));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many writes of records and sagas have come.
    pub(crate) fn writes(&self) -> usize {
        lock(&self.state).writes
    }

    /// How many scripts have come that are on neither records nor sagas: what asks which sagas are due.
    pub(crate) fn others(&self) -> usize {
        lock(&self.state).others
    }

    /// Holds the `n`th write to come from now on, counted from 1, and what comes after it on its connection. A write that is held
    /// [`Moment::Before`] reaches Redis when its gate is opened, be its sender gone or not. Replaces an earlier hold.
    pub(crate) fn hold_nth(&self, n: usize, moment: Moment) -> Gate {
        let gate = Gate::closed();
        let mut state = lock(&self.state);
        state.hold = Some((state.writes + n, moment, gate.clone()));
        gate
    }

    /// Holds nothing any more. What is held stays so until its gate is opened.
    pub(crate) fn hold_none(&self) {
        lock(&self.state).hold = None;
    }
}

/// Relays commands, one by one.
async fn commands(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<Mutex<State>>, connection: Arc<Mutex<Connection>>) {
    let mut buffer = Vec::new();
    loop {
        while let Some(length) = value_length(&buffer) {
            let command: Vec<u8> = buffer.drain(..length).collect();
            let held = match kind(&command) {
                Kind::Write => count(&state),
                Kind::Other => {
                    lock(&state).others += 1;
                    None
                }
                Kind::NoScript => None,
            };
            if let Some((Moment::Before | Moment::Late, gate)) = &held {
                gate.pass().await;
            }
            {
                let mut connection = lock(&connection);
                if let Some((Moment::After, gate)) = held {
                    connection.held_from = Some((connection.sent, gate));
                }
                // What is told of a subscription is no answer.
                connection.sent += u64::from(!is_subscription(&command));
            }
            if to.write_all(&command).await.is_err() {
                return;
            }
        }
        if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// Relays answers, one by one.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, connection: Arc<Mutex<Connection>>) {
    let (mut buffer, mut number) = (Vec::new(), 0);
    loop {
        while let Some(length) = value_length(&buffer) {
            let answer: Vec<u8> = buffer.drain(..length).collect();
            if answer[0] != b'>' {
                let held_from = lock(&connection).held_from.clone();
                if let Some((from, gate)) = held_from
                    && number >= from
                {
                    gate.pass().await;
                }
                number += 1;
            }
            if to.write_all(&answer).await.is_err() {
                return;
            }
        }
        if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// Counts a write, and says whether it is to be held.
fn count(state: &Mutex<State>) -> Option<(Moment, Gate)> {
    let mut state = lock(state);
    state.writes += 1;
    let writes = state.writes;
    let (_, moment, gate) = state.hold.take_if(|(number, _, _)| *number == writes)?;
    Some((moment, gate))
}

/// What a command does.
enum Kind {
    /// It runs a script on a record or on a saga.
    Write,
    /// It runs a script on something else.
    Other,
    NoScript,
}

fn kind(command: &[u8]) -> Kind {
    let holds = |text: &[u8]| command.windows(text.len()).any(|window| window == text);
    match (holds(b"\r\nEVALSHA\r\n"), holds(b"refrain:r:{") || holds(b"}:h:")) {
        (true, true) => Kind::Write,
        (true, false) => Kind::Other,
        (false, _) => Kind::NoScript,
    }
}

fn is_subscription(command: &[u8]) -> bool {
    let holds = |text: &[u8]| command.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text));
    holds(b"\r\nSUBSCRIBE\r\n") || holds(b"\r\nUNSUBSCRIBE\r\n")
}

/// The length of the value (of RESP2 or RESP3) with which `bytes` begins, once it is whole.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|window| window == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    let elements = |count: i64| {
        let mut length = line;
        for _ in 0..count {
            length += value_length(&bytes[length..])?;
        }
        Some(length)
    };
    match bytes[0] {
        b'$' | b'=' | b'!' => match usize::try_from(number()?) {
            Ok(body) => Some(line + body + 2).filter(|length| bytes.len() >= *length),
            Err(_null) => Some(line),
        },
        b'*' | b'~' | b'>' => elements(number()?),
        b'%' => elements(number()? * 2),
        // An attribute belongs to the value after it.
        b'|' => elements(number()? * 2 + 1),
        _ => Some(line),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
