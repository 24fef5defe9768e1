//! A run from its task to its result.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{Checkpoint, TERMINATED};
use super::conversation::{Conversation, middle_cut};
use super::desk::Desk;
use super::detect::Detectors;
use super::model::{Limits, ModelClient};
use super::pick::{Chosen, pick};
use super::records::{About, Records};
use super::tools::{Confinement, ToolLimits, ToolName, Toolbox, ToolboxSetup, bash, confine};
use super::transcript::{Look, Screen, Transcript};
use super::work::{Ending, QUESTION_MAX, Work};
use crate::config::Config;
use crate::crew::adapter::{clean, own_program};
use crate::flow::Flow;
use crate::model::Escalation;
use crate::store::{Durability, read_bounded, write_atomic};
use crate::util::Clock;
use crate::wire::{
    AGENT_SCHEMA, AgentResult, AgentTask, RESULT_FILE, RESULT_MAX, Sandbox, SessionReport, TASK_FILE,
    TASK_MAX,
};
use crate::workspace;

/// Where whole outputs are kept that were cut for the model, in the session's folder.
const OUTPUTS: &str = "outputs";

/// Longest last message in a result, in bytes.
const LAST_MAX: usize = 16 * 1024;

/// Length of it, in bytes, below which cutting it makes it no shorter.
const LAST_MIN: usize = 256;

/// Longest name of a model or an endpoint in a result, in characters.
const NAME_MAX: usize = 200;

/// What a run is started with.
pub struct Start<'a> {
    /// The session's folder.
    pub folder: PathBuf,
    /// The folder to work in.
    pub cwd: PathBuf,
    /// Whether it goes on with what an earlier run left.
    pub resume: bool,
    /// The configuration.
    pub config: &'a Config,
    /// Where the time comes from.
    pub clock: &'a Clock,
    /// Where the transcript is shown.
    pub screen: Screen,
    /// What is typed; `None` where nobody can.
    pub keys: Option<mpsc::Receiver<Vec<u8>>>,
    /// Cancelled when the session is ended from outside.
    pub terminated: CancellationToken,
}

/// How a run ended, for its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The work is done.
    Done,
    /// It is not: blocked, at a limit, or without a model in the middle.
    NotDone,
    /// It never began: nothing here can run it.
    CannotRun,
    /// A person ended it.
    Interrupted,
    /// The session was ended from outside.
    Terminated,
    /// darkmux itself failed.
    Internal,
}

/// Runs the agent to its end. All that is to be said is said in the transcript.
pub async fn run(start: Start<'_>) -> Ended {
    let Start { folder, cwd, resume, config, clock, screen, keys, terminated } = start;
    let mut transcript = Transcript::new(screen);
    let task = match read_task(&folder) {
        Ok(task) => task,
        Err(error) => {
            transcript.line(Look::Bad, &format!("the task {}: {error}", folder.join(TASK_FILE).display()));
            return Ended::Internal;
        }
    };
    let prepared = prepare(&task, (&folder, &cwd), config, resume).await;
    let Prepared { chosen, client, tools, at } = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            transcript.line(Look::Bad, &why);
            keep_result(
                &folder,
                &mut transcript,
                AgentResult { result: "error".into(), last: why, ..base(&task) },
            );
            return Ended::CannotRun;
        }
    };
    if task.interactive && keys.is_some() {
        transcript.mark_pastes(true);
    }
    introduce(&mut transcript, &task, &chosen, (&tools, &at), resume);
    if !matches!(task.sandbox, Sandbox::None) && tools.confinement().reaches(&cwd, &config.paths.socket_key())
    {
        transcript.line(
            Look::Bad,
            "commands can read darkmux's own keys here, and so act for you: work in another folder",
        );
    }
    let records = records(&task, &chosen, config, clock);
    let mut work = Work {
        specs: tools.specs().into_iter().map(|spec| function(&spec)).collect(),
        limits: config.agent(),
        detectors: Detectors::new(task.feedback.clone()),
        desk: Desk::new(transcript, keys, terminated),
        overflows: 0,
        task,
        chosen,
        client,
        tools,
        at,
        folder,
        records,
    };
    // What an earlier run came to counts no longer.
    let _ = std::fs::remove_file(work.folder.join(RESULT_FILE));
    work.records.go_on_from(work.at.totals.total_turns, work.at.totals.total_tools);
    work.keep();
    let ending = work.run().await;
    finish(&mut work, ending)
}

fn read_task(folder: &Path) -> io::Result<AgentTask> {
    Ok(serde_json::from_slice(&read_bounded(&folder.join(TASK_FILE), TASK_MAX)?)?)
}

/// What a run needs.
struct Prepared {
    chosen: Chosen,
    client: ModelClient,
    tools: Toolbox,
    at: Checkpoint,
}

