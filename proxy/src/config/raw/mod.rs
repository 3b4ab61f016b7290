//! The file as it is written: the mirror that serde fills. What its fields say of themselves is what editors show.
//!
//! Everything may be left out. What a schema requires all the same is an `Option` here too, so that a file with a mistake in it can be
//! read for the rest of its mistakes: where such a field is `None`, that has been reported. `default` is for editors and for the
//! test that holds it against the truth.

pub(super) mod authentication;
pub(super) mod idempotency;
pub(super) mod route;
pub(super) mod sagas;
mod store_url;
pub(super) mod text;
pub(super) mod upstream;

use std::collections::BTreeMap;

use saga_config::units::{ByteCount, DurationText};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

pub(super) use store_url::WrittenStoreUrl;

/// The configuration of a Refrain.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "refrain.yaml")]
pub(super) struct Raw {
    /// Where to listen for clients: one address with its port, or a list.
    #[schemars(extend("default" = "127.0.0.1:8080"))]
    pub(super) listen: Option<Listen>,
    /// The admin side: health, metrics and operations. Never the clients' address.
    pub(super) admin: Option<Admin>,
    /// How many cores serve: `auto` is the CPU quota of the cgroup rounded up, and never more than the CPUs that this process may use.
    #[schemars(extend("default" = "auto"))]
    pub(super) workers: Option<Workers>,
    /// Where the records of keyed requests are kept.
    pub(super) store: Option<Store>,
    /// The services that requests go to, by name. The name is part of every record's name: under a new one, earlier keys are forgotten.
    #[serde(default)]
    #[schemars(schema_with = "upstreams")]
    pub(super) upstreams: Option<BTreeMap<String, upstream::Upstream>>,
    /// What every route promises for keyed requests, unless it says otherwise. `off`: nothing.
    pub(super) idempotency: Option<idempotency::Idempotency>,
    /// Which requests go where. The most specific one that matches counts, whatever the order: an exact path before a template before a
    /// prefix, a longer prefix before a shorter one, then with a host before without, then with methods before without. What none
    /// matches goes to the upstream that is `local`.
    #[schemars(length(max = 1000))]
    pub(super) routes: Option<Vec<route::Route>>,
    /// Who callers are. Absent: no token is looked at, and `claims` are nowhere.
    pub(super) authentication: Option<authentication::Authentication>,
    /// What is bounded, and how. For the whole process.
    pub(super) limits: Option<Limits>,
    /// What upstreams are told about the way a request took.
    pub(super) forwarded: Option<Forwarded>,
    /// Whose saga calls are believed. Without any, requests that claim to be saga calls are refused or stripped of that claim.
    pub(super) saga_peers: Option<SagaPeers>,
    /// What sagas name as `secret('NAME')`, and where it is: in headers, and in the bodies of `sensitive` sagas.
    #[serde(default)]
    #[schemars(schema_with = "secrets")]
    pub(super) secrets: Option<BTreeMap<String, Secret>>,
    /// The sagas, and how they are run.
    pub(super) sagas: Option<sagas::Sagas>,
    /// Where clients reach this Refrain: what stands before the addresses of sagas that they are told. Absent: they are told paths.
    pub(super) public_url: Option<text::Endpoint>,
    /// Whether every request gets a line in the log.
    #[schemars(extend("default" = false))]
    pub(super) access_log: Option<bool>,
}

/// One address or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Listen {
    One(text::Address),
    Many(#[schemars(length(min = 1, max = 64))] Vec<Listener>),
}

/// One address of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Listener {
    Plain(text::Address),
    Full(FullListener),
}

/// An address to listen on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FullListener {
    /// The address with its port.
    #[schemars(required)]
    pub(super) address: Option<text::Address>,
}

/// The admin side.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// Where to listen: one address with its port.
    #[schemars(extend("default" = "127.0.0.1:9090"))]
    pub(super) listen: Option<text::Address>,
}

/// How many cores serve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Workers {
    Word(Auto),
    Number(#[schemars(range(min = 1, max = 1024))] u16),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auto {
    Auto,
}

