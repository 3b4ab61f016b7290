//! What holds of every picture, over sagas of every shape.

use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::{
    layered::{Point, Route},
    svg::{
        paint::Area,
        picture::{Picture, Shape},
    },
};
use crate::{
    diagnostic::{Colour, Source, render},
    saga::{Action, Saga},
};

/// Makes a saga of any bytes.
struct Maker<'b> {
    bytes: &'b [u8],
    count: usize,
    is_after_pivot: bool,
    text: &'b str,
}

/// Where a step is made.
#[derive(Clone, Copy, Default)]
struct Inside {
    depth: usize,
    group: bool,
    in_loop: bool,
}

impl Maker<'_> {
    fn next(&mut self) -> usize {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        usize::from(*first)
    }

    fn id(&mut self) -> String {
        self.count += 1;
        let length = if self.count.is_multiple_of(7) { 50 } else { self.count % 9 };
        format!("s{}{}", self.count, "x".repeat(length))
    }

    fn list(&mut self, inside: Inside) -> Vec<Value> {
        let count = 1 + self.next() % if inside.depth == 0 { 8 } else { 3 };
        (0..count).map(|_| self.step(inside)).collect()
    }

    fn step(&mut self, inside: Inside) -> Value {
        let id = self.id();
        let deeper = Inside { depth: inside.depth + 1, ..inside };
        let may_nest = inside.depth < 2 && self.count < 60;
        match self.next() % 9 {
            5 if may_nest && !inside.group => {
                let count = 1 + self.next() % 6;
                let steps: Vec<_> = (0..count).map(|_| self.step(Inside { depth: 2, group: true, ..inside })).collect();
                json!({"id": id, "parallel": {"steps": steps}})
            }
            6 if may_nest && !inside.group => {
                let count = 1 + self.next() % 3;
                let condition = format!("${{saga.name != {}}}", json!(self.text));
                let mut arms: Vec<_> = (0..count).map(|_| json!({"when": condition, "steps": self.list(deeper)})).collect();
                arms.push(json!({"else": []}));
                json!({"id": id, "switch": arms})
            }
            7 if may_nest && !inside.group && !inside.in_loop => {
                let steps = self.list(Inside { in_loop: true, ..deeper });
                json!({"id": id, "foreach": {"in": "${[1, 2]}", "as": "t"}, "steps": steps})
            }
            8 => json!({"id": id, "set": {"a": format!("${{{} + 'b'}}", json!(self.text)), "b": 1}}),
            kind => self.call(id, kind),
        }
    }

    fn call(&mut self, id: String, kind: usize) -> Value {
        let mut call = json!({"id": id, "call": format!("upstream POST /a/${{saga.id}}/{}", "long/".repeat(kind * 4))});
        match kind {
            1 => call["effect"] = json!("none"),
            _ if self.is_after_pivot => {}
            2 => call["compensate"] = json!("none"),
            _ => call["compensate"] = json!({"call": "upstream DELETE /a/${saga.id}"}),
        }
        if kind == 3 {
            call["when"] = json!("${saga.name != 'x'}");
        }
        call
    }

    /// The saga's own list: one after the other with a pivot somewhere, or a graph.
    fn steps(&mut self) -> Vec<Value> {
        if self.next().is_multiple_of(2) {
            let mut steps = self.list(Inside::default());
            if self.next().is_multiple_of(2) {
                steps.push(json!({"id": self.id(), "pivot": true, "call": "upstream POST /pivot"}));
                self.is_after_pivot = true;
                steps.extend(self.list(Inside::default()).into_iter().filter(|step| step.get("when").is_none()));
            }
            return steps;
        }
        let count = 2 + self.next() % 20;
        let mut steps: Vec<Value> = Vec::new();
        for _ in 0..count {
            let mut step = self.step(Inside { depth: 1, ..Inside::default() });
            let mut needs: Vec<Value> =
                (0..self.next() % 4).filter_map(|_| steps.get(self.next())).map(|step| step["id"].clone()).collect();
            needs.dedup();
            let mut seen = Vec::new();
            needs.retain(|need| {
                !seen.contains(need) && {
                    seen.push(need.clone());
                    true
                }
            });
            step["needs"] = json!(needs);
            steps.push(step);
        }
        steps
    }
}

fn made(bytes: &[u8], text: &str) -> Saga {
    let steps = Maker { bytes, count: 0, is_after_pivot: false, text }.steps();
    let saga = json!({
        "saga": "made", "version": 1, "description": text, "trigger": {"route": "POST /made/"}, "steps": steps, "deadline": "1h",
    });
    match Saga::load(&Source::new("made.yaml", saga.to_string()), None) {
        Ok(loaded) => loaded.saga,
        Err(found) => panic!("{}", render(&found, Colour::Never)),
    }
}

