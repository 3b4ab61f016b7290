//! The containers of the Kustomize base and of Compose, and how each is told what to do.

use std::collections::BTreeMap;

use clap::{CommandFactory as _, Parser as _};
use serde_json::Value;
use shop::cli::{Cli, Command};

use crate::sidecars::{self, Sidecar, port};
use crate::yaml::{document, documents, files, items, str_at, texts};

/// A container whose image is built here.
struct Container {
    /// The file, and who it is there.
    at: String,
    /// The service or the edge that it belongs to.
    owner: String,
    program: Program,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    /// What is run to see whether it is well.
    checks: Vec<Vec<String>>,
    /// Where it is asked whether it is well.
    paths: Vec<String>,
    ports: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Refrain,
    Shop,
}

impl Program {
    fn of(image: &str) -> Option<Self> {
        match image.split(':').next().unwrap() {
            "refrain" => Some(Self::Refrain),
            "shop" => Some(Self::Shop),
            _ => None,
        }
    }
}

/// Those of the base. What is the same of every Refrain is in the component, which is added.
fn of_base() -> Vec<Container> {
    let common = document("deployments/sidecar/refrain.yaml");
    let common = common.pointer("/spec/template/spec/initContainers/0").unwrap();
    let mut found = Vec::new();
    for path in files("deployments/shop/base", ".yaml") {
        for workload in documents(&path).iter().filter(|document| document["kind"] == "Deployment") {
            let is_sidecar = workload.pointer("/metadata/labels/refrain").is_some();
            let spec = "/spec/template/spec";
            for entry in items(workload, &format!("{spec}/initContainers")).chain(items(workload, &format!("{spec}/containers")))
            {
                let Some(program) = Program::of(str_at(entry, "/image")) else { continue };
                let common = Some(common).filter(|_| is_sidecar && program == Program::Refrain);
                found.push(of_pod(&path, str_at(workload, "/metadata/name"), program, entry, common));
            }
        }
    }
    assert_eq!(found.len(), 11);
    found
}

fn of_pod(path: &str, owner: &str, program: Program, entry: &Value, common: Option<&Value>) -> Container {
    let said = |key: &str| entry.get(key).or_else(|| common?.get(key));
    let probes: Vec<&Value> = ["startupProbe", "readinessProbe", "livenessProbe"].into_iter().filter_map(said).collect();
    assert_eq!(probes.len(), 3, "{path}: {owner}");
    let variable = |entry: &Value| {
        (str_at(entry, "/name").to_owned(), entry.get("value").and_then(Value::as_str).unwrap_or("$(a secret)").to_owned())
    };
    Container {
        at: format!("{path}: {owner}/{}", str_at(entry, "/name")),
        owner: owner.to_owned(),
        program,
        arguments: said("args").map(|args| texts(args, "")).unwrap_or_default(),
        variables: items(entry, "/env").map(variable).collect(),
        checks: probes.iter().filter_map(|probe| Some(texts(probe.pointer("/exec/command")?, ""))).collect(),
        paths: probes.iter().filter_map(|probe| Some(str_at(probe.get("httpGet")?, "/path").to_owned())).collect(),
        ports: items(entry, "/ports").map(|port| port["containerPort"].as_u64().unwrap()).collect(),
    }
}

/// Those of Compose.
fn of_compose() -> Vec<Container> {
    let file = document("deployments/compose.yaml");
    let mut found = Vec::new();
    for (name, entry) in file["services"].as_object().unwrap() {
        let Some(program) = Program::of(str_at(entry, "/image")) else { continue };
        let check = texts(entry, "/healthcheck/test");
        assert_eq!(check[0], "CMD", "{name}: there is no shell");
        let variables = entry["environment"].as_object().unwrap();
        found.push(Container {
            at: format!("deployments/compose.yaml: {name}"),
            owner: name.trim_end_matches("-service").to_owned(),
            program,
            arguments: texts(entry, "/command"),
            variables: variables.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
            checks: vec![check[1..].to_vec()],
            paths: Vec::new(),
            ports: Vec::new(),
        });
    }
    assert_eq!(found.len(), 11);
    found
}

fn all() -> Vec<Container> {
    of_base().into_iter().chain(of_compose()).collect()
}

fn refrains() -> impl Iterator<Item = (Container, Sidecar)> {
    let refrains = all().into_iter().filter(|container| container.program == Program::Refrain);
    refrains.map(|container| {
        let sidecar = sidecars::of(&container.owner);
        (container, sidecar)
    })
}

