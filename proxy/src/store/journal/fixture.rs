//! A saga's start, as the tests of rules and stores begin one.

use std::time::Duration;

use saga_config::saga::DefinitionHash;

use super::{Birth, Create, Next, SagaState};
use crate::{
    ids::{Fingerprint, Owner, SagaId},
    time::Timestamp,
};

/// With one entry, and held for `lease`.
pub(in crate::store) fn creation(id: SagaId, owner: Owner, lease: Duration) -> Create {
    let birth = Birth {
        name: "order".to_owned(),
        version: 1,
        definition: DefinitionHash::from_bytes([0; 32]),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        starter: Fingerprint::from_bytes([2; 32]),
        created_at: Timestamp::ZERO,
    };
    Create {
        id,
        birth,
        owner,
        entries: vec!["started".into()],
        state: SagaState::Running,
        next: Next::Run { lease },
        mailbox: None,
    }
}
