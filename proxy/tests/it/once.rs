//! A request with a key is sent once, and its answer is given again, byte for byte.

mod answers;
mod keys;
mod sameness;

use super::support::{
    client::Call,
    origin::Origin,
    refrain::{Refrain, yaml},
};

/// An origin, and a Refrain before it whose records are in memory.
async fn pair(rest: &str) -> (Origin, Refrain) {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml("memory:", &origin, rest)).await;
    (origin, refrain)
}

/// A keyed order.
fn order(refrain: &Refrain, key: &str) -> Call {
    Call::post(&refrain.url("/orders")).key(key).json(r#"{"item":"tea","count":1}"#)
}
