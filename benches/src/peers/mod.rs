//! Those that Refrain is measured beside, and Refrain itself: how each is configured and started. Their configurations are in
//! `benches/peers`, with what makes them fair.

pub(crate) mod caddy;
pub(crate) mod dtmrs;
pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod idempot_js;
pub(crate) mod idempotent_proxy;
pub(crate) mod nginx;
pub(crate) mod redis;
pub(crate) mod refrain;
pub(crate) mod restate;
pub(crate) mod splice;

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::error::Error;
use crate::settings::Settings;

/// The first thing like a version that a program says of itself.
pub(crate) async fn version(program: &Path, argument: &str) -> Result<String, Error> {
    let output = Command::new(program).arg(argument).output().await.map_err(Error::io(format!("run {}", program.display())))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let words = said.split(|c: char| c.is_whitespace() || "/=v:(".contains(c));
    Ok(words.filter(|word| !word.is_empty()).find(is_version).unwrap_or("unknown").trim_end_matches([',', ')']).to_owned())
}

/// A file that the `install` of a peer has put into the peer's own folder.
fn installed(settings: &Settings, peer: &str, file: &str) -> Result<PathBuf, Error> {
    let path = settings.tools.join(peer).join(file);
    if !path.is_file() {
        return Err(Error::Missing(peer.to_owned()));
    }
    std::path::absolute(&path).map_err(Error::io(format!("find {peer}")))
}
