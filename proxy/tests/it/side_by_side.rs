//! Random operations on two stores: every answer is the same.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use refrain::{
    ids::{Fence, Fingerprint, Owner, RecordName},
    store::{
        Absence, Claim, Claimed, Complete, FirstSend, OnAbsent, OnStepUnknown, OnUnknown, ProbeVerdict, Renewal, Resolution,
        Settle, Settled, Store, Token, Undo, Undone,
        clock::StoreClock,
        embedded::EmbeddedStore,
        memory::{Limits, MemoryStore},
        wakes::Wakes,
    },
    time::Timestamp,
};

mod sagas;

/// One operation. Small numbers choose among few names, owners and fences seen, so that they meet.
#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    Claim { name: u8, owner: u8, fingerprint: bool, lease: u64, ttl: u64, on_unknown: u8, note: bool, asks: Option<u8> },
    Undo { step: u8, owner: u8, knows_done: bool, absence: u8, lease: u64, ttl: u64, on_unknown: u8, on_step_unknown: u8 },
    Complete { name: u8, owner: u8, fence: usize, attempt: u32 },
    Extend(Vec<(u8, u8, usize, bool)>),
    Doubt { name: u8, owner: u8, fence: usize },
    Release { name: u8, owner: u8, fence: Option<usize> },
    Settle { name: u8, owner: u8, fence: usize, verdict: u8 },
    Reserve { name: u8, holder: u8, ttl: u64 },
    Unreserve { name: u8, holder: u8 },
    Resolve { name: u8, done: bool },
    Forget { name: u8 },
    Inspect { name: u8 },
}

fn op() -> impl Strategy<Value = Op> {
    let (name, owner, fence) = (0..2_u8, 0..3_u8, 0..3_usize);
    let ms = prop_oneof![Just(0_u64), 1..50_u64, Just(30_000_u64)];
    prop_oneof![
        3 => (0..60_u64).prop_map(Op::Advance),
        1 => Just(Op::Advance(40_000)),
        8 => (
            (name.clone(), owner.clone(), prop::bool::weighted(0.1), ms.clone(), ms.clone(), 0..3_u8),
            any::<bool>(),
            prop::option::weighted(0.2, 0..4_u8),
        )
            .prop_map(|((name, owner, fingerprint, lease, ttl, on_unknown), note, asks)| Op::Claim {
                name, owner, fingerprint, lease, ttl, on_unknown, note, asks
            }),
        6 => (
            (name.clone(), owner.clone(), prop::bool::weighted(0.2), 0..5_u8, ms.clone(), ms.clone(), 0..3_u8),
            0..5_u8,
        )
            .prop_map(|((step, owner, knows_done, absence, lease, ttl, on_unknown), on_step_unknown)| Op::Undo {
                step, owner, knows_done, absence, lease, ttl, on_unknown, on_step_unknown
            }),
        4 => (name.clone(), owner.clone(), fence.clone(), 1..3_u32)
            .prop_map(|(name, owner, fence, attempt)| Op::Complete { name, owner, fence, attempt }),
        3 => prop::collection::vec((name.clone(), owner.clone(), fence.clone(), any::<bool>()), 0..4).prop_map(Op::Extend),
        3 => (name.clone(), owner.clone(), fence.clone()).prop_map(|(name, owner, fence)| Op::Doubt { name, owner, fence }),
        2 => (name.clone(), owner.clone(), prop::option::of(fence.clone()))
            .prop_map(|(name, owner, fence)| Op::Release { name, owner, fence }),
        4 => (name.clone(), owner, fence, 0..4_u8)
            .prop_map(|(name, owner, fence, verdict)| Op::Settle { name, owner, fence, verdict }),
        1 => (name.clone(), name.clone(), ms).prop_map(|(name, holder, ttl)| Op::Reserve { name, holder, ttl }),
        1 => (name.clone(), name.clone()).prop_map(|(name, holder)| Op::Unreserve { name, holder }),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, done)| Op::Resolve { name, done }),
        1 => name.clone().prop_map(|name| Op::Forget { name }),
        2 => name.prop_map(|name| Op::Inspect { name }),
    ]
}

