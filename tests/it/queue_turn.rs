//! The end of one job and the claim of the next in one round trip, against a real Redis.

use darkmux::model::JobState;
use darkmux::wire::JobResult;
use darkmux::work::{Finish, Offer, Outcome, Told};

use crate::support::RedisServer;
use crate::support::queue::{job, queue, seat, take};

#[tokio::test]
async fn the_end_of_a_job_and_the_next_claim_are_one_step_that_may_be_asked_twice() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let seat = seat("studio");
    for id in ["job-1", "job-2"] {
        let (job, spec) = job(id, "true");
        queue.publish(&job, &spec).await.unwrap();
    }
    let first = take(&queue, &seat).await;
    let streams: Vec<String> = queue.lanes().await.unwrap().into_iter().map(|(stream, _)| stream).collect();
    let result = JobResult { exit_code: Some(0), attempt: 1, ..JobResult::default() };
    let told =
        Told { id: &first.id, token: &first.token, outcome: Outcome::Done, result: &result, retries: 0 };
    let (finish, offer) = queue.finish_and_claim(told, &seat, &streams, "second").await.unwrap();
    assert_eq!(finish, Finish::Accepted);
    let Offer::Job(second) = offer else { panic!("no job but {offer:?}") };
    assert_eq!((second.id.as_str(), second.token.as_str(), second.attempt), ("job-2", "1-second", 1));
    let view = queue.job(&first.id).await.unwrap().unwrap();
    assert_eq!((view.state, view.attempts.len()), (JobState::Done, 1));
    assert_eq!((view.attempts[0].machine.as_str(), view.attempts[0].ended.as_str()), ("studio", "done"));
    // Its answer was lost: the end counts once, and the claim is the same.
    let again = queue.finish(&first.id, &first.token, Outcome::Done, (&result, 0)).await.unwrap();
    assert_eq!(again, Finish::Accepted);
    let same = queue.claim(&seat, &streams, "second", true).await.unwrap();
    assert_eq!(same, Offer::Job(second.clone()));
    // A token that counts no more ends nothing, and a paused queue gives nothing.
    queue.set_paused(true).await.unwrap();
    let stale = Told { id: &second.id, token: "1-other", ..told };
    let (finish, offer) = queue.finish_and_claim(stale, &seat, &streams, "third").await.unwrap();
    assert_eq!((finish, offer), (Finish::Fenced, Offer::Paused));
    assert_eq!(queue.job(&second.id).await.unwrap().unwrap().state, JobState::Running);
}
