//! What an exchange takes before it does anything.

use super::*;
use crate::{
    store::{Complete, backend::Backend, embedded::EmbeddedStore, memory::MemoryStore, redis::RedisStore},
    upstream::Send as SendCall,
};

fn future_of<A, F>(_: fn(A) -> F) -> usize {
    size_of::<F>()
}

/// It is moved into its box, and everything that it awaits is inside it.
#[test]
fn the_future_of_an_exchange_is_small() {
    let exchange = future_of(|exchange: Box<Exchange<Backend, SendCall>>| exchange.run());
    let sizes = [
        ("Exchange", size_of::<Exchange<Backend, SendCall>>()),
        ("Call", size_of::<Call>()),
        ("Claim", size_of::<Claim>()),
        ("run memory", future_of(|exchange: Box<Exchange<MemoryStore, SendCall>>| exchange.run())),
        ("claim", future_of(|(store, claim): (&'static Backend, Claim)| store.claim(claim))),
        (
            "claim_and_go_on",
            future_of(|exchange: &'static mut Exchange<MemoryStore, SendCall>| {
                exchange.claim_and_go_on(None, Box::leak(Box::default()))
            }),
        ),
    ];
    assert!(exchange <= 5 * 1024, "{exchange}: {sizes:?}");
}
