//! A sidecar that dies in the middle of an order, while the order is being paid.
//!
//! So that this is no matter of luck, billing's database is locked first: the payment then gets as far as billing and
//! waits there. That the order stands at its payment is read from the sidecar's admin side.

use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::time::{Instant, interval};

use super::TourError;
use super::opened::LOOK_EVERY;
use super::state::Refrain;
use crate::client::{Edge, Intent};

/// The step that pays.
const PAYMENT: &str = "create_payment";

/// How long an order may take to get to its payment. Billing's own patience with its database is five seconds.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// A database on which nobody else can write. Reading goes on.
pub(super) struct Held {
    connection: SqliteConnection,
}

impl Held {
    /// Locks the SQLite database at `url`.
    pub(super) async fn lock(url: &str) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::from_str(url)?.busy_timeout(MAX_WAIT);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        Ok(Self { connection })
    }

    /// Lets the others write again. Nothing was changed.
    pub(super) async fn release(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("ROLLBACK").execute(&mut self.connection).await?;
        self.connection.close().await
    }
}

#[derive(Deserialize)]
struct Page {
    sagas: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

#[derive(Deserialize)]
struct Shown {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    state: String,
}

/// Waits until the sidecar has one order under way whose payment was sent and not answered, and gives its saga's id.
pub(super) async fn until_paying(sidecar: &Refrain) -> Result<String, TourError> {
    let admin = Edge::at(&sidecar.admin)?;
    let begun = Instant::now();
    let mut looks = interval(LOOK_EVERY);
    let mut seen = "no order under way".to_owned();
    while begun.elapsed() < MAX_WAIT {
        looks.tick().await;
        let page: Page = admin.send(&Intent::look("/sagas?state=running&name=create-order")).await?.expect(200)?;
        let [Listed { id }] = &page.sagas[..] else { continue };
        let shown: Shown = admin.send(&Intent::look(&format!("/sagas/{id}"))).await?.expect(200)?;
        if shown.steps.iter().any(|step| step.step == PAYMENT && step.state == "sending") {
            return Ok(id.clone());
        }
        let steps: Vec<String> = shown.steps.iter().map(|step| format!("{} {}", step.step, step.state)).collect();
        seen = format!("saga {id}: {}", steps.join(", "));
    }
    Err(TourError::Wrong(format!("the order did not get to its payment within {} seconds: {seen}", MAX_WAIT.as_secs())))
}

/// Kills a process, which cannot see it coming.
pub(super) fn kill_at_once(pid: i32) -> Result<(), TourError> {
    kill(Pid::from_raw(pid), Signal::SIGKILL)
        .map_err(|error| TourError::Wrong(format!("process {pid} cannot be killed: {error}")))
}
