//! What the shop tells the person in front of it.

use std::fmt;
use std::io::Write;
use std::process::ExitStatus;

use uuid::Uuid;

use crate::running::member::Member;
use crate::running::table::{RefrainRow, Table};

/// Tells where everything is and what to try first. `remark`: what becomes of the data.
pub fn opened(table: &Table, remark: &str) {
    row(["", "service", "its Refrain", "admin", "service's process", "Refrain's process"]);
    let id = |pid: Option<u32>| pid.map_or("-".to_owned(), |pid| pid.to_string());
    for service in &table.services {
        let name = service.name.name();
        for RefrainRow { url, admin, pid } in &service.sidecars {
            row([name, &service.url, url, admin, &id(service.pid), &id(*pid)]);
        }
    }
    let RefrainRow { url, admin, pid } = &table.edge;
    row(["edge", "-", url, admin, "-", &id(*pid)]);
    say(format_args!("data           {}{remark}", table.data));
    say("");
    say(guide(url));
    say("");
    say("Ctrl-C stops everything.");
}

/// Tells that a process ended.
pub fn ended(member: Member, status: ExitStatus) {
    say(format_args!("{} ended ({status}).", capitalised(member)));
}

/// Tells that a process runs again.
pub fn runs_again(member: Member, pid: u32) {
    say(format_args!("{} runs again as process {pid}.", capitalised(member)));
}

/// Tells that chaos kills a process.
pub fn killed(member: Member, pid: u32) {
    say(format_args!("Chaos kills {member}, process {pid}."));
}

/// Tells what chaos is drawn from.
pub fn chaos(seed: u64) {
    say(format_args!("chaos          --chaos-seed {seed} draws the same again"));
}

fn say(line: impl fmt::Display) {
    // Whoever closed the stream does not want to know; the shop goes on.
    let _heard = writeln!(std::io::stdout(), "{line}");
}

fn row([name, service, sidecar, admin, service_process, sidecar_process]: [&str; 6]) {
    say(format_args!("{name:<14} {service:<23} {sidecar:<23} {admin:<23} {service_process:<18} {sidecar_process}"));
}

fn capitalised(member: Member) -> String {
    let name = member.to_string();
    let mut rest = name.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Lines to paste into a shell. What has to be new is new each time: a kept folder remembers earlier runs.
fn guide(edge: &str) -> String {
    let visitor = &Uuid::new_v4().simple().to_string()[..8];
    let [top_up, order, big_order] = [(); 3].map(|()| Uuid::new_v4());
    let json = "-H 'Content-Type: application/json'";
    let token = r#"-H "Authorization: Bearer $TOKEN""#;
    let ordered = |key: Uuid, quantity: u32| {
        format!(
            "curl -iw '\\n' $SHOP/orders/ {token} {json} -H 'Idempotency-Key: {key}' \
             -d '{{\"items\": [{{\"product_id\": 1, \"quantity\": {quantity}}}]}}'"
        )
    };
    let (two, hundred) = (ordered(order, 2), ordered(big_order, 100));
    format!(
        r#"# A guided tour, to paste line by line. Everything goes to the edge.
SHOP={edge}
# register: a user, an account and a token, or none of them
TOKEN=$(curl -s $SHOP/register/ {json} -d '{{"email": "ada-{visitor}@example.com", "first_name": "Ada", "last_name": "Lovelace", "password": "analytical engine"}}' | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')
# your account
curl -iw '\n' $SHOP/account/ {token}
ACCOUNT=$(curl -s $SHOP/account/ {token} | sed -n 's/.*"id": *\([0-9]*\).*/\1/p')
# top it up with 5.00
curl -iw '\n' $SHOP/balance_transactions/ {token} {json} -H 'Idempotency-Key: {top_up}' -d '{{"account_id": '$ACCOUNT', "type": "charge", "amount": 500, "currency": "USD"}}'
# order two things of 1.00
{two}
# the same again: the same order, byte for byte, and paid once
{two}
curl -iw '\n' $SHOP/account/ {token}
# a hundred of them are more than you have: 402, and nothing was ordered or paid
{hundred}
# log out; then the token is good for nothing
curl -iw '\n' -X POST $SHOP/logout/ {token}
curl -iw '\n' $SHOP/account/ {token}"#
    )
}
