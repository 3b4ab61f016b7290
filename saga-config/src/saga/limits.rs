//! How much of everything a definition may have.

use std::time::Duration;

use crate::names::PATH_DEPTH;

/// Most steps, those of groups and of sub-sagas counted; a sub-saga itself counts for two, its beginning and its end.
pub const STEPS: usize = 100;
/// Most steps of one loop for all of its items.
pub const INSTANCES: usize = 10_000;
/// Most times that a service which accepted one request is asked whether it is done.
pub const POLLS: u64 = 10_000;
/// How deep sub-sagas stand in each other.
pub const SUB_SAGAS: usize = PATH_DEPTH - 1;
/// Longest path of a step, in bytes: it is a part of the key of the step's calls, and a key has at most 255 bytes.
pub const STEP_PATH_BYTES: usize = 180;
/// Most inputs.
pub const INPUTS: usize = 64;
/// Most outputs of a step.
pub const OUTPUTS: usize = 64;
/// Most headers of a call, or of an answer.
pub const HEADERS: usize = 64;
/// Most steps at once, of a saga or of a group.
pub const PARALLEL: usize = 64;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS: usize = 4096;
/// Longest path of a trigger, in bytes.
pub const PATH_BYTES: usize = 2048;
/// Longest canonical form, in bytes.
pub const CANONICAL_BYTES: usize = 1024 * 1024;
/// Most starts of one call.
pub const STARTS: u32 = 1000;
/// Longest wait for one attempt.
pub const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// Longest delay between two attempts.
pub const DELAY: Duration = Duration::from_secs(60 * 60);
/// Longest time that a call is tried, that a probe waits, and that a saga goes forward.
pub const SPAN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Longest wait of a caller before it gets a 202.
pub const PENDING: Duration = Duration::from_secs(5 * 60);
