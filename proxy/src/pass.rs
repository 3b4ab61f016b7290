//! Pass-through: a request that nothing protects goes to its upstream and its answer comes back, both streamed.

use http::{Method, Request, Response, StatusCode, header};
use tokio_util::task::TaskTracker;

use crate::{
    body::Body,
    idempotency::{exchange::Sender, marker::Dialect},
    problem::{Problem, ProblemName},
    server::{Shared, tunnel},
    upstream::{Call, NotSent, SendError},
};

/// Sends a call and gives its answer, whatever it is; upgrades become tunnels. A client that hangs up cancels the call.
pub async fn pass<U: Sender>(mut inner: U, mut call: Call, shared: &Shared) -> Response<Body> {
    let upgrade = wants_upgrade(&call.request).then(|| hyper::upgrade::on(&mut call.request));
    let is_connect = call.request.method() == Method::CONNECT;
    let patience = call.upstream.config().response_timeout;
    let sending = async {
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(call).await
    };
    let sent = match tokio::time::timeout(patience, sending).await {
        Ok(sent) => sent,
        Err(_) => {
            let detail = format!("the upstream did not answer within {patience:?}");
            return answer(Problem::new(ProblemName::UpstreamTimeout, detail));
        }
    };
    let mut response = match sent {
        Ok(response) => response,
        Err(SendError::NotSent(reason, _)) => return answer(not_sent(&reason)),
        Err(SendError::Unknown(reason)) => {
            tracing::warn!(%reason, "an upstream's answer was lost");
            return answer(Problem::new(ProblemName::UpstreamFailed, "the service's answer was lost"));
        }
    };
    let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS || (is_connect && response.status().is_success());
    if let (Some(client), true) = (upgrade, is_tunnel) {
        let upstream = hyper::upgrade::on(&mut response);
        spawn_tunnel(client, upstream, shared.clone(), &shared.tasks);
    }
    response
}

fn spawn_tunnel(client: hyper::upgrade::OnUpgrade, upstream: hyper::upgrade::OnUpgrade, shared: Shared, tasks: &TaskTracker) {
    tasks.spawn(async move {
        match tokio::try_join!(client, upstream) {
            Ok((client, upstream)) => tunnel(client, upstream, &shared).await,
            Err(error) => tracing::debug!(%error, "an upgrade did not come about"),
        }
    });
}

/// Whether a request asks to leave HTTP: `Upgrade` (RFC 9110, section 7.8) or CONNECT.
pub fn wants_upgrade(request: &Request<Body>) -> bool {
    request.method() == Method::CONNECT
        || (request.headers().contains_key(header::UPGRADE) && request.headers().contains_key(header::CONNECTION))
}

/// The problem of a request that was not sent: at a bound of ours 503, else 502.
pub fn not_sent(reason: &NotSent) -> Problem {
    let name = if reason.is_overload() { ProblemName::Overloaded } else { ProblemName::UpstreamNotReached };
    Problem::new(name, reason.to_string())
}

/// A problem as an answer outside the idempotency layer.
pub fn answer(problem: Problem) -> Response<Body> {
    problem.into_response(Dialect::Ietf).map(Body::full)
}
