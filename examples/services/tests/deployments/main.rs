//! Every port, path, variable, flag, file and image that deployments/ names is one of the code's. What a cluster or Compose would
//! say to the whole is checked by scripts/check-deployments.

#![allow(clippy::unwrap_used)]

mod containers;
mod names;
mod sidecars;
mod yaml;
