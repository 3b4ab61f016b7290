//! Requests of Refrain's own, without effect: for keys, and for whether a token was revoked.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, response::Parts};
use tower::Service as _;

use crate::{
    body::{Body, Budget, Collected, collect},
    upstream::{Call, Send as SendCall, SendError, Upstream},
};

/// A question.
pub(super) struct Asking<'a> {
    /// Who is asked.
    pub(super) upstream: &'a Arc<Upstream>,
    /// By whose connections.
    pub(super) core: usize,
    /// What.
    pub(super) request: Request<Body>,
    /// How long the answer may take, to its last byte.
    pub(super) within: Duration,
    /// How long its body may be, in bytes.
    pub(super) at_most: u64,
}

/// The answer, whole. Without one: why, in words for the log.
pub(super) async fn ask(asking: Asking<'_>) -> Result<(Parts, Bytes), String> {
    let within = asking.within;
    // Boxed, for few requests ask anything.
    let answer = tokio::time::timeout(within, Box::pin(exchange(asking)));
    answer.await.unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
}

async fn exchange(asking: Asking<'_>) -> Result<(Parts, Bytes), String> {
    let Asking { upstream, core, request, at_most, .. } = asking;
    let call = Call { upstream: Arc::clone(upstream), core, request, gate: None };
    let response = SendCall.call(call).await.map_err(|error| match error {
        SendError::NotSent(reason, _) => reason.to_string(),
        SendError::Unknown(reason) => reason,
    })?;
    let (parts, body) = response.into_parts();
    // Small, and not the clients': what they may hold together is not theirs to take.
    match collect(body, at_most, &Budget::new(at_most), None).await {
        Collected::Whole { bytes, .. } => Ok((parts, bytes)),
        Collected::Over(_) | Collected::NoBudget(_) => Err(format!("the answer has more than {at_most} bytes")),
        Collected::Broken(error) => Err(format!("the answer broke off: {error}")),
        Collected::TimedOut => Err("the answer did not end in time".to_owned()),
    }
}
