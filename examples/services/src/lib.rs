//! An example shop: two services that hold no code against repeated requests.

pub mod services;