/// What one case works with: names of its own, and the last fences that its stores have told.
struct Case {
    salt: [u8; 16],
    fences: Vec<Fence>,
    now: Timestamp,
}

impl Case {
    fn name(&self, n: u8) -> RecordName {
        RecordName::from_bytes([self.salt, [n; 16]].concat().try_into().unwrap())
    }

    fn owner(n: u8) -> Owner {
        Owner::from_bytes([n; 16])
    }

    /// The `back`-th fence seen, counted from the last.
    fn fence(&self, back: usize) -> Fence {
        self.fences.iter().rev().nth(back).copied().unwrap_or(Fence(1))
    }

    fn token(&self, name: u8, owner: u8, fence: usize) -> Token {
        Token { name: self.name(name), owner: Self::owner(owner), fence: self.fence(fence) }
    }

    fn absence(&self, kind: u8) -> Absence {
        let ago = |ms| FirstSend {
            at: Timestamp::from_unix_ms(self.now.as_unix_ms().saturating_sub(ms)),
            kept_for: Duration::from_secs(30),
        };
        match kind {
            0 => Absence::Proof,
            1 => Absence::NoProof,
            2 => Absence::ProofSince(ago(10)),
            3 => Absence::ProofSince(ago(27_999)),
            _ => Absence::ProofSince(ago(40_000)),
        }
    }

    fn claim(&self, name: u8, owner: u8, lease: u64, ttl: u64, on_unknown: u8) -> Claim {
        let ms = Duration::from_millis;
        Claim {
            name: self.name(name),
            fingerprint: Fingerprint::from_bytes([0; 32]),
            owner: Self::owner(owner),
            lease: ms(lease),
            ttl: ms(ttl),
            mailbox: None,
            on_unknown: match on_unknown {
                0 => OnUnknown::Hold,
                1 => OnUnknown::Resend,
                _ => OnUnknown::Probe { lease: ms(lease) },
            },
            on_absent: OnAbsent::Begin,
            note: Bytes::new(),
        }
    }