/// What `refrain` says of a subcommand.
fn help(subcommand: &str) -> String {
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_shop")).args(["sidecar", subcommand, "--help"]).output().unwrap();
    assert!(shown.status.success(), "refrain {subcommand}: {}", String::from_utf8_lossy(&shown.stderr));
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn every_refrain_listens_where_its_file_says() {
    for (container, sidecar) in refrains() {
        let at = &container.at;
        assert_eq!(port(&container.variables["REFRAIN_LISTEN"]), sidecar.listen, "{at}");
        assert_eq!(port(&container.variables["REFRAIN_ADMIN"]), sidecar.admin, "{at}");
        let config = &container.variables["REFRAIN_CONFIG"];
        assert_eq!(*config, format!("/etc/refrain/sidecars/{}.yaml", sidecar.name), "{at}");
        if !container.ports.is_empty() {
            assert_eq!(container.ports, [u64::from(sidecar.listen), u64::from(sidecar.admin)], "{at}");
        }
    }
}

#[test]
fn every_refrain_is_told_where_each_of_its_upstreams_is_and_of_no_other() {
    for (container, sidecar) in refrains() {
        let words = container.variables["REFRAIN_UPSTREAM"].split(' ');
        let (named, local): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
        assert_eq!(local.iter().map(|url| port(url)).collect::<Vec<_>>(), Vec::from_iter(sidecar.service), "{}", container.at);
        let named: BTreeMap<String, u16> =
            named.iter().map(|word| word.split_once('=').unwrap()).map(|(name, url)| (name.to_owned(), port(url))).collect();
        assert_eq!(named, sidecar.upstreams, "{}", container.at);
    }
}

#[test]
fn every_variable_of_a_refrain_is_one_that_is_read() {
    let help = help("run");
    for (container, sidecar) in refrains() {
        let values: String = container.variables.values().cloned().collect();
        for name in container.variables.keys() {
            let is_flag = help.contains(&format!("[env: {name}"));
            let is_used = values.contains(&format!("$({name})"));
            assert!(is_flag || is_used || sidecar.variables.contains(name), "{}: nobody reads {name}", container.at);
        }
        for name in &sidecar.variables {
            assert!(container.variables.contains_key(name), "{}: {name} is not set", container.at);
        }
    }
}

#[test]
fn every_service_is_started_as_the_program_can_be() {
    for container in all().iter().filter(|container| container.program == Program::Shop) {
        let at = &container.at;
        let words =
            ["shop"].into_iter().chain(container.arguments.iter().map(String::as_str)).chain(["--database", "sqlite:///a"]);
        let parsed = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{at}: {error}"));
        let Some(Command::Service(service)) = parsed.command else { panic!("{at}: not a service") };
        assert_eq!(
            (service.name.name(), service.listen.unwrap().port()),
            (&*container.owner, service.name.address().port()),
            "{at}"
        );

        let known = Cli::command();
        let service = known.find_subcommand("service").unwrap();
        let read: Vec<_> = service.get_arguments().filter_map(clap::Arg::get_env).collect();
        assert_eq!(read, ["DATABASE_URL"]);
        let url = container.variables["DATABASE_URL"].clone();
        let used = |name: &String| name == "DATABASE_URL" || url.contains(&format!("$({name})"));
        assert!(container.variables.keys().all(used), "{at}: a variable that nobody reads");
        assert!(
            url.starts_with(&format!("postgres://{}:", container.owner)) && url.ends_with(&format!("/{}", container.owner)),
            "{url}"
        );
    }
}

#[test]
fn every_refrain_is_started_as_the_program_can_be() {
    help("run");
    for (container, _) in refrains() {
        assert_eq!(container.arguments, ["run"], "{}: the rest is in variables", container.at);
    }
}

#[test]
fn every_health_check_is_a_command_that_exists_or_a_path_that_is_served() {
    let admin = crate::yaml::text("proxy/src/admin/mod.rs");
    help("ready");
    let mut checks = 0;
    for container in all() {
        let at = &container.at;
        for path in &container.paths {
            assert!(admin.contains(&format!(".route(\"{path}\", get(")), "{at}: {path} is not served");
            checks += 1;
        }
        for check in &container.checks {
            match &check.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["/usr/local/bin/refrain", "ready"] => assert!(container.program == Program::Refrain, "{at}"),
                ["/usr/local/bin/shop", rest @ ..] => {
                    assert!(container.program == Program::Shop, "{at}");
                    let parsed = Cli::try_parse_from(["shop"].iter().chain(rest)).unwrap_or_else(|error| panic!("{at}: {error}"));
                    let Some(Command::Health { address }) = parsed.command else { panic!("{at}: not a health check") };
                    assert_eq!(Some(address.port()), sidecars::of(&container.owner).service, "{at}");
                }
                other => panic!("{at}: {other:?}"),
            }
            checks += 1;
        }
    }
    // Three probes of each container of the base, one of each of Compose's.
    assert_eq!(checks, 3 * 11 + 11);
}
