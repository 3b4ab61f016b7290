//! Promises of recovery: what a lost driver left is gone on with, and one bad saga never stops the others.

use super::*;
use crate::{
    ids::Owner,
    saga::recovery,
    store::journal::{Append, Birth, Create, Created, Next, SagaToken},
};

/// Two processes before one store.
fn two(script: Script) -> (Process, Process, Arc<Saga>) {
    let (saga, wakes) = (saga(ORDER), Wakes::default());
    let store = Faulty::new(MemoryStore::new(wakes.clone()));
    let short = Duration::from_millis(40);
    let first = process(&store, wakes.clone(), script.clone(), &[Arc::clone(&saga)], short);
    // The second one runs another configuration, and reads the definition from the store.
    (first, process(&store, wakes, script, &[], short), saga)
}

pub(in crate::saga) fn recover(process: &Process) -> CancellationToken {
    let (hand, handed) = recovery::queue();
    let stop = CancellationToken::new();
    let engine = &process.engine;
    let (context, plan, common) = (Arc::clone(&engine.context), Arc::clone(&engine.plan), engine.common.clone());
    tokio::spawn(recovery::run(context, plan, common, vec![hand], stop.clone()));
    tokio::spawn(recovery::take_over(engine.clone(), handed));
    tokio::spawn(crate::saga::leases::run(
        process.store.clone(),
        engine.common.leases.clone(),
        Arc::clone(&engine.plan),
        engine.context.metrics.clone(),
        stop.clone(),
    ));
    stop
}

#[tokio::test]
async fn what_a_dead_process_left_is_finished_by_another_with_the_same_keys() {
    let never = Arc::new(Notify::new());
    let script = Script::default().on("two", vec![Deed::Gate(never, ok()), Deed::Answer(ok())]);
    let (first, second, saga) = two(script.clone());
    let id = SagaId::random();
    let dying = tokio::spawn({
        let engine = first.engine.clone();
        let saga = Arc::clone(&saga);
        async move {
            let process = Process { store: engine.context.store.clone(), script: Script::default(), engine };
            let _begun = process.begin(id, &saga).await;
        }
    });
    dying.await.unwrap();
    script.until_called("two", 1).await;
    // It is gone: nobody renews, and its driver hears of nothing.
    let stop = recover(&second);
    second.until_state(id, SagaState::Completed).await;
    stop.cancel();
    assert_eq!(script.called(), ["one", "two", "two", "three"]);
    let keys = script.keys_of("two");
    assert_eq!(keys[0], keys[1]);
    assert_eq!(second.engine.context.metrics.sagas.adopted.get(), 1);
}

#[tokio::test]
async fn one_bad_saga_never_stops_the_others() {
    let (first, second, saga) = two(Script::default());
    // Nonsense in the journal, a definition that nobody has, and one that begins with no start.
    let bad = [(saga.hash, bytes("\0nonsense")), (saga_config::saga::DefinitionHash::from_bytes([3; 32]), bytes("\0{}"))];
    let mut ids = Vec::new();
    for (definition, entry) in bad {
        let id = SagaId::random();
        let mark = Fingerprint::from_bytes([1; 32]);
        let birth = Birth {
            name: "order".to_owned(),
            version: 1,
            definition,
            fingerprint: mark,
            starter: mark,
            created_at: crate::time::Timestamp::ZERO,
        };
        let create = Create {
            id,
            birth,
            owner: Owner::random(),
            entries: vec![entry],
            state: SagaState::Running,
            next: Next::Park { due_in: Duration::ZERO },
            mailbox: None,
        };
        assert!(matches!(first.store.create(create).await.unwrap(), Created::Fresh(_)));
        ids.push(id);
    }
    first.engine.common.definitions.pin(&saga, &first.store).await.unwrap();
    let good = SagaId::random();
    parked(&first, good, &saga).await;
    let stop = recover(&second);
    second.until_state(good, SagaState::Completed).await;
    for id in ids {
        second.until_state(id, SagaState::Quarantined).await;
        assert_eq!(second.head(id).await.due_at, None, "it is not tried again and again");
    }
    assert_eq!(second.engine.context.metrics.sagas.unreadable.get(), 2);
    stop.cancel();
}

/// A saga that began and was handed back.
async fn parked(process: &Process, id: SagaId, saga: &Arc<Saga>) {
    process.engine.shared.drain.cancel();
    let _here = process.begin(id, saga).await.unwrap();
    process.idle().await;
}

#[tokio::test]
async fn parked_sagas_cost_a_new_one_nothing() {
    let (process, saga) = alone(Script::default(), ORDER);
    let mark = Fingerprint::from_bytes([1; 32]);
    for _ in 0..10_000 {
        let birth = Birth {
            name: "order".to_owned(),
            version: 1,
            definition: saga.hash,
            fingerprint: mark,
            starter: mark,
            created_at: crate::time::Timestamp::ZERO,
        };
        let create = Create {
            id: SagaId::random(),
            birth,
            owner: Owner::random(),
            entries: Vec::new(),
            state: SagaState::Running,
            next: Next::Park { due_in: Duration::from_secs(1000) },
            mailbox: None,
        };
        process.store.inner().create(create).await.unwrap();
    }
    let stop = recover(&process);
    process.store.begun(2).await;
    stop.cancel();
    let before = process.store.operations().len();
    process.run(&saga).await;
    let new: Vec<_> = process.store.operations()[before..].to_vec();
    let of_sagas = new.iter().filter(|operation| {
        use crate::store::faults::Operation;
        matches!(operation, Operation::Create | Operation::Append | Operation::Lease)
    });
    assert_eq!(of_sagas.count(), 4, "{new:?}");
    assert_eq!(process.engine.context.metrics.sagas.adopted.get(), 0);
}

#[tokio::test]
async fn a_saga_of_a_key_that_is_missing_here_is_left_to_others() {
    let (first, second, saga) = two(Script::default());
    let id = SagaId::random();
    parked(&first, id, &saga).await;
    // As another process wrote it, with a key that this one does not have.
    let loaded = match first.store.inner().lease(id, Owner::from_bytes([5; 16]), LEASE).await.unwrap() {
        crate::store::journal::Leased::Granted(loaded) => loaded,
        other => panic!("{other:?}"),
    };
    let other = Sealer::new(&[EncryptionKey::new("b", [8; 32]).unwrap()]).unwrap();
    let entry = other.seal(&id.as_record(), crate::ids::Fence(loaded.head.version), |out| out.extend_from_slice(b"{}"));
    let append = Append {
        token: SagaToken { id, owner: Owner::from_bytes([5; 16]), fence: loaded.head.fence },
        expected: loaded.head.version,
        nonce: Owner::random(),
        entries: vec![entry],
        state: SagaState::Running,
        paused: false,
        commands_taken: 0,
        next: Next::Park { due_in: Duration::ZERO },
    };
    first.store.inner().append(append).await.unwrap();
    second.engine.adopt(id, || ()).await;
    let head = second.head(id).await;
    assert_eq!(head.state, SagaState::Running, "nothing is wrong with the saga");
    assert!(head.updated_at.until(head.due_at.unwrap()) > Duration::from_secs(10), "and it is not tried again and again");
}
