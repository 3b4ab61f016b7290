//! A rule of the machine that is switched off is found out, and none is where it is on.

use saga_config::saga::UpstreamFacts;

use super::{
    super::{Effect, Ending, runs, stage::Stage, synth, verdict::Judge},
    *,
};

/// Two steps, each with an undo.
const TWO: &str = r#"
saga: two
version: 1
trigger: {route: POST /two/}
deadline: 20s
defaults: {timeout: 1s, retry: {max: 3, initial: 10ms, max_delay: 100ms}, compensation: {retry: {max: 5, initial: 10ms, max_delay: 100ms}}}
steps:
  - {id: reserve, call: stock POST /reservations, compensate: {call: stock DELETE /reservations}}
  - {id: pay, call: billing POST /payments, compensate: {call: billing DELETE /payments}}
"#;

fn stage(text: &str, fact: UpstreamFact) -> Stage {
    let Loaded { saga, .. } = load(text);
    let definition = Arc::new(saga);
    let participants = super::super::stage::participants(&definition, Some(&All(fact) as &dyn UpstreamFacts));
    let case = saga_config::saga::test::Case { name: String::new(), start: None, answers: Default::default(), expect: None };
    synth::make(&definition, &case, &participants).unwrap_or_else(|lacking| panic!("{lacking:?}")).stage
}

fn explored(stage: &Stage, faults: usize) -> super::super::Verdict {
    let mut judge = Judge::new(&[]);
    judge.explore("", stage, Bounds { faults, runs: 100_000 }, &mut |_| Go::On);
    judge.verdict
}

#[test]
fn no_two_faults_leak_at_services_with_a_refrain_or_a_memory() {
    for fact in [REFRAIN, REMEMBERS] {
        let verdict = explored(&stage(TWO, fact), 2);
        assert!(verdict.leak.is_none(), "{:#?}", verdict.leak);
        assert!(verdict.explored() > 200 && !verdict.is_cut, "{verdict:?}");
        assert!(!verdict.by_state.contains_key("running"), "every run has an end");
    }
}

#[test]
fn a_refusal_that_is_trusted_on_a_later_start_leaks_and_the_exploration_finds_it() {
    let mut stage = stage(TWO, REMEMBERS);
    stage.trusts_any_refusal = true;
    assert!(explored(&stage, 1).leak.is_none(), "one fault is not enough");
    let leak = explored(&stage, 2).leak.unwrap();
    // What arrives late was refused meanwhile, and is trusted to be nowhere.
    let outcomes: Vec<Outcome> = leak.ending.faults.iter().map(|fault| fault.outcome).collect();
    assert_eq!(outcomes, [Outcome::UnknownLate, Outcome::Refused], "{leak:#?}");
    let steps: Vec<&str> = leak.ending.faults.iter().map(|fault| fault.step.as_str()).collect();
    assert_eq!(steps[0], steps[1], "of one step");
    assert_eq!(leak.ending.effects[&leak.ending.faults[0].step], Effect::Kept);
    assert!(leak.wrong.contains("is there, and counts as never carried out"), "{}", leak.wrong);
}

#[test]
fn the_same_simulation_twice_is_the_same() {
    let endings = || {
        let stage = stage(TWO, REMEMBERS);
        let mut endings: Vec<Ending> = Vec::new();
        runs::explore(&stage, 2, 1000, &mut |ending| {
            endings.push(ending);
            Go::On
        });
        endings
    };
    assert_eq!(endings(), endings());
}