async fn prepare(
    task: &AgentTask,
    (folder, cwd): (&Path, &Path),
    config: &Config,
    resume: bool,
) -> Result<Prepared, String> {
    let chosen = pick(&config.models(), task.model.as_deref()).await?;
    let limits = config.agent();
    let limits = Limits {
        first_token: limits.first_token,
        next_token: limits.next_token,
        answer: limits.answer_limit,
    };
    let client = ModelClient::new(&chosen.endpoint, limits).await;
    let client = client.map_err(|why| format!("endpoint {}: {why}", chosen.endpoint.name))?;
    let mut tools = toolbox(task, (folder, cwd), config)?;
    let model = format!("{}/{}", chosen.endpoint.name, chosen.model);
    let left = if resume { Checkpoint::read(folder) } else { Ok(None) };
    let left = left
        .map_err(|error| format!("its checkpoint cannot be read: {error}; `session restart` begins anew"))?;
    let mut at = match left {
        Some(mut at) if at.moved => {
            at.settle(system(task, cwd, &tools), cwd);
            at
        }
        Some(mut at) => {
            at.go_on();
            at
        }
        None => {
            let begun = Conversation::new(system(task, cwd, &tools), task.message.clone());
            Checkpoint::new(begun, cwd.to_owned(), model.clone())
        }
    };
    if at.model != model {
        // What was found out of the other one.
        (at.model, at.window, at.style) = (model, None, super::model::Style::default());
    }
    if config.models().context.is_some() {
        // Who says it now knows better than what was found out before.
        at.window = None;
    }
    tools.set_plan(at.plan.clone());
    Ok(Prepared { chosen, client, tools, at })
}

fn toolbox(task: &AgentTask, (folder, cwd): (&Path, &Path), config: &Config) -> Result<Toolbox, String> {
    let path = config.env().path_dirs();
    let rules = confine::Rules::of(config);
    let sandbox = config.sandbox();
    let confinement = match &task.sandbox {
        Sandbox::System => Confinement::of_system(rules),
        Sandbox::None => Confinement::Off,
        Sandbox::Image(image) => {
            Confinement::in_image(image, sandbox.network, &path).map_err(|error| error.to_string())?
        }
    };
    Toolbox::new(ToolboxSetup {
        root: cwd.to_owned(),
        palette: ToolName::of_palette(&task.palette),
        // A job's repository borrows objects, a work tree has its repository elsewhere; git there needs to read them.
        confinement: confinement.and_reading(workspace::borrowed(&config.paths.mirrors(), cwd)),
        env: bash::environment(config.env().for_child(), &sandbox.env),
        overflow_dir: folder.join(OUTPUTS),
        darkmux: own_program(),
        limits: ToolLimits::default(),
    })
    .map_err(|error| error.to_string())
}

/// What the role is told, and where it is.
fn system(task: &AgentTask, cwd: &Path, tools: &Toolbox) -> String {
    let mut text = task.system.clone();
    let os = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let git = if cwd.join(".git").exists() { "it is a git work tree" } else { "it is no git work tree" };
    let _ = write!(
        text,
        "\n\n# Where you are\n\nFolder: {} ({git}). System: {os}. Paths of your tools are relative to the folder. {}. \
         Several calls in one answer are made one after the other.",
        cwd.display(),
        tools.confinement(),
    );
    text.trim_start().to_owned()
}

fn function(spec: &super::tools::ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": { "name": spec.name, "description": spec.description, "parameters": spec.parameters },
    })
}

/// The first lines: who works, by which model and why, and how commands are confined.
fn introduce(
    transcript: &mut Transcript,
    task: &AgentTask,
    chosen: &Chosen,
    (tools, at): (&Toolbox, &Checkpoint),
    resume: bool,
) {
    let window = at.window.or(chosen.window);
    let window =
        window.map_or_else(|| "window unknown".to_owned(), |window| format!("window {window} tokens"));
    let words =
        format!("{} · {} at {} ({}; {window})", task.role, chosen.model, chosen.endpoint.name, chosen.why);
    transcript.line(Look::Call, &words);
    transcript.line(Look::Dim, &tools.confinement().to_string());
    if resume {
        let turns = at.totals.total_turns;
        transcript.line(Look::Dim, &format!("goes on after turn {turns}"));
    }
}

fn records(task: &AgentTask, chosen: &Chosen, config: &Config, clock: &Clock) -> Records {
    let env = config.env();
    let attempt = env.get("DARKMUX_ATTEMPT").and_then(|text| text.parse().ok());
    let work = env.get("DARKMUX_JOB_ID").map(str::to_owned).zip(attempt);
    let about = About {
        role: task.role.to_string(),
        session: env.get("DARKMUX_SESSION_ID").unwrap_or_default().to_owned(),
        model: chosen.model.clone(),
        work,
        keeps_reasoning: config.agent().record_reasoning,
    };
    let flow = config.flow().map(|flow| Flow::new(flow, clock.clone())).ok();
    let socket = env.raw("DARKMUX_SOCKET").map(PathBuf::from);
    Records::new(about, flow, socket.as_deref())
}