fn overlap(a: Area, b: Area) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

/// Points along a line, as it is drawn.
fn along(route: &Route) -> Vec<Point> {
    let mut found = Vec::new();
    for pair in route.points.windows(2) {
        let handles = route.handles(pair[0], pair[1]);
        for step in 0..=24 {
            let t = f64::from(step) / 24.0;
            let ease = t * t * (3.0 - 2.0 * t);
            let y = pair[0].y * (1.0 - t).powi(3) + handles * 3.0 * t * (1.0 - t) + pair[1].y * t.powi(3);
            found.push(Point { x: pair[0].x + (pair[1].x - pair[0].x) * ease, y });
        }
    }
    found
}

/// How many cards there are; and that everything stands as it should.
fn checked(picture: &Picture) -> usize {
    let whole = Area { x: 0.0, y: 0.0, width: picture.width, height: picture.height };
    let inside = |x: f64, y: f64| (0.0..=whole.width).contains(&x) && (0.0..=whole.height).contains(&y);
    for (nth, item) in picture.items.iter().enumerate() {
        assert!(inside(item.area.x, item.area.y) && inside(item.area.right(), item.area.bottom()), "{:?} is outside", item.area);
        assert!(picture.items[..nth].iter().all(|other| !overlap(other.area, item.area)), "{:?} lies on another box", item.area);
    }
    for route in &picture.routes {
        let (first, last) = (route.points[0], route.points[route.points.len() - 1]);
        let spans = |area: Area, x: f64| (area.x..=area.right()).contains(&x);
        assert!(
            picture.items.iter().any(|item| item.area.bottom() == first.y && spans(item.area, first.x)),
            "{first:?} touches nothing"
        );
        assert!(picture.items.iter().any(|item| item.area.y == last.y && spans(item.area, last.x)), "{last:?} touches nothing");
        assert!(route.points.windows(2).all(|pair| pair[0].y <= pair[1].y), "a line runs down");
        for point in along(route) {
            assert!(inside(point.x, point.y), "{point:?} is outside");
            let within = |area: Area| {
                (area.x + 1.0..area.right() - 1.0).contains(&point.x) && (area.y + 1.0..area.bottom() - 1.0).contains(&point.y)
            };
            assert!(picture.items.iter().all(|item| !within(item.area)), "a line runs through a box at {point:?}");
        }
    }
    let cards = |shape: &Shape| match shape {
        Shape::Card(_) => 1,
        Shape::Nothing | Shape::Terminal(..) => 0,
        Shape::Block(block) => {
            let (x, y) = block.inner_at;
            assert!(x >= 0.0 && y >= block.header.height(), "the list stands below its header");
            checked(&block.inner)
        }
    };
    for item in &picture.items {
        if let Shape::Block(block) = &item.shape {
            let (x, y) = block.inner_at;
            assert!(
                x + block.inner.width <= item.area.width && y + block.inner.height <= item.area.height,
                "it stands in its box"
            );
        }
    }
    picture.items.iter().map(|item| cards(&item.shape)).sum()
}

/// Steps that are drawn as cards.
fn leaves(saga: &Saga) -> usize {
    saga.steps.iter().filter(|step| matches!(step.action, Action::Call(_) | Action::Set(_) | Action::Wait(_))).count()
}

