//! What happened, as far as anybody could see it from outside.

use std::collections::{BTreeMap, BTreeSet};

/// A job that the queue said it accepted.
#[derive(Debug, Clone, Default)]
pub struct Acked {
    pub id: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// It must not run twice.
    pub once: bool,
}

/// One execution of a job: from its own first line to its own last one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    pub job: String,
    pub token: String,
    /// The number of its line: all jobs append to one file, so that lines are in the order in which they happened.
    pub start: usize,
    /// `None` when it was ended before it came to its last line.
    pub end: Option<usize>,
}

/// How a job stands when everything is quiet.
#[derive(Debug, Clone, Default)]
pub struct Final {
    pub state: String,
    /// The token whose result counts, where one does.
    pub token: Option<String>,
    pub attempt: u32,
    /// Results that were accepted.
    pub ends: u64,
}

/// Everything that the checker goes by.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub acked: Vec<Acked>,
    pub runs: Vec<Run>,
    pub finals: BTreeMap<String, Final>,
    /// Members of the set of live jobs, entries and pending entries that are left at rest.
    pub left_over: BTreeMap<String, u64>,
    /// Redis lost its newest writes so often.
    pub rollbacks: u32,
}

/// Losses after which a job is dead.
const LOSSES_MAX: u32 = 3;

/// What is wrong with a history, one line each.
#[derive(Debug, Default)]
pub struct Findings {
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub other: Vec<String>,
}

impl Findings {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.other.is_empty()
    }
}

impl History {
    /// The lines that jobs wrote: `start|end <job> <token>`.
    pub fn read_runs(&mut self, text: &str) {
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, job, token] = words[..] else { panic!("a torn line: {line:?}") };
            if what == "start" {
                let (job, token) = (job.to_owned(), token.to_owned());
                self.runs.push(Run { job, token, start: at, end: None });
            } else {
                let run = self.runs.iter_mut().rev().find(|run| (&*run.job, &*run.token) == (job, token));
                run.expect("a start before the end").end = Some(at);
            }
        }
    }

    pub fn check(&self) -> Findings {
        let mut found = Findings::default();
        for acked in &self.acked {
            self.check_job(acked, &mut found);
        }
        self.check_keys(&mut found);
        for (what, count) in &self.left_over {
            if *count > 0 {
                found.other.push(format!("{count} in {what} at rest"));
            }
        }
        found
    }

    fn check_job(&self, acked: &Acked, found: &mut Findings) {
        let id = &acked.id;
        let Some(last) = self.finals.get(id) else {
            found.lost.push(format!("{id}: accepted, and nobody knows it"));
            return;
        };
        if !matches!(last.state.as_str(), "done" | "failed" | "cancelled" | "dead") {
            found.lost.push(format!("{id}: accepted, and `{}` for ever", last.state));
            return;
        }
        let runs: Vec<&Run> = self.runs.iter().filter(|run| run.job == *id).collect();
        // A log that went back with Redis may have none.
        if last.ends > 1 {
            found.doubled.push(format!("{id}: {} results were accepted: {runs:?}", last.ends));
        }
        let tokens: BTreeSet<&str> = runs.iter().map(|run| run.token.as_str()).collect();
        if tokens.len() < runs.len() {
            found.doubled.push(format!("{id}: one attempt ran twice: {runs:?}"));
        }
        if matches!(last.state.as_str(), "done" | "failed") {
            let counts = runs.iter().find(|run| Some(&run.token) == last.token.as_ref());
            match counts {
                Some(run) if run.end.is_some() => self.check_overlaps(run, &runs, found),
                _ => found
                    .other
                    .push(format!("{id}: `{}` of {:?}, which never ended: {runs:?}", last.state, last.token)),
            }
        }
        if last.attempt > LOSSES_MAX {
            found.other.push(format!("{id}: {} attempts", last.attempt));
        }
        let most = if acked.once { 1 } else { LOSSES_MAX } + self.rollbacks;
        if tokens.len() as u64 > u64::from(most) {
            found.doubled.push(format!("{id}: ran {} times: {runs:?}", tokens.len()));
        }
    }

    /// Another execution may have begun while the one that counts ran only if it is the one that was refused, so the
    /// one that counts is the later.
    fn check_overlaps(&self, counts: &Run, runs: &[&Run], found: &mut Findings) {
        let end = counts.end.unwrap_or(usize::MAX);
        let within = |run: &&&Run| run.start > counts.start && run.start < end;
        for later in runs.iter().filter(within) {
            if self.rollbacks == 0 {
                found.doubled.push(format!(
                    "{}: {} ran while {} did, and the earlier one counts",
                    counts.job, later.token, counts.token
                ));
            }
        }
    }

    fn check_keys(&self, found: &mut Findings) {
        let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for acked in &self.acked {
            if let Some(key) = &acked.key {
                ids.entry(key).or_default().insert(&acked.id);
            }
        }
        for (key, ids) in ids.into_iter().filter(|(_, ids)| ids.len() > 1) {
            found.doubled.push(format!("one key, {key}, and {ids:?}"));
        }
    }
}

/// A history without fault: one job that ran once.
#[cfg(test)]
fn clean() -> History {
    let run = Run { job: "j".into(), token: "1-a".into(), start: 10, end: Some(20) };
    let last = Final { state: "done".into(), token: Some("1-a".into()), attempt: 1, ends: 1 };
    History {
        acked: vec![Acked { id: "j".into(), ..Acked::default() }],
        runs: vec![run],
        finals: BTreeMap::from([("j".into(), last)]),
        ..History::default()
    }
}

#[test]
fn a_clean_history_has_no_findings() {
    assert!(clean().check().is_clean());
    let mut again = clean();
    let earlier = Run { job: "j".into(), token: "1-0".into(), start: 5, end: Some(15) };
    again.runs.insert(0, earlier);
    assert!(again.check().is_clean(), "the earlier one was refused");
}

#[test]
fn every_kind_of_loss_and_doubling_is_found() {
    type Break = fn(&mut History);
    let breaks: [(&str, Break); 10] = [
        ("lost", |history| history.finals.clear()),
        ("lost", |history| history.finals.get_mut("j").unwrap().state = "running".into()),
        ("doubled", |history| history.finals.get_mut("j").unwrap().ends = 2),
        ("doubled", |history| history.runs.push(history.runs[0].clone())),
        ("doubled", |history| {
            history.runs.push(Run { job: "j".into(), token: "2-b".into(), start: 15, end: Some(30) });
        }),
        ("doubled", |history| {
            history.acked[0].once = true;
            history.runs.push(Run { job: "j".into(), token: "2-b".into(), start: 25, end: None });
        }),
        ("doubled", |history| {
            history.acked[0].key = Some("k".into());
            history.acked.push(Acked { id: "i".into(), key: Some("k".into()), once: false });
            history.finals.insert("i".into(), Final { state: "dead".into(), ends: 1, ..Final::default() });
        }),
        ("other", |history| history.runs[0].end = None),
        ("other", |history| history.finals.get_mut("j").unwrap().attempt = 4),
        ("other", |history| {
            history.left_over.insert("darkmux:live".into(), 1);
        }),
    ];
    for (number, (kind, damage)) in breaks.into_iter().enumerate() {
        let mut history = clean();
        damage(&mut history);
        let found = history.check();
        let counts =
            [("lost", found.lost.len()), ("doubled", found.doubled.len()), ("other", found.other.len())];
        for (name, count) in counts {
            assert_eq!(count > 0, name == kind, "break {number}, {name}: {found:?}");
        }
    }
}
