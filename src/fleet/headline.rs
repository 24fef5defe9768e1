//! What the judgements over all machines come to, in a line.

use super::reasons::{Row, Verdict};
use crate::model::JobState;
use crate::util::visible_line;
use crate::work::JobView;

/// Machines named in a line.
const NAMED: usize = 4;

/// In one line why the job is where it is; `None` for one that has ended.
pub fn headline(job: &JobView, rows: &[Row], paused: bool) -> Option<String> {
    let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).collect::<Vec<_>>();
    Some(match job.state {
        JobState::Running => {
            let machine = job.machine.as_deref().unwrap_or("?");
            format!("runs on {} as attempt {}", visible_line(machine), job.attempt)
        }
        JobState::Queued if paused => "waits, because the queue is paused".to_owned(),
        JobState::Queued => match (&of(Verdict::Now)[..], &of(Verdict::Later)[..]) {
            ([one], _) => format!("waits for {}, which can run it now", visible_line(&one.machine)),
            ([], [one]) => {
                format!("waits for {}, which {}", visible_line(&one.machine), one.reasons.join(", and "))
            }
            ([], []) => "waits, and no known machine can run it as it is".to_owned(),
            ([], later) => {
                format!("waits until one of {} machines that could run it gets to it", later.len())
            }
            (able, _) => format!("waits for one of {} machines that can run it now", able.len()),
        },
        JobState::Waiting => "waits for its time".to_owned(),
        _ => return None,
    })
}

/// Why none of these machines can ever run it as it is; `None` while one can, or could later.
pub fn nobody(rows: &[Row]) -> Option<String> {
    if rows.iter().any(|row| row.verdict != Verdict::No) {
        return None;
    }
    if rows.is_empty() {
        return Some("no machine is known (`darkmux serve` on one that is to run it)".to_owned());
    }
    // Who is meant says more than who is not.
    let is_other = |row: &&Row| matches!(&row.reasons[..], [only] if only.starts_with("pinned to "));
    let mut meant: Vec<&Row> = rows.iter().filter(|row| !is_other(row)).collect();
    if meant.is_empty() {
        meant.extend(rows.first());
    }
    let line = |row: &&Row| format!("{}: {}", visible_line(&row.machine), row.reasons.join("; "));
    let named: Vec<String> = meant.iter().take(NAMED).map(line).collect();
    Some(named.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::fixture::job;

    fn row(machine: &str, verdict: Verdict, why: &str) -> Row {
        Row { machine: machine.into(), verdict, reasons: vec![why.into()] }
    }

    #[test]
    fn one_machine_is_named_and_several_are_counted() {
        let said = |rows: &[Row]| headline(&job("j"), rows, false).unwrap();
        let (now, later) = (row("a", Verdict::Now, ""), row("b", Verdict::Later, "shows no sign of life"));
        let no = row("c", Verdict::No, "is too small");
        assert_eq!(said(&[now.clone(), later.clone()]), "waits for a, which can run it now");
        assert!(said(&[now.clone(), now]).contains("one of 2 machines"));
        assert_eq!(said(&[later.clone(), no.clone()]), "waits for b, which shows no sign of life");
        assert!(said(&[later.clone(), later]).contains("one of 2 machines that could"));
        assert!(said(&[no]).contains("no known machine"));
        assert!(headline(&job("j"), &[], true).unwrap().contains("paused"));
    }

    #[test]
    fn that_nobody_can_ever_is_said_with_the_reason_of_who_is_meant() {
        let no = |machine: &str, why: &str| row(machine, Verdict::No, why);
        assert_eq!(nobody(&[no("a", "x"), row("b", Verdict::Later, "is busy")]), None);
        assert!(nobody(&[]).unwrap().contains("darkmux serve"));
        let rows = [no("desk", "pinned to a"), no("a", "does not accept it")];
        assert_eq!(nobody(&rows).as_deref(), Some("a: does not accept it"));
        assert_eq!(nobody(&rows[..1]).as_deref(), Some("desk: pinned to a"));
    }
}