/// Fails unless it is well-formed, of the elements that pictures are made of.
fn assert_well_formed(svg: &str) {
    let tag = Regex::new(r#"<(/?)(svg|rect|path|text|tspan|title)((?: [a-zA-Z:-]+="[^"<>]*")*) ?(/?)>"#).unwrap();
    let mut open = Vec::new();
    for found in tag.captures_iter(svg) {
        match (&found[1], &found[4]) {
            ("", "") => open.push(found[2].to_owned()),
            ("", _) => {}
            _ => assert_eq!(open.pop().as_deref(), Some(&found[2])),
        }
        assert!(!found[3].contains(" on") && !found[3].contains("href"), "{}", &found[3]);
    }
    assert_eq!(open, [""; 0]);
    let text = tag.replace_all(svg, "");
    assert!(!text.contains(['<', '>']), "{text}");
    let entities = Regex::new("&(amp|lt|gt|quot|#39);").unwrap();
    assert!(!entities.replace_all(svg, "").contains('&'));
    assert!(svg.chars().all(|c| c == '\n' || !c.is_control()), "XML has no controls");
}

/// Fails unless every line is one of a flowchart's, and all names are declared.
fn assert_flowchart(text: &str) {
    // Of what could end a label or begin something else nothing is in it.
    let label = r#""(?:<b>|</b>|<br/>|&nbsp;|#[0-9]+;|[^"<>&#;:`%|\\])*""#;
    let node = Regex::new(&format!(r"^ +(\w+)(?:\[{label}\]|\[\[{label}\]\]|\(\[{label}\]\)|\{{\{{{label}\}}\}})$")).unwrap();
    let block = Regex::new(&format!(r"^ +subgraph (\w+)\[{label}\]$")).unwrap();
    let link = Regex::new(r"^ +(\w+) (?:-->|-\. back \.-) (\w+)$").unwrap();
    let other = Regex::new(
        r"^(?:flowchart TB| +(?:end|direction TB|linkStyle [0-9,]+ stroke:#\w+|style \w+ stroke:#\w+,stroke-width:3px))$",
    )
    .unwrap();
    let (mut declared, mut named) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(found) = node.captures(line).or_else(|| block.captures(line)) {
            assert!(!declared.contains(&found[1].to_owned()), "{line} is there twice");
            declared.push(found[1].to_owned());
        } else if let Some(found) = link.captures(line) {
            named.extend([found[1].to_owned(), found[2].to_owned()]);
        } else {
            assert!(other.is_match(line), "{line}");
        }
    }
    assert!(named.iter().all(|name| declared.contains(name)), "{text}");
}

/// Fails unless every name of an edge is declared, and texts stay texts.
fn assert_graph(text: &str) {
    let string = r#""((?:[^"\\]|\\.)*)""#;
    let node = Regex::new(&format!(r"(?m)^ +{string} \[")).unwrap();
    let edge = Regex::new(&format!(r"(?m)^ +{string} -> {string}")).unwrap();
    let declared: Vec<_> = node.captures_iter(text).map(|found| found[1].to_owned()).collect();
    for found in edge.captures_iter(text) {
        assert!(declared.contains(&found[1].to_owned()) && declared.contains(&found[2].to_owned()), "{}", &found[0]);
    }
    assert!(!Regex::new(string).unwrap().replace_all(text, "").contains('"'), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with('{')).count(), text.lines().filter(|line| line.trim() == "}").count());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn boxes_stand_apart_lines_end_at_boxes_and_every_step_is_drawn(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        let saga = made(&bytes, "text");
        prop_assert_eq!(checked(&Picture::of(&saga)), leaves(&saga));
    }

    #[test]
    fn whatever_is_written_in_a_saga_stays_text(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,60}") {
        let saga = made(&bytes, &text);
        assert_well_formed(&super::svg(&saga));
        assert_flowchart(&super::mermaid(&saga));
        assert_graph(&super::dot(&saga));
    }
}

#[test]
fn what_is_markup_elsewhere_is_text_here() {
    for text in [
        "<script>alert(1)</script>",
        "]]></title></svg><!-- & -->",
        "\"]; end; subgraph x[\"",
        "#quot; #35; &lt; %% `code` \\n \\",
        "\u{202e}\u{0}\u{1b}[31m\u{feff}",
        "'\"\\\"'${}",
        "﷽漢字🙂",
    ] {
        let saga = made(&[0, 3, 6, 1, 0, 8, 7, 0, 4], &text.replace("${", "$ {"));
        assert_well_formed(&super::svg(&saga));
        assert_flowchart(&super::mermaid(&saga));
        assert_graph(&super::dot(&saga));
        assert_eq!(checked(&Picture::of(&saga)), leaves(&saga));
    }
}

#[test]
fn a_way_back_is_drawn_only_where_something_can_be_undone_and_something_can_fail() {
    let text = r#"
saga: s
version: 1
trigger: {route: POST /s/}
steps:
  - {id: look, call: a GET /x, effect: none}
  - {id: make, call: a POST /x, compensate: {call: a DELETE /x}}
  - {id: pay, pivot: true, call: a POST /pay}
  - {id: tell, call: a POST /tell}
"#;
    let saga = Saga::load(&Source::new("s.yaml", text), None).unwrap().saga;
    let drawn = super::mermaid(&saga);
    let back: Vec<&str> = drawn.lines().map(str::trim).filter(|line| line.contains("back")).collect();
    assert_eq!(back, ["s_make -. back .- s_pay", "compensated -. back .- s_look"]);
}
