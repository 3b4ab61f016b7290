//! What an exchange takes before it does anything.

use super::*;
use crate::{store::backend::Backend, upstream::Send as SendCall};

fn future_of<A, F>(_: fn(A) -> F) -> usize {
    size_of::<F>()
}

/// It is moved into its box, and everything that it awaits is inside it.
#[test]
fn the_future_of_an_exchange_is_small() {
    let bytes = future_of(|exchange: Box<Exchange<Backend, SendCall>>| exchange.run());
    assert!(bytes <= 5 * 1024, "{bytes} bytes");
}
