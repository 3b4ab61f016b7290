//! The bench's saga as a Restate service: steps that are real HTTP calls, each durable, each with its undo.
//!
//! The shape is the one of Restate's guide to sagas: an undo is put on a list before its step runs, and a terminal error runs the
//! list backwards. The client keeps its connections. What a step answers stays here but for its status, so that Restate journals
//! no more than it needs.
//!
//! The SDK's own server leaves Nagle's algorithm on, and each step then waits 40 ms for a delayed acknowledgement. So this serves by
//! itself what the SDK offers to hyper, with `TCP_NODELAY`.

use std::env;

use hyper_util::rt::{TokioExecutor, TokioIo};
use restate_sdk::hyper::HyperEndpoint;
use restate_sdk::prelude::*;
use tokio::net::TcpListener;

/// What a caller orders: passed to every step.
#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    order: String,
}

struct Saga {
    client: reqwest::Client,
    /// Where the steps are, without a slash at the end.
    origin: String,
}

impl Saga {
    /// One call. A 4xx answer is final, everything else is tried again by Restate.
    async fn call(&self, what: &str, step: usize, order: &str) -> Result<u16, HandlerError> {
        let answer = self
            .client
            .post(format!("{}/{what}/{step}", self.origin))
            .header("content-type", "application/json")
            .body(format!(r#"{{"order":"{order}","step":{step}}}"#))
            .send()
            .await?;
        let status = answer.status();
        answer.bytes().await?;
        if status.is_client_error() {
            return Err(TerminalError::new_with_code(status.as_u16(), "the step was refused").into());
        }
        if !status.is_success() {
            return Err(std::io::Error::other(format!("step {step} answered {status}")).into());
        }
        Ok(status.as_u16())
    }

    async fn saga(&self, ctx: &Context<'_>, order: &str, steps: usize) -> Result<String, HandlerError> {
        let mut undo = Vec::with_capacity(steps);
        for step in 1..=steps {
            undo.push(step);
            let done = ctx.run(|| self.call("step", step, order)).name(format!("step {step}")).await;
            let Err(refused) = done else { continue };
            for step in undo.into_iter().rev() {
                ctx.run(|| self.call("undo", step, order)).name(format!("undo {step}")).await?;
            }
            return Err(refused.into());
        }
        Ok(order.to_owned())
    }
}

#[service]
impl Saga {
    #[handler]
    async fn two(&self, ctx: Context<'_>, input: Json<Order>) -> Result<String, HandlerError> {
        self.saga(&ctx, &input.into_inner().order, 2).await
    }

    #[handler]
    async fn five(&self, ctx: Context<'_>, input: Json<Order>) -> Result<String, HandlerError> {
        self.saga(&ctx, &input.into_inner().order, 5).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [Some(listen), Some(origin)] = [1, 2].map(|n| env::args().nth(n)) else {
        return Err("bench-restate-service LISTEN ORIGIN".into());
    };
    let saga = Saga { client: reqwest::Client::new(), origin };
    let endpoint = HyperEndpoint::new(Endpoint::builder().bind(saga).build());
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), endpoint.clone());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                eprintln!("a connection of Restate's: {error}");
            }
        });
    }
}
