//! A store of sagas whose calls fail on request.

use std::time::Duration;

use bytes::Bytes;
use saga_config::saga::DefinitionHash;

use super::{Faulty, Operation};
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        Store, StoreError,
        journal::{
            Append, Appended, Attached, Commanded, Create, Created, Due, Head, Journal, Leased, Listing, Loaded, SagaHeld,
            SagaRenewal,
        },
    },
};

impl<S: Store + Journal> Journal for Faulty<S> {
    async fn create(&self, create: Create) -> Result<Created, StoreError> {
        self.call(Operation::Create, self.store.create(create)).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.call(Operation::Append, self.store.append(append)).await
    }

    async fn extend_sagas(&self, renewals: Vec<SagaRenewal>) -> Result<Vec<SagaHeld>, StoreError> {
        self.call(Operation::ExtendSagas, self.store.extend_sagas(renewals)).await
    }

    async fn lease(&self, id: SagaId, owner: Owner, lease: Duration) -> Result<Leased, StoreError> {
        self.call(Operation::Lease, self.store.lease(id, owner, lease)).await
    }

    async fn due(&self, limit: usize, seed: u64) -> Result<Due, StoreError> {
        self.call(Operation::Due, self.store.due(limit, seed)).await
    }

    async fn command(&self, id: SagaId, nonce: Owner, command: Bytes) -> Result<Commanded, StoreError> {
        self.call(Operation::Command, self.store.command(id, nonce, command)).await
    }

    async fn commands(&self, id: SagaId) -> Result<Vec<Bytes>, StoreError> {
        self.call(Operation::Commands, self.store.commands(id)).await
    }

    async fn attach(&self, id: SagaId, mailbox: Option<Mailbox>) -> Result<Option<Attached>, StoreError> {
        self.call(Operation::Attach, self.store.attach(id, mailbox)).await
    }

    async fn load(&self, id: SagaId) -> Result<Option<Loaded>, StoreError> {
        self.call(Operation::Load, self.store.load(id)).await
    }

    async fn list(&self, listing: Listing) -> Result<Vec<(SagaId, Head)>, StoreError> {
        self.call(Operation::List, self.store.list(listing)).await
    }

    async fn count(&self) -> Result<[u64; 5], StoreError> {
        self.call(Operation::Count, self.store.count()).await
    }

    async fn pin(&self, hash: DefinitionHash, definition: Bytes) -> Result<(), StoreError> {
        self.call(Operation::Pin, self.store.pin(hash, definition)).await
    }

    async fn definition(&self, hash: DefinitionHash) -> Result<Option<Bytes>, StoreError> {
        self.call(Operation::Definition, self.store.definition(hash)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        ids::Fence,
        store::{
            faults::Fault,
            journal::{Next, SagaState, SagaToken, fixture},
            memory::MemoryStore,
            wakes::Wakes,
        },
    };

    const LEASE: Duration = Duration::from_secs(60);

    fn creation() -> Create {
        fixture::creation(SagaId::from_bytes([3; 16]), Owner::from_bytes([4; 16]), LEASE)
    }

    fn addition(owner: Owner, fence: Fence, expected: u64, entry: &'static str, next: Next) -> Append {
        let state = if matches!(next, Next::End { .. }) { SagaState::Completed } else { SagaState::Running };
        let (token, nonce) = (SagaToken { id: creation().id, owner, fence }, Owner::random());
        Append { token, expected, nonce, entries: vec![entry.into()], state, paused: false, commands_taken: 0, next }
    }

    /// The call, and once more if it fails.
    macro_rules! twice {
        ($call:expr) => {
            match $call.await {
                Ok(answer) => answer,
                Err(_) => $call.await.unwrap(),
            }
        };
    }

    /// A whole life, every call of which is repeated where it fails. What the store holds at its end, but for its times.
    async fn life(store: &Faulty<MemoryStore>) -> (Vec<Bytes>, Vec<Bytes>, SagaState, u64) {
        let (first, id, hash) = (creation(), creation().id, creation().birth.definition);
        twice!(store.pin(hash, "definition".into()));
        assert_eq!(twice!(store.definition(hash)), Some("definition".into()));
        let Created::Fresh(granted) = twice!(store.create(first.clone())) else { panic!("not fresh") };
        let mut version = granted.version;
        for (entry, next) in [("one", Next::Run { lease: LEASE }), ("two", Next::Park { due_in: Duration::ZERO })] {
            let append = addition(first.owner, granted.fence, version, entry, next);
            let Appended::Kept(granted) = twice!(store.append(append.clone())) else { panic!("lost") };
            version = granted.version;
        }
        let nonce = Owner::random();
        assert_eq!(twice!(store.command(id, nonce, "go on".into())), Commanded::Queued);
        assert_eq!(twice!(store.due(1, 0)).ids, [id]);
        let second = Owner::from_bytes([5; 16]);
        let Leased::Granted(loaded) = twice!(store.lease(id, second, LEASE)) else { panic!("not granted") };
        assert_eq!((loaded.head.version, twice!(store.commands(id))), (3, loaded.commands.clone()));
        let token = SagaToken { id, owner: second, fence: loaded.head.fence };
        let renewal = SagaRenewal { token, lease: LEASE };
        assert_eq!(twice!(store.extend_sagas(vec![renewal])), [SagaHeld::Kept { commands: true }]);
        twice!(store.attach(id, None)).unwrap();
        let end = Next::End { answer: "answer".into(), retention: LEASE };
        let append = addition(second, loaded.head.fence, 3, "three", end);
        assert!(matches!(twice!(store.append(append.clone())), Appended::Kept(_)));
        assert_eq!((twice!(store.list(Listing { limit: 2, ..Listing::default() })).len(), twice!(store.count())[2]), (1, 1));
        let Loaded { head, entries, .. } = twice!(store.load(id)).unwrap();
        (entries, loaded.commands, head.state, head.version)
    }

    #[tokio::test]
    async fn a_life_whose_every_call_fails_once_is_as_one_without_failures() {
        let clean = Faulty::new(MemoryStore::new(Wakes::default()));
        let expected = life(&clean).await;
        assert_eq!(expected.0, ["started", "one", "two", "three"]);
        assert_eq!((&expected.1, expected.2, expected.3), (&vec!["go on".into()], SagaState::Completed, 4));
        let calls = clean.calls();
        assert_eq!(calls, 15);
        for fault in [Fault::AnswerLost, Fault::NotReached, Fault::Refused] {
            for n in 1..=calls {
                let store = Faulty::new(MemoryStore::new(Wakes::default()));
                store.fail(n, fault.clone());
                assert_eq!(life(&store).await, expected, "{fault:?} at call {n}");
                assert_eq!(store.calls(), calls + 1, "{fault:?} at call {n}");
                let repeated = store.operations();
                let at = usize::try_from(n).unwrap();
                assert_eq!(repeated[at - 1], repeated[at], "the same call again");
            }
        }
    }
}
