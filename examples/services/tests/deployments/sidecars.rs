//! What the sidecars' files say: the truth that deployments are held against.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shop::running::member::Service;

use crate::yaml::{document, str_at, texts};

/// The file of one Refrain.
pub(crate) struct Sidecar {
    pub(crate) name: &'static str,
    pub(crate) listen: u16,
    pub(crate) admin: u16,
    /// The service's port, where there is one.
    pub(crate) service: Option<u16>,
    /// The ports of the other upstreams.
    pub(crate) upstreams: BTreeMap<String, u16>,
    /// The variables that it takes secrets from.
    pub(crate) variables: BTreeSet<String>,
    /// The sagas, as the file names them.
    pub(crate) sagas: Vec<String>,
}

/// All of them, the edge first.
pub(crate) fn all() -> Vec<Sidecar> {
    std::iter::once("edge").chain(Service::ALL.map(Service::name)).map(read).collect()
}

/// The one of that name.
pub(crate) fn of(name: &str) -> Sidecar {
    all().into_iter().find(|sidecar| sidecar.name == name).unwrap_or_else(|| panic!("there is no sidecar {name}"))
}

/// The port at the end of an address or a URL.
#[track_caller]
pub(crate) fn port(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap_or_else(|_| panic!("no port: {address}"))
}

fn read(name: &'static str) -> Sidecar {
    let file = document(&format!("examples/services/sidecars/{name}.yaml"));
    let mut upstreams = BTreeMap::new();
    let mut service = None;
    for (upstream, entry) in file["upstreams"].as_object().unwrap() {
        let port = port(str_at(entry, "/url"));
        if entry["local"] == true {
            assert_eq!((upstream.as_str(), service.replace(port)), (name, None));
        } else {
            upstreams.insert(upstream.clone(), port);
        }
    }
    let mut variables = BTreeSet::new();
    collect_variables(&file, &mut variables);
    Sidecar {
        name,
        listen: port(str_at(&file, "/listen")),
        admin: port(str_at(&file, "/admin/listen")),
        service,
        upstreams,
        variables,
        sagas: texts(&file, "/sagas/files"),
    }
}

/// The names in `{env: NAME}`, wherever they are.
fn collect_variables(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            if let (1, Some(Value::String(name))) = (entries.len(), entries.get("env")) {
                found.insert(name.clone());
            }
            entries.values().for_each(|value| collect_variables(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_variables(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_file_says_where_the_others_are() {
    let all = all();
    for sidecar in &all {
        for (upstream, port) in &sidecar.upstreams {
            assert_eq!(all.iter().find(|other| other.name == upstream).unwrap().listen, *port, "{} and {upstream}", sidecar.name);
        }
    }
    for service in Service::ALL {
        let sidecar = of(service.name());
        let said = (sidecar.service, sidecar.listen, sidecar.admin);
        assert_eq!(said, (Some(service.address().port()), service.sidecar_address().port(), service.admin_address().port()));
    }
}
