//! What Refrain's files are made of: YAML in, proven sagas out.
//!
//! [`yaml`] reads a file into a tree that knows its places, [`schema`] holds it against what may stand there, and [`diagnostic`]
//! says what is wrong, where, and what would be right. [`units`] are durations and sizes, [`names`] are what the files call
//! things, [`expr`] is the language inside `${…}`, [`template`] is text with `${…}` in it, and [`saga`] is what a saga's file comes
//! to; [`diagram`] draws one.
//!
//! # The dialect by example
//!
//! A saga is a file. It says what starts it, its steps, and what undoes each:
//!
//! ```
//! use saga_config::{diagnostic::Source, saga::{Action, Saga}};
//!
//! let source = Source::new("sagas/order.yaml", r#"
//! saga: order
//! version: 1
//! trigger: {route: POST /orders/}
//! input: {items: {from: "${request.body.items}", type: list, check: "${size(self) > 0}"}}
//! steps:
//!   - id: create
//!     call: orders POST /internal/orders/
//!     body: {items: "${input.items}", reference: "${step.key}"}
//!     output: {id: "${response.body.id}"}
//!     compensate: {call: "orders DELETE /internal/orders/${steps.create.id}/", effect: idempotent}
//!   - id: announce
//!     call: notifications POST /events
//!     compensate: none          # must be said
//!     on_failure: continue      # best effort
//! response: {completed: {status: 201, body: {id: "${steps.create.id}"}}}
//! "#);
//! let saga = Saga::load(&source, None).expect("nothing is wrong with it").saga;
//! assert_eq!(saga.steps.len(), 2);
//! assert!(matches!(&saga.steps[0].action, Action::Call(call) if call.compensate.is_some()));
//! ```
//!
//! Steps run one after the other, unless they stand in a group, or one says `needs`: then the list is a graph.
//!
//! ```
//! # use saga_config::{diagnostic::Source, saga::Saga};
//! # let load = |text: &str| Saga::load(&Source::new("s.yaml", text), None).expect("nothing is wrong with it").saga;
//! let saga = load(r#"
//! saga: journey
//! version: 1
//! trigger: {route: POST /journeys/}
//! steps:
//!   - id: seats
//!     parallel:
//!       steps:
//!         - {id: train, call: trains POST /seats, compensate: {call: "trains DELETE /seats/${saga.id}"}}
//!         - {id: ferry, call: ferries POST /seats, compensate: {call: "ferries DELETE /seats/${saga.id}"}}
//!   - {id: tickets, pivot: true, call: tickets POST /tickets}
//! "#);
//! assert_eq!(saga.step("tickets").map(|step| saga[step].after.len()), Some(2));
//! ```
//!
//! A `switch` chooses one of several lists, a `foreach` runs one for every item of a list; within it `steps` are those of the same item,
//! and outside of it an output is a list.
//!
//! ```
//! # use saga_config::{diagnostic::Source, saga::{Action, Saga}};
//! # let load = |text: &str| Saga::load(&Source::new("s.yaml", text), None).expect("nothing is wrong with it").saga;
//! let saga = load(r#"
//! saga: ship
//! version: 1
//! trigger: {route: POST /shipments/}
//! input: {parcels: {from: "${request.body.parcels}", type: list}, express: {from: "${request.body.express}", type: bool}}
//! steps:
//!   - id: courier
//!     switch:
//!       - when: "${input.express}"
//!         steps: [{id: rider, call: riders POST /rides, compensate: {call: "riders DELETE /rides/${saga.id}"}}]
//!       - else: []
//!   - id: parcels
//!     foreach: {in: "${input.parcels}", as: parcel, max: 4, limit: 50}
//!     steps:
//!       - id: label
//!         call: carrier POST /labels
//!         body: {weight: "${parcel.weight}"}
//!         output: {number: "${response.body.number}"}
//!         compensate: {call: "carrier DELETE /labels/${steps.label.number}"}
//! response: {completed: {status: 201, body: {labels: "${steps.label.number}"}}}
//! "#);
//! assert!(matches!(&saga.steps[0].action, Action::Switch(arms) if arms.len() == 2));
//! assert_eq!((saga.loops[0].max, saga.loops[0].limit), (4, 50));
//! ```
//!
//! A saga can be a step of another: its steps run there, in the same journal, and undoing it is undoing them.
//!
//! ```
//! # use saga_config::{diagnostic::Source, saga::Saga};
//! let room = Source::new("room.yaml", r#"
//! saga: book-room
//! version: 1
//! trigger: {start: POST /sagas/book-room}
//! input: {city: {from: "${request.body.city}", type: string}}
//! steps: [{id: reserve, call: hotels POST /rooms, compensate: {call: "hotels DELETE /rooms/${saga.id}"}}]
//! "#);
//! let trip = Source::new("trip.yaml", r#"
//! saga: trip
//! version: 1
//! trigger: {route: POST /trips/}
//! steps: [{id: stay, saga: {name: book-room, input: {city: Oslo}}}]
//! "#);
//! let trip = Saga::load_all(&[trip, room], None).swap_remove(0).expect("nothing is wrong with it").saga;
//! let paths: Vec<String> = trip.steps.iter().map(|step| step.id.to_string()).collect();
//! assert_eq!(paths, ["stay/(input)", "stay/reserve", "stay"]);
//! ```

pub mod diagnostic;
pub mod diagram;
pub mod expr;
pub mod names;
pub mod saga;
pub mod schema;
pub mod template;
pub mod units;
pub mod yaml;
