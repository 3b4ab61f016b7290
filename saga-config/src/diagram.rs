//! Pictures of a saga: the way forward, the way back, and what stands in what.
//!
//! [`mermaid`] for pages that draw it themselves, [`dot`] for Graphviz, [`svg`] for a slide. All three show the same: the steps in the
//! order in which they run, with what each calls and what undoes it; the way back, dashed, wherever a failure can still turn the saga
//! back; groups, switches, loops and sub-sagas as boxes around their steps; and the point of no return. None shows a value: expressions
//! are shown as they are written.
//!
//! ```
//! use saga_config::{diagnostic::Source, diagram, saga::Saga};
//!
//! let source = Source::new("sagas/order.yaml", r#"
//! saga: order
//! version: 1
//! trigger: {route: POST /orders/}
//! steps:
//!   - id: create
//!     call: orders POST /internal/orders/
//!     compensate: {call: "orders DELETE /internal/orders/${saga.id}/"}
//!   - {id: charge, pivot: true, call: billing POST /charges/}
//! "#);
//! let saga = Saga::load(&source, None).expect("nothing is wrong with it").saga;
//! let drawn = diagram::mermaid(&saga);
//! assert!(drawn.starts_with("flowchart TB\n"));
//! assert!(drawn.contains("s_create --> s_charge"), "the way forward: {drawn}");
//! assert!(drawn.contains("s_create -. back .- s_charge"), "the way back: {drawn}");
//! assert!(diagram::dot(&saga).starts_with("digraph"));
//! assert!(diagram::svg(&saga).starts_with("<svg"));
//! ```

mod caption;
mod chart;
mod dot;
mod layered;
mod mermaid;
mod svg;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use crate::saga::Saga;

/// A Mermaid flowchart (`flowchart TB`). Labels are escaped: nothing in a saga can add to the chart.
pub fn mermaid(saga: &Saga) -> String {
    mermaid::draw(saga)
}

/// A graph for Graphviz's `dot`.
pub fn dot(saga: &Saga) -> String {
    dot::draw(saga)
}

/// An SVG picture that needs nothing but itself: no font, no style sheet, no script.
pub fn svg(saga: &Saga) -> String {
    svg::draw(saga)
}
