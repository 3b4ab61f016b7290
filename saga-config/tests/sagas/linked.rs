//! Sagas that run each other.

use std::path::Path;

use saga_config::{
    diagnostic::{Colour, Source, render},
    names::StepPath,
    saga::{Action, Frame, Group, Loop, Saga, Step, StepIndex, Within},
};

/// What comes of the files of a folder below `linked`, by name.
fn linked(case: &str) -> Vec<(String, Result<Saga, String>)> {
    let files: Vec<_> = super::files(Path::new("linked").join(case).to_str().expect("it is text")).into_iter().collect();
    let sources: Vec<_> = files.iter().map(|(name, text)| Source::new(name.as_str(), text.as_str())).collect();
    let names = files.into_iter().map(|(name, _)| name);
    let loaded = Saga::load_all(&sources, None).into_iter().map(|loaded| match loaded {
        Ok(loaded) => {
            assert_eq!(loaded.warnings, []);
            Ok(loaded.saga)
        }
        Err(found) => Err(render(&found, Colour::Never)),
    });
    names.zip(loaded).collect()
}

fn one(case: &str, name: &str) -> Saga {
    let found = linked(case).into_iter().find(|(known, _)| known == name).expect("there is such a file").1;
    found.unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// All that linking is to get right.
fn shown(saga: &Saga) -> String {
    let path = |index: &StepIndex| saga[*index].id.to_string();
    let paths = |indices: &[StepIndex]| indices.iter().map(path).collect::<Vec<_>>().join(", ");
    let frame = |frame: usize| saga.frames[frame].path.to_string();
    let step = |step: &Step| {
        let what = match &step.action {
            Action::Call(call) => format!("{} {}", call.call.target.method(), call.call.target.template().source()),
            Action::Set(_) => "set".to_owned(),
            Action::Switch(arms) => format!("switch of {}", arms.len()),
            Action::Foreach(of) => format!("foreach over {}", path(&saga.loops[of.0].step)),
            Action::Wait(time) => format!("wait {time:?}"),
            Action::Enter(of) => format!("enter {}", frame(of.0)),
            Action::Leave(of) => format!("leave {}", frame(of.0)),
        };
        let within = match step.within {
            None => String::new(),
            Some(Within::Arm { switch, arm }) => format!(", in arm {arm} of {}", path(&switch)),
            Some(Within::Body(of)) => format!(", in the loop {}", path(&saga.loops[of.0].step)),
            Some(Within::Sub(of)) => format!(", in {}", frame(of.0)),
        };
        let in_loop = step.in_loop.map_or(String::new(), |of| format!(", for each of {}", path(&saga.loops[of.0].step)));
        let group = step.group.map_or(String::new(), |group| format!(", of {}", saga.groups[group.0].id));
        let of = step.frame.map_or(String::new(), |of| format!(", sees {}", frame(of.0)));
        let when = if step.when.is_some() { ", when" } else { "" };
        format!("{} after [{}]: {what}{when}{within}{in_loop}{group}{of}, {:?}", step.id, paths(&step.after), step.position)
    };
    let group = |group: &Group| format!("group {}: {} of [{}]", group.id, group.max, paths(&group.members));
    let of_loop = |of: &Loop| format!("loop {}: {} as {} [{}]", path(&of.step), of.max, of.item, paths(&of.body));
    let of_frame = |of: &Frame| {
        let given: Vec<_> = of.given.iter().map(|(name, _)| name.as_str()).collect();
        let declared: Vec<_> = of.input.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(given, declared);
        let parent = of.parent.map_or("the saga".to_owned(), |parent| frame(parent.0));
        format!(
            "frame {}: {} v{} in {parent}, from {} to {}, given [{}], {}deadline {:?}, at most {}",
            of.path,
            of.saga,
            of.version,
            path(&of.enter),
            path(&of.leave),
            given.join(", "),
            if of.reply.is_some() { "replies, " } else { "" },
            of.deadline,
            of.max_parallel,
        )
    };
    let lines = saga.steps.iter().map(step).chain(saga.groups.iter().map(group)).chain(saga.loops.iter().map(of_loop));
    lines.chain(saga.frames.iter().map(of_frame)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_saga_has_the_steps_of_its_sub_sagas_where_they_run() {
    insta::assert_snapshot!("linked-trip", shown(&one("trip", "trip.yaml")));
    insta::assert_snapshot!("linked-loops", shown(&one("loops", "parent.yaml")));
    insta::assert_snapshot!("linked-looping", shown(&one("loops", "looping.yaml")));
    insta::assert_snapshot!("linked-hotel", shown(&one("trip", "hotel.yaml")));
}

#[test]
fn every_mistake_about_sub_sagas_is_told_where_it_stands() {
    for case in ["mistakes", "circle", "inputs", "group", "loop-in-loop", "deep", "large"] {
        let said: Vec<String> = linked(case)
            .into_iter()
            .map(|(name, loaded)| match loaded {
                Ok(saga) => format!("{name}: taken, with {} steps", saga.steps.len()),
                Err(mistakes) => format!("{name}:\n{mistakes}"),
            })
            .collect();
        insta::assert_snapshot!(format!("linked-{case}"), said.join("\n"));
    }
}

#[test]
fn every_step_comes_after_all_that_it_waits_for_and_frames_after_what_they_stand_in() {
    for (_, saga) in linked("trip").into_iter().chain(linked("loops")) {
        let saga = saga.expect("it is sound");
        for (index, step) in saga.steps.iter().enumerate() {
            assert!(step.after.iter().all(|after| after.0 < index), "{}", step.id);
            assert_eq!(step.id.to_string().parse::<StepPath>().as_ref(), Ok(&step.id));
            let is_enter = matches!(step.action, Action::Enter(_));
            assert!(!is_enter || step.id.id() == "(input)", "{}", step.id);
        }
        for (index, frame) in saga.frames.iter().enumerate() {
            assert!(frame.parent.is_none_or(|parent| parent.0 < index), "{}", frame.path);
            assert_eq!(saga[frame.leave].id, frame.path);
            assert_eq!(saga[frame.enter].id, frame.path.input());
        }
    }
}

#[test]
fn the_canonical_form_holds_the_sub_sagas_and_needs_nothing_else() {
    for (case, name) in [("trip", "trip.yaml"), ("loops", "parent.yaml")] {
        let saga = one(case, name);
        let stored = Saga::from_canonical(&saga.canonical).expect("it was accepted");
        assert_eq!(format!("{stored:#?}"), format!("{saga:#?}"));
    }
    let saga = one("trip", "trip.yaml");
    insta::assert_snapshot!("canonical-linked-trip", super::pretty(&saga.canonical));
}

#[test]
fn a_change_of_a_sub_saga_is_a_change_of_what_runs_it_and_its_format_is_none() {
    let parent = "saga: p\nversion: 1\ntrigger: {route: POST /}\nsteps: [{id: sub, saga: {name: c}}]";
    let child = "saga: c\nversion: 1\ntrigger: {route: POST /c}\nsteps: [{id: one, set: {x: 1}}]";
    let hash = |child: &str| {
        let sources = [Source::new("c.yaml", child), Source::new("p.yaml", parent)];
        let loaded = Saga::load_all(&sources, None).pop().expect("there are two").expect("it is sound");
        loaded.saga.hash
    };
    let formatted = "steps:\n  - id: one\n    set:\n      x: 1\nversion: 1\nsaga: c\ntrigger: {route: POST /c}\n";
    assert_eq!(hash(child), hash(formatted));
    assert_ne!(hash(child), hash(&child.replace("x: 1", "x: 2")));
}

#[test]
fn a_saga_without_sub_sagas_is_the_same_alone_and_among_others() {
    let alone = super::files("linked/trip");
    let taxi = Saga::load(&Source::new("taxi.yaml", alone["taxi.yaml"].as_str()), None).expect("it is sound").saga;
    assert_eq!(taxi.hash, one("trip", "taxi.yaml").hash);
    assert!(!taxi.canonical.contains("\"sagas\""));
}

#[test]
fn a_stored_definition_whose_sub_saga_is_gone_or_that_runs_itself_is_refused() {
    let canonical = one("trip", "trip.yaml").canonical;
    let mut stored: serde_json::Value = serde_json::from_str(&canonical).expect("it is JSON");
    let taxi = stored["sagas"].as_object_mut().expect("there are some").remove("book-taxi").expect("it is there");
    let error = Saga::from_canonical(&stored.to_string()).expect_err("one is gone").to_string();
    assert!(error.contains("there is no saga `book-taxi`"), "{error}");
    let mut circular = taxi;
    circular["steps"] = serde_json::json!([{"id": "again", "saga": {"name": "book-taxi", "input": {"to": 1}}}]);
    stored["sagas"]["book-taxi"] = circular;
    let error = Saga::from_canonical(&stored.to_string()).expect_err("it has no end").to_string();
    assert!(error.contains("book-taxi runs book-taxi"), "{error}");
}