/// Where records are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// `memory:` is gone with the process. `embedded:PATH` is one file for one process; without a path it is in the state folder
    /// (`$STATE_DIRECTORY`, `$XDG_STATE_HOME/refrain` or `~/.local/state/refrain`). `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, or
    /// `rediss://` for TLS, is shared by all replicas.
    #[schemars(extend("default" = "embedded:"))]
    pub(super) url: Option<text::StoreUrl>,
    /// How long one operation may take.
    #[schemars(extend("default" = "1s"))]
    pub(super) timeout: Option<DurationText>,
    /// What seals stored requests and responses.
    pub(super) encryption: Option<Encryption>,
    /// Accept a Redis that evicts keys when its memory is full. A record that is evicted is a request that may execute again.
    #[schemars(extend("default" = false))]
    pub(super) allow_eviction: Option<bool>,
}

/// What seals stored requests and responses.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Encryption {
    /// The first key writes, all of them read. To change keys, put the new one first, and drop the old one when its records have expired.
    #[schemars(length(max = 16), extend("default" = []))]
    pub(super) keys: Option<Vec<EncryptionKey>>,
}

/// A key that seals.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EncryptionKey {
    /// The key's name, which is kept with what it sealed: 1 to 32 characters out of letters, digits, `.`, `_` and `-`.
    #[schemars(required)]
    pub(super) id: Option<String>,
    /// Where the key is: 32 bytes in base64 or hexadecimal.
    #[schemars(required)]
    pub(super) key: Option<Secret>,
}

/// Where a secret is: in a file or in the environment, never in the configuration itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Secret {
    /// The path of a file; a relative one is relative to the configuration.
    File(#[schemars(length(min = 1))] String),
    /// The name of an environment variable.
    Env(#[schemars(length(min = 1))] String),
}

/// What is bounded, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// The head of a request; over it, 431.
    #[schemars(extend("default" = "64KiB"))]
    pub(super) header_bytes: Option<ByteCount>,
    /// Header lines of a request; over it, 431.
    #[schemars(range(min = 1, max = 10000), extend("default" = 100))]
    pub(super) headers: Option<u32>,
    /// Open client connections; over it, 503 and close.
    #[schemars(range(min = 1), extend("default" = 10000))]
    pub(super) connections: Option<u32>,
    /// Requests under way; over it, 503.
    #[schemars(range(min = 1), extend("default" = 1024))]
    pub(super) in_flight: Option<u32>,
    /// Bytes of bodies that all protected requests hold together; over it, 503.
    #[schemars(extend("default" = "64MiB"))]
    pub(super) buffered: Option<ByteCount>,
    /// How long a client may take to send the head of a request; over it, 408.
    #[schemars(extend("default" = "10s"))]
    pub(super) header_timeout: Option<DurationText>,
    /// How long a client's connection may be idle between requests.
    #[schemars(extend("default" = "75s"))]
    pub(super) idle_timeout: Option<DurationText>,
    /// How long requests may take to finish when the process is told to end.
    #[schemars(extend("default" = "30s"))]
    pub(super) drain: Option<DurationText>,
}

/// What upstreams are told about the way a request took.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Forwarded {
    /// Whether `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` are sent.
    #[schemars(extend("default" = true))]
    pub(super) x_forwarded: Option<bool>,
    /// Whether `Forwarded` (RFC 7239) is sent.
    #[schemars(extend("default" = false))]
    pub(super) forwarded: Option<bool>,
    /// Whether `Via` (RFC 9110, section 7.6.3) is added, to requests and to responses.
    #[schemars(extend("default" = false))]
    pub(super) via: Option<bool>,
}

/// Whose saga calls are believed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SagaPeers {
    /// Where the shared key is that signs the headers of a saga call: at least 16 characters.
    pub(super) key: Option<Secret>,
    /// Networks whose callers are believed. The TCP connection counts, never a header.
    #[schemars(length(max = 1000), extend("default" = []))]
    pub(super) networks: Option<Vec<text::Network>>,
}

fn secrets(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "propertyNames": {"type": "string", "format": text::SECRET_NAME.name},
        "additionalProperties": generator.subschema_for::<Secret>(),
        "maxProperties": 1000,
    })
}

fn upstreams(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "propertyNames": {"type": "string", "format": text::UPSTREAM_NAME.name},
        "additionalProperties": generator.subschema_for::<upstream::Upstream>(),
        "maxProperties": 1000,
    })
}
