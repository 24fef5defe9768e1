//! What typed keys mean for what a program said of itself: a question is answered, and work is expected.
//!
//! Invariant: who types and then waits until the session is idle waits for what comes of it, not for what was before.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Host;
use super::keys::Typed;
use super::told::Reporter;
use crate::wire::SessionReport;

/// How long it may take a program to say that it works on what was typed.
const CONFIRMED: Duration = Duration::from_secs(2);

impl Host {
    /// Somebody types.
    pub(super) fn typed(self: &Arc<Self>, bytes: &[u8]) {
        let typed = Typed::of(bytes);
        if !self.spec.asking_notices.is_empty() {
            self.answered(typed);
        } else if typed == Typed::Enter {
            self.entered();
        }
    }

    /// An agent that asks by notices does not say that it was answered.
    fn answered(self: &Arc<Self>, typed: Typed) {
        let by = self.told.reported().by;
        let asks = || self.status().report.as_ref().is_some_and(|report| report.needs_you.is_some());
        let working = match (by, typed) {
            (Reporter::Notice, Typed::Text | Typed::Enter) => true,
            (Reporter::Agent, Typed::Enter) if asks() => true,
            (Reporter::Notice | Reporter::Answer, Typed::Stop) => false,
            _ => return,
        };
        self.told.reported().by = if working { Reporter::Answer } else { Reporter::Agent };
        let label = if working { "thinking" } else { "idle" }.to_owned();
        self.take_report(Some(SessionReport { label, working, ..SessionReport::default() }), false);
    }

    /// The return key, to a program that says how it is. It is taken to be at work until it says so itself, or that it
    /// is not; where it says nothing, it is what it was before, without a question.
    fn entered(self: &Arc<Self>) {
        let Some(before) = self.status().report.clone().filter(|report| !report.working) else { return };
        self.told.reported().expects = Some((Instant::now() + CONFIRMED, before));
        self.told.entered().notify_one();
        let expected = SessionReport { working: true, ..SessionReport::default() };
        self.take_report(Some(expected), false);
    }

    /// Nothing was said of what was typed.
    fn unconfirmed(self: &Arc<Self>) {
        let mut reported = self.told.reported();
        let Some((_, before)) = reported.expects.take_if(|(until, _)| *until <= Instant::now()) else {
            return;
        };
        let after = Some(before).filter(|report| report.needs_you.is_none());
        if after.is_none() {
            reported.by = Reporter::Marks;
        }
        drop(reported);
        self.take_report(after, false);
    }
}

/// Takes work back that was expected and that nothing came of.
pub(super) async fn confirm(host: Arc<Host>) {
    loop {
        host.told.entered().notified().await;
        loop {
            let until = host.told.reported().expects.as_ref().map(|(until, _)| *until);
            let Some(until) = until else { break };
            tokio::time::sleep_until(until).await;
            host.unconfirmed();
        }
    }
}
