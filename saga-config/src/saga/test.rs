//! `test`: what a saga's author says of services and endings, for simulating it. No part of the definition: neither its canonical form
//! nor its hash has it, and what runs a saga never sees it.

pub(super) mod raw;
mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{expr::Expression, names::StepPath};

pub(super) use read::test;

/// Most cases of a saga.
pub const CASES: usize = 20;
/// Most invariants of a saga.
pub const INVARIANTS: usize = 50;

/// What services answer, and what must hold of every ending.
#[derive(Debug, Clone, Default)]
pub struct Test {
    /// What sagas are started with, and what services answer them. None: all is made up.
    pub cases: Vec<Case>,
    /// What must hold of every ending of every case.
    pub invariants: Vec<Invariant>,
}

/// One way to start a saga, and what services answer it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it begins with; `None`: it is made up.
    pub start: Option<Start>,
    /// What services answer, by the step as the definition names it. What is not here is made up.
    pub answers: BTreeMap<StepPath, Answers>,
    /// How it ends when nothing goes wrong.
    pub expect: Option<Expect>,
}

/// What a saga begins with.
#[derive(Debug, Clone)]
pub enum Start {
    /// Its inputs themselves. Those that are not there are made up.
    Input(Map<String, Value>),
    /// What its inputs are taken from.
    Request {
        /// As expressions see it: `method`, `path`, `query`, `headers`, `body`.
        request: Value,
        /// The claims of the caller's token.
        claims: Value,
    },
}

/// What a service answers to one step. What is `None` is made up.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Done. Of a step that is accepted first (`accept`): what the last poll gets.
    pub done: Option<Mock>,
    /// A definite no.
    pub refused: Option<Mock>,
    /// Accepted: the answer of a step with `accept`, and of a callback's `send`.
    pub accepted: Option<Mock>,
    /// What a probe (`in_doubt: check`) gets where the step was carried out.
    pub found: Option<Mock>,
    /// What a probe gets where it was not.
    pub not_found: Option<Mock>,
    /// What its undo gets.
    pub undone: Option<Mock>,
    /// What its undo gets where it is refused.
    pub undo_refused: Option<Mock>,
    /// What is called back and is a yes.
    pub approves: Option<Value>,
    /// What is called back and is a no.
    pub declines: Option<Value>,
}

/// An answer of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Mock {
    /// Its status.
    pub status: u16,
    /// Its headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its JSON body.
    pub body: Value,
}

impl Mock {
    /// As expressions see it: `status`, `headers`, `body`.
    pub fn response(&self) -> Value {
        let headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        serde_json::json!({"status": self.status, "headers": headers, "body": self.body})
    }
}

/// How a saga ends when nothing goes wrong. What is `None` may be anything.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// `completed`, `compensated`, `quarantined`.
    pub state: Option<&'static str>,
    /// What the caller gets: its status.
    pub status: Option<u16>,
    /// What the caller gets: its JSON body.
    pub body: Option<Value>,
}

/// What must hold of every ending.
#[derive(Debug, Clone)]
pub struct Invariant {
    /// What it says, in the author's words; without them, the expression.
    pub name: String,
    /// Names: `ending`, `input`.
    pub check: Expression,
}

/// What `ending` has, in the invariants' expressions.
pub const ENDING: [&str; 10] = ["case", "state", "status", "body", "effects", "undone", "fault", "faults", "reason", "seconds"];
/// What `ending.fault`, and each of `ending.faults`, has.
pub const FAULT: [&str; 3] = ["step", "undo", "outcome"];