fn base(task: &AgentTask) -> AgentResult {
    let hand_off_to = match &task.escalation {
        Some(Escalation::HandOffTo(role)) => Some(role.clone()),
        _ => None,
    };
    AgentResult { schema: AGENT_SCHEMA, hand_off_to, ..AgentResult::default() }
}

/// Says how it ended: in the transcript, to the host, in the flow, and in the result.
fn finish(work: &mut Work, ending: Ending) -> Ended {
    let at = &work.at;
    let mut result = AgentResult {
        changed: at.changed.clone(),
        checks: at.checks.clone(),
        model: work.chosen.model.clone(),
        endpoint: work.chosen.endpoint.name.clone(),
        totals: at.totals,
        ..base(&work.task)
    };
    let mut report = SessionReport { label: "done".to_owned(), ..SessionReport::default() };
    let ended = match ending {
        Ending::Done(last) => {
            (result.result, result.last) = ("stop".into(), last);
            Ended::Done
        }
        Ending::Blocked { last, why } => {
            (result.result, result.last, result.blocked) = ("blocked".into(), last, Some(why));
            Ended::NotDone
        }
        Ending::Limit { word, why } => {
            (result.result, result.last, result.blocked) = (word.into(), why.clone(), Some(why));
            Ended::NotDone
        }
        Ending::Failed(why) => {
            (result.result, result.last) = ("error".into(), why);
            Ended::NotDone
        }
        Ending::Interrupted => {
            result.result = "interrupted".into();
            Ended::Interrupted
        }
        Ending::Terminated => {
            result.result = TERMINATED.into();
            Ended::Terminated
        }
    };
    if result.blocked.is_none() {
        result.hand_off_to = None;
    }
    if let Some(why) = &result.blocked {
        let to = result.hand_off_to.as_ref().map(|role| format!(" (hand it to {role})")).unwrap_or_default();
        report.needs_you = Some(clean(&format!("BLOCKED: {why}{to}"), QUESTION_MAX));
        "blocked".clone_into(&mut report.label);
        // Why stands above, in the words of the model or of the limit.
        work.desk.line(Look::Person, &format!("blocked{to}; it waits in the inbox"));
    } else if result.result == "error" {
        (report.label, report.error) = (clean(&result.last, 40), true);
    }
    let transcript = work.desk.transcript();
    // Before the records, which may have to wait: without a result the work counts as lost in the middle.
    keep_result(&work.folder, &mut transcript.borrow_mut(), result);
    work.records.report(report);
    work.records.end(work.at.totals.total_turns);
    let missing = work.records.missing();
    if missing > 0 {
        let words = format!(
            "{missing} records of this run are not in the flow: it was locked, slow or could not be written"
        );
        transcript.borrow_mut().line(Look::Bad, &words);
    }
    if work.task.interactive {
        transcript.borrow_mut().mark_pastes(false);
    }
    ended
}

/// Keeps the result.
fn keep_result(folder: &Path, transcript: &mut Transcript, result: AgentResult) {
    let written =
        fitted(result).and_then(|text| write_atomic(&folder.join(RESULT_FILE), &text, Durability::Cached));
    if let Err(error) = written {
        transcript.line(Look::Bad, &format!("the result is not kept: {error}"));
    }
}

/// The result as it is kept, small enough for where it goes.
fn fitted(mut result: AgentResult) -> io::Result<Vec<u8>> {
    result.last = middle_cut(&result.last, LAST_MAX);
    result.blocked = result.blocked.map(|why| clean(&why, QUESTION_MAX));
    for name in [&mut result.model, &mut result.endpoint] {
        *name = clean(name, NAME_MAX);
    }
    loop {
        let text = serde_json::to_vec(&result)?;
        if text.len() <= RESULT_MAX {
            return Ok(text);
        }
        if result.changed.len() + result.checks.len() > 0 {
            let (changed, checks) = (result.changed.len() / 2, result.checks.len() / 2);
            result.changed.truncate(changed);
            result.checks.drain(..result.checks.len() - checks);
        } else if result.last.len() > LAST_MIN {
            result.last = middle_cut(&result.last, result.last.len() / 2);
        } else {
            return Err(io::Error::other(format!("it is larger than {RESULT_MAX} bytes")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_fits_whatever_it_is_made_of() {
        let long = || "\u{1}".repeat(40_000);
        let result = AgentResult {
            last: long(),
            blocked: Some(long()),
            model: long(),
            endpoint: long(),
            changed: vec![PathBuf::from("x".repeat(4000)); 500],
            ..AgentResult::default()
        };
        let text = fitted(result).unwrap();
        let kept: AgentResult = serde_json::from_slice(&text).unwrap();
        assert!(text.len() <= RESULT_MAX && kept.last.contains("bytes left out"), "{}", text.len());
        assert!(kept.blocked.is_some_and(|why| why.chars().count() == QUESTION_MAX));
    }
}
