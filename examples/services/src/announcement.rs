//! What the shop tells the person in front of it.
#![expect(clippy::print_stdout, reason = "standard output is where these lines belong")]

use std::net::SocketAddr;
use std::process::ExitStatus;

use uuid::Uuid;

use crate::sidecar::Sidecar;

/// Where a service and its sidecar are.
#[derive(Debug)]
pub struct Place {
    name: &'static str,
    service: SocketAddr,
    sidecar: SocketAddr,
    admin: SocketAddr,
    process: Option<u32>,
}

impl Place {
    /// Where this sidecar and its service are.
    pub fn of(sidecar: &Sidecar) -> Self {
        Self {
            name: sidecar.name(),
            service: sidecar.upstream(),
            sidecar: sidecar.listen(),
            admin: sidecar.admin(),
            process: sidecar.process_id(),
        }
    }
}

/// Tells where everything is and what to try first.
pub fn opened(places: &[Place], data: &str) {
    let row = |name: &str, service: &str, sidecar: &str, admin: &str, process: &str| {
        println!("{name:<8} {service:<24} {sidecar:<24} {admin:<24} {process}");
    };
    row("", "service", "its Refrain", "admin", "process of Refrain");
    for place in places {
        let Place { name, service, sidecar, admin, process } = place;
        let process = process.map_or("ended".to_owned(), |id| id.to_string());
        let [service, sidecar, admin] = [service, sidecar, admin].map(|address| format!("http://{address}"));
        row(name, &service, &sidecar, &admin, &process);
    }
    println!("data     {data}");

    let Some(orders) = places.iter().find(|place| place.name == "orders") else {
        return;
    };
    let url = format!("http://{}/orders/", orders.sidecar);
    // Fresh each time: a kept folder remembers the keys of earlier runs.
    let order = format!(
        "curl -i {url} -H 'Content-Type: application/json' -H 'Idempotency-Key: {}' \
         -d '{{\"items\": [{{\"product_id\": 1, \"quantity\": 2}}]}}'",
        Uuid::new_v4()
    );
    println!();
    println!("# place an order");
    println!("{order}");
    println!("# the same again: replayed, and orders hears nothing of it");
    println!("{order}");
    println!("# one order");
    println!("curl {url}");
    println!();
    println!("Ctrl-C stops everything.");
}

/// Tells that a sidecar ended and runs again.
pub fn restarted(name: &str, ended: ExitStatus, process: Option<u32>) {
    let process = process.map_or("a process that ended".to_owned(), |id| format!("process {id}"));
    println!("The Refrain of {name} ended ({ended}) and runs again as {process}.");
}
