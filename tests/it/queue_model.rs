//! The queue's scripts against a model of them: random interleavings of what runners, users, observers and
//! strangers do, repeated and in any order, with the database going back to an earlier state in between.
//!
//! What fails is kept in `tests/it/queue_model.regressions` and tried first the next time.

mod model;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::support::RedisServer;
use model::{End, Op, Seen};
use world::World;

/// Jobs, seats and idempotency keys that take part; few, so that they meet.
const JOBS: usize = 3;
const SEATS: usize = 3;
const KEYS: usize = 2;

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        4 => Just(End::Done),
        3 => Just(End::Failed),
        1 => Just(End::Cancelled),
        1 => Just(End::Dead),
    ];
    let seen = prop_oneof![4 => Just(Seen::Now), 2 => Just(Seen::Before), 1 => Just(Seen::OneBeatAgo), 1 => Just(Seen::Never)];
    // Which of the tokens that were handed out; mostly one of the newest.
    let token = prop_oneof![3 => 0..3_usize, 1 => 0..20_usize];
    let job = 0..JOBS;
    let reconcile = (job.clone(), seen, any::<bool>(), any::<bool>(), 1..4_u32, any::<bool>());
    prop_oneof![
        5 => (job.clone(), prop::option::of(0..KEYS), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(job, key, delayed, pinned)| Op::Publish { job, key, delayed, pinned }),
        8 => (0..SEATS).prop_map(|seat| Op::Claim { seat, again: false }),
        2 => (0..SEATS).prop_map(|seat| Op::Claim { seat, again: true }),
        4 => token.clone().prop_map(Op::Beat),
        6 => (token.clone(), end.clone(), 0..3_u32)
            .prop_map(|(token, end, retries)| Op::Finish { token, end, retries }),
        2 => token.clone().prop_map(Op::Decline),
        1 => token.clone().prop_map(Op::Refuse),
        4 => token.clone().prop_map(Op::Resume),
        2 => (token, end).prop_map(|(token, end)| Op::Reassert { token, end }),
        2 => job.clone().prop_map(Op::Cancel),
        3 => job.clone().prop_map(Op::Retry),
        1 => job.clone().prop_map(Op::Offer),
        2 => job.clone().prop_map(Op::Look),
        8 => reconcile.prop_map(|(job, seen, deep, stray, max_losses, at_once)| Op::Reconcile {
            job, seen, deep, stray, max_losses, at_once
        }),
        2 => job.clone().prop_map(Op::Due),
        2 => job.clone().prop_map(Op::StrangerAcks),
        1 => job.clone().prop_map(Op::StrangerDeletes),
        2 => job.prop_map(Op::StrangerAdds),
        2 => Just(Op::StrangerReads),
        1 => Just(Op::Trim),
        1 => Just(Op::DestroyGroups),
        1 => Just(Op::FlushScripts),
        1 => Just(Op::Save),
        1 => Just(Op::GoBack),
    ]
}

#[test]
fn the_scripts_do_what_the_model_does_in_any_order() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kept = FileFailurePersistence::Direct("tests/it/queue_model.regressions");
    let config = ProptestConfig {
        cases: 64,
        max_shrink_iters: 1000,
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    };
    proptest!(config, |(ops in vec(op(), 1..120))| {
        runtime.block_on(async {
            let mut world = World::new(&server).await;
            for op in &ops {
                world.step(op).await;
            }
            world.nobody_shares_a_job().await;
            world.settles().await;
        });
    });
}

#[test]
fn an_attempt_that_was_given_back_stays_so_when_its_job_is_queued_once_more() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let publish = |job| Op::Publish { job, key: None, delayed: false, pinned: false };
    let claim = || Op::Claim { seat: 0, again: false };
    // The claim of job 2 is the newest one; its number is free again, and its token is not.
    let ops = [publish(2), claim(), Op::Decline(0), Op::Cancel(2), Op::Retry(2), Op::Resume(0)];
    runtime.block_on(async {
        let mut world = World::new(&server).await;
        for op in &ops {
            world.step(op).await;
        }
        world.settles().await;
    });
}