    /// Applies an operation; the answer as text, and the fence in it.
    async fn apply(&self, store: &impl Store, op: &Op) -> (String, Option<Fence>) {
        const TTL: Duration = Duration::from_secs(30);
        let ms = Duration::from_millis;
        let mut fence = None;
        let answer = match op {
            Op::Advance(_) => String::new(),
            Op::Claim { name, owner, fingerprint, lease, ttl, on_unknown, note, asks } => {
                let claim = Claim {
                    fingerprint: Fingerprint::from_bytes([u8::from(*fingerprint); 32]),
                    on_absent: asks.map_or(OnAbsent::Begin, |kind| OnAbsent::Seal(self.absence(kind))),
                    note: if *note { Bytes::from_static(b"note") } else { Bytes::new() },
                    ..self.claim(*name, *owner, *lease, *ttl, *on_unknown)
                };
                let claimed = store.claim(claim).await;
                if let Ok(Claimed::Fresh(grant) | Claimed::Retake(grant)) = &claimed {
                    fence = Some(grant.fence);
                }
                format!("{claimed:?}")
            }
            Op::Undo { step, owner, knows_done, absence, lease, ttl, on_unknown, on_step_unknown } => {
                let undo = Undo {
                    claim: self.claim(1 - *step, *owner, *lease, *ttl, *on_unknown),
                    step: self.name(*step),
                    knows_done: *knows_done,
                    absence: self.absence(*absence),
                    on_step_unknown: match on_step_unknown {
                        0 => OnStepUnknown::Hold,
                        1 => OnStepUnknown::Send { after: ms(*lease) },
                        2 => OnStepUnknown::Send { after: Duration::ZERO },
                        3 => OnStepUnknown::Probe { lease: ms(*lease), otherwise: None },
                        _ => OnStepUnknown::Probe { lease: ms(*lease), otherwise: Some(Duration::ZERO) },
                    },
                };
                let undone = store.undo(undo).await;
                if let Ok(Undone::Own(Claimed::Fresh(grant) | Claimed::Retake(grant))) = &undone {
                    fence = Some(grant.fence);
                }
                format!("{undone:?}")
            }
            Op::Complete { name, owner, fence, attempt } => {
                let fingerprint = Fingerprint::from_bytes([0; 32]);
                let response = format!("by {owner}").into();
                let token = self.token(*name, *owner, *fence);
                format!("{:?}", store.complete(Complete { token, attempt: *attempt, fingerprint, ttl: TTL, response }).await)
            }
            Op::Extend(renewals) => {
                let renewal = |(name, owner, fence, sent): &(u8, u8, usize, bool)| Renewal {
                    token: self.token(*name, *owner, *fence),
                    lease: ms(40),
                    sent: *sent,
                };
                format!("{:?}", store.extend(renewals.iter().map(renewal).collect()).await)
            }
            Op::Doubt { name, owner, fence } => format!("{:?}", store.doubt(self.token(*name, *owner, *fence)).await),
            Op::Release { name, owner, fence } => {
                let fence = fence.map(|back| self.fence(back));
                format!("{:?}", store.release(self.name(*name), Self::owner(*owner), fence).await)
            }
            Op::Settle { name, owner, fence: back, verdict } => {
                let verdict = match verdict {
                    0 => ProbeVerdict::Done { response: "probed".into(), ttl: TTL },
                    1 => ProbeVerdict::NotDone { lease: ms(30), ttl: TTL },
                    2 => ProbeVerdict::Seal { ttl: TTL },
                    _ => ProbeVerdict::Undecided,
                };
                let settle = Settle { name: self.name(*name), prober: Self::owner(*owner), fence: self.fence(*back), verdict };
                let settled = store.settle(settle).await;
                if let Ok(Settled::Retake(grant)) = &settled {
                    fence = Some(grant.fence);
                }
                format!("{settled:?}")
            }
            Op::Reserve { name, holder, ttl } => {
                format!("{:?}", store.reserve(self.name(*name), self.name(*holder), ms(*ttl)).await)
            }
            Op::Unreserve { name, holder } => format!("{:?}", store.unreserve(self.name(*name), self.name(*holder)).await),
            Op::Resolve { name, done } => {
                let done = done.then(|| Resolution::Done { response: "by hand".into(), ttl: TTL });
                format!("{:?}", store.resolve(self.name(*name), done.unwrap_or(Resolution::NotDone)).await)
            }
            Op::Forget { name } => format!("{:?}", store.forget(self.name(*name)).await),
            Op::Inspect { name } => format!("{:?}", store.inspect(self.name(*name)).await),
        };
        (answer, fence)
    }
}

#[test]
fn the_embedded_store_answers_as_the_memory_store_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1 << 40));
    let memory = MemoryStore::with(Wakes::default(), clock.clone(), Limits::default());
    let embedded = EmbeddedStore::open_with(&dir.path().join("store.redb"), Wakes::default(), clock).unwrap();
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..60))| {
        let mut case = Case { salt: *Owner::random().as_bytes(), fences: Vec::new(), now: hand.now() };
        for op in ops {
            if let Op::Advance(ms) = op {
                hand.advance(Duration::from_millis(ms));
                case.now = hand.now();
            }
            let (expected, fence) = runtime.block_on(case.apply(&memory, &op));
            let (found, _) = runtime.block_on(case.apply(&embedded, &op));
            prop_assert_eq!(found, expected, "{:?}", op);
            case.fences.extend(fence);
        }
    });
    runtime.block_on(embedded.close());
}
