//! `darkmux crew dispatch` to the fleet's queue: publishing a job, and waiting for it from here.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::args::DispatchArgs;
use super::failure;
use super::parcel::{self, Parcel};
use crate::cli::job::{self, Follow, Followed, Interrupts};
use crate::cli::session::Screen;
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, block_on};
use crate::config::Config;
use crate::crew::Crew;
use crate::fleet::{Ask, Gate, Order, Presence, Publisher, Row, is_alive, nobody, preferred, route_of, rows};
use crate::flow::Flow;
use crate::model::{FlowRecord, MachineId, RoleId, SessionId};
use crate::session;
use crate::util::{closest, visible_line};
use crate::wire::{JobSpec, WorkJob};
use crate::work::{Journal, Published, Queue, WorkError};
use crate::workspace::Source;

/// Within this time a job is in the queue, or it is said that it is not.
const ACCEPT_WITHIN: Duration = Duration::from_millis(2800);

/// Most requirements of a job.
const REQUIREMENTS_MAX: usize = 32;

/// Publishes the job and waits for it, as asked. `target` is what `--machine` names.
pub fn run(args: &DispatchArgs, cx: &Cx, here: &MachineId, target: Option<MachineId>) -> Outcome {
    let config = cx.config()?;
    if args.interactive {
        let words = "--interactive runs on this machine alone; leave it out, or leave the fleet's flags out";
        return Err(Failure::new(Exit::Usage, words));
    }
    if args.no_sandbox {
        let words = "--no-sandbox is for this machine alone; leave it out, or leave the fleet's flags out";
        return Err(Failure::new(Exit::Usage, words));
    }
    if args.fleet.require.len() > REQUIREMENTS_MAX || args.fleet.prefer.len() > REQUIREMENTS_MAX {
        return Err(Failure::new(Exit::Usage, format!("at most {REQUIREMENTS_MAX} requirements")));
    }
    let text = args.message()?;
    let role = RoleId::new(&args.role).or_else(|_| {
        let role = Crew::open(&config.crew()).find(&args.role).map_err(|error| failure::of(&error))?;
        Ok::<_, Failure>(role.manifest.id)
    })?;
    let id = match &args.session_id {
        Some(id) => id.clone(),
        None => session::new_id(&role)?,
    };
    let queue = job::queue(cx, "dispatching to the fleet")?;
    let order = Dispatch { args, cx, config, here, target, role, id };
    block_on(order.carry_out(&queue, text))
}

struct Dispatch<'a> {
    args: &'a DispatchArgs,
    cx: &'a Cx,
    config: &'a Config,
    here: &'a MachineId,
    target: Option<MachineId>,
    role: RoleId,
    id: SessionId,
}

impl Dispatch<'_> {
    async fn carry_out(&self, queue: &Queue, message: String) -> Outcome {
        let (presence, now_ms) = self.look(queue).await?;
        self.check_role(presence.as_ref())?;
        self.check_machine(queue, presence.as_ref()).await?;
        let source = parcel::source(self.cx, self.args).await?;
        let (work, mut spec) = self.documents(message, presence.as_ref(), now_ms)?;
        if source.is_some() {
            parcel::require_workspace(&mut spec.lane);
        }
        if self.args.dry_run {
            return self.dry_run(queue, presence.as_ref(), (&spec, source.as_ref())).await;
        }
        self.check_name(queue).await?;
        let parcel = match &source {
            Some(source) => Some(Parcel::send(self.cx, self.here, queue, source, &mut spec).await?),
            None => None,
        };
        let kept = match &parcel {
            Some(parcel) if parcel.is_fetched() => parcel.keep_ahead(self.cx).await,
            _ => false,
        };
        match tokio::time::timeout(ACCEPT_WITHIN, queue.publish(&work, &spec)).await {
            Ok(Ok(Published::New)) => {
                if let Some(parcel) = parcel.as_ref().filter(|_| !kept) {
                    parcel.keep(self.cx).await;
                }
                self.remember(&work, &spec);
                let is_told = self.tell_nobody(queue, presence.as_ref(), &spec).await;
                self.wait(queue, &spec.id, (Map::new(), is_told)).await
            }
            Ok(Ok(Published::Before(id))) => {
                if let Some(parcel) = parcel {
                    parcel.give_way(self.cx, queue, (&id, kept)).await;
                }
                let more = self.tell_before(queue, &id, &work).await?;
                self.wait(queue, &id, (more, false)).await
            }
            Ok(Err(error)) => {
                // What has no answer may have been accepted.
                if let Some(parcel) = parcel.filter(|_| !matches!(error, WorkError::Redis(_))) {
                    parcel.withdraw(self.cx, queue, kept).await;
                }
                Err(not_accepted(&error, Some(&spec.id)))
            }
            Err(_) => Err(unanswered(queue, &spec.id)),
        }
    }

    /// Says that the job is an older one; and whether that one was asked for something else. What a document says
    /// of it besides.
    async fn tell_before(
        &self,
        queue: &Queue,
        id: &SessionId,
        work: &WorkJob,
    ) -> Result<Map<String, Value>, Failure> {
        let printer = &self.cx.printer;
        let older = queue.work(id).await.map_err(|error| job::failure(&error))?;
        // One that is gone already, or that no version of ours wrote, is compared with nothing.
        let differs = older.map(|older| (older.role_id != work.role_id, older.message != work.message));
        match differs {
            Some((false, true)) => printer.warn(&format!(
                "job {id} is there already, with another message; it was not published again, and what follows is the \
                 older one's (another --key or id publishes this one)"
            )),
            Some((true, _)) => printer.warn(&format!(
                "job {id} is there already, in another role; it was not published again, and what follows is the older \
                 one's (another --key or id publishes this one)"
            )),
            _ => printer.note(&format!("job {id} is there already; it was not published again")),
        }
        let differs = differs.map(|(role, message)| role || message);
        let more = [("published_before", json!(true)), ("differs", json!(differs))];
        Ok(more.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }

    /// A role that nobody has is a typo; one that others have is fine.
    fn check_role(&self, presence: Option<&Presence>) -> Result<(), Failure> {
        let crew = Crew::open(&self.config.crew());
        let Err(unknown) = crew.get(&self.role) else { return Ok(()) };
        let Some(presence) = presence else {
            let role = &self.role;
            self.cx.printer.note(&format!("role {role} is unknown here; its runner must know it"));
            return Ok(());
        };
        // Runners of darkmux 1.9 do not say which roles they have.
        let silent = presence.machines.iter().any(|seen| seen.beat.runner.is_none());
        let theirs = || presence.machines.iter().flat_map(|seen| &seen.beat.roles).map(String::as_str);
        if silent || theirs().any(|role| role == self.role.as_str()) {
            return Ok(());
        }
        let near = closest(self.role.as_str(), theirs());
        let near = near.map(|near| format!(" (did you mean `{}`?)", visible_line(near))).unwrap_or_default();
        let failed = failure::of(&unknown);
        if near.is_empty() || failed.exit() != Exit::UnknownRole {
            return Err(failed);
        }
        let words = format!("no machine of the fleet has a role `{}`{near}", self.role);
        Err(Failure::new(Exit::UnknownRole, words))
    }

    /// Who is alive, as far as Redis says it in time, and what time the queue has.
    async fn look(&self, queue: &Queue) -> Result<(Option<Presence>, u64), Failure> {
        let asked = async { tokio::try_join!(job::presence(queue), queue.now_ms()) };
        match tokio::time::timeout(ACCEPT_WITHIN, asked).await {
            Ok(answer) => answer.map_err(|error| not_accepted(&error, None)),
            Err(_) => Err(unanswered(queue, &self.id)),
        }
    }

    fn documents(
        &self,
        message: String,
        presence: Option<&Presence>,
        now_ms: u64,
    ) -> Result<(WorkJob, JobSpec), Failure> {
        let (args, fleet) = (self.args, &self.args.fleet);
        let id = self.id.clone();
        let workdir = args.workdir.as_ref().map(|dir| dir.to_str().filter(|_| dir.is_absolute()));
        let workdir = workdir.map(|dir| dir.map(str::to_owned).ok_or_else(bad_workdir)).transpose()?;
        let order = Order {
            id,
            role: self.role.clone(),
            message,
            name: args.name.clone(),
            target: self.target.clone(),
            lane: fleet.lane(),
            prefer: fleet.prefer.clone(),
            first: self.first(presence),
            workdir,
            timeout: args.timeout,
            retries: fleet.retries,
            delay: fleet.delay.unwrap_or_default(),
            key: fleet.key.clone(),
            image: args.image.clone(),
        };
        let orchestrator = self.config.flow()?.provenance.orchestrator;
        order.documents(Publisher { machine: self.here, orchestrator, now_ms }).or_exit(Exit::Usage)
    }

    /// The machines that get a head start.
    fn first(&self, presence: Option<&Presence>) -> Vec<MachineId> {
        let target = self.target.as_ref().or(self.args.fleet.pin.as_ref());
        if let (Some(target), Some(presence)) = (target, presence)
            && !is_alive(presence, target)
        {
            let then = if self.target.is_some() { "it has no head start" } else { "the job waits for it" };
            self.cx.printer.note(&format!("{target} shows no sign of life; {then}"));
            return Vec::new();
        }
        if let Some(target) = &self.target {
            return vec![target.clone()];
        }
        match presence {
            Some(presence) if !self.args.fleet.prefer.is_empty() => {
                let first = preferred(presence, &self.args.fleet.prefer);
                if first.is_empty() {
                    self.cx.printer.note("no machine that is alive has what --prefer asks for");
                }
                first
            }
            _ => Vec::new(),
        }
    }

    /// A name means one job that has not ended.
    async fn check_name(&self, queue: &Queue) -> Result<(), Failure> {
        let Some(name) = self.args.name.as_deref() else { return Ok(()) };
        let jobs = tokio::time::timeout(ACCEPT_WITHIN, queue.jobs(0)).await;
        let jobs = jobs.map_err(|_| silent(queue))?.map_err(|error| not_accepted(&error, None))?;
        let again = |id: &SessionId| self.args.session_id.as_ref() == Some(id);
        let key = |job: &job::JobView| {
            let key = job.spec.as_ref().and_then(|spec| spec.key.as_ref());
            key.is_some() && key == self.args.fleet.key.as_ref()
        };
        let taken = jobs.iter().find(|job| {
            let named = job.id.as_str() == name || job.name.as_deref() == Some(name);
            named && !again(&job.id) && !key(job)
        });
        match taken {
            Some(job) => Err(Failure::new(
                Exit::Usage,
                format!("`{name}` names job {} already; give another name", job.id),
            )),
            None => Ok(()),
        }
    }

    /// What this machine keeps of a job that it published: a line for the queue, a record for everybody.
    fn remember(&self, work: &WorkJob, spec: &JobSpec) {
        let journal = Journal::new(&self.config.paths.queue(), self.cx.clock.clone());
        if let Err(error) = journal.published(work, spec) {
            self.cx.printer.note(&format!(
                "job {} is accepted; should Redis lose it, this machine cannot tell it again: {error}",
                spec.id
            ));
        }
        keep(self.cx, self.config, route_of(work, spec));
    }

    /// Says at once that no machine can run it as it is, and what mends that; whether there was anything to say. It
    /// waits all the same: a machine that can may come.
    async fn tell_nobody(&self, queue: &Queue, presence: Option<&Presence>, spec: &JobSpec) -> bool {
        // Who can't be asked may be able to.
        if presence.is_none_or(|presence| presence.machines.is_empty()) {
            return false;
        }
        let Ok(rows) = self.judged(queue, presence, spec).await else { return false };
        let Some(why) = nobody(&rows) else { return false };
        let id = &spec.id;
        self.cx.printer.warn(&format!(
            "no machine can run job {id} as it is, and it waits for one that can (darkmux job cancel {id}): {why}"
        ));
        true
    }

    /// What each machine says to the job.
    async fn judged(
        &self,
        queue: &Queue,
        presence: Option<&Presence>,
        spec: &JobSpec,
    ) -> Result<Vec<Row>, Failure> {
        let status = queue.status().await.map_err(|error| job::failure(&error))?;
        let ask = Ask {
            role: self.role.to_string(),
            needs_accept: job::needs_accept(self.cx, self.role.as_str()),
            lane: spec.lane.clone(),
            declined: std::collections::BTreeMap::new(),
            first: spec.first.clone(),
        };
        Ok(rows(&ask, &Gate::from(&status), &job::members(self.cx, presence)))
    }

    /// A name that nobody has and that is nearly somebody's is a typo, and its job would wait for nobody. Another one may be
    /// that of a machine that sleeps.
    async fn check_machine(&self, queue: &Queue, presence: Option<&Presence>) -> Result<(), Failure> {
        let named = self.target.as_ref().or(self.args.fleet.pin.as_ref());
        // Without an answer nobody can say that there is no such machine.
        let (Some(named), Some(_)) = (named, presence) else { return Ok(()) };
        let known = job::known_machines(self.cx, queue, presence).await?;
        if known.iter().any(|name| name == named.as_str()) {
            return Ok(());
        }
        let Some(near) = closest(named.as_str(), known.iter().map(String::as_str)) else { return Ok(()) };
        let words = format!(
            "no machine `{named}` is known (did you mean `{}`?): it shows no sign of life and is not in the roster \
             (`darkmux fleet list`)",
            visible_line(near)
        );
        Err(Failure::new(Exit::Usage, words))
    }

    /// Waits for the job, where that is asked for; a document has these fields besides.
    async fn wait(
        &self,
        queue: &Queue,
        id: &SessionId,
        (more, is_told): (Map<String, Value>, bool),
    ) -> Outcome {
        let (cx, args) = (self.cx, self.args);
        if args.detach && args.json {
            let view = queue.job(id).await.map_err(|error| job::failure(&error))?;
            cx.printer.json(&job::with(json!({ "schema": 1, "job": view }), &more))?;
            return Ok(Exit::Ok);
        }
        if args.detach {
            cx.printer.line(id.as_str())?;
            cx.printer.note(&format!("published; not waiting (session_id={id})"));
            return Ok(Exit::Ok);
        }
        let how = Follow {
            cx,
            queue,
            id,
            tells: true,
            is_told,
            target: self.target.as_ref(),
            interrupts: if args.cancel_on_interrupt { Interrupts::Cancels } else { Interrupts::TwiceCancels },
            until: None,
        };
        let screen = (!args.json).then(|| Screen::of_job(&cx.printer));
        match job::follow(&how, screen).await {
            Err(failure) if failure.is_silent() => {
                cx.printer.note(&format!(
                    "nobody reads the output any longer; job {id} goes on (darkmux job cancel {id} ends it)"
                ));
                Ok(Exit::Ok)
            }
            followed => self.end(queue, id, followed?, more).await,
        }
    }

    async fn end(
        &self,
        queue: &Queue,
        id: &SessionId,
        followed: Followed,
        more: Map<String, Value>,
    ) -> Outcome {
        if matches!(followed, Followed::Ended(_) | Followed::Cancelled(_)) {
            let journal = Journal::new(&self.config.paths.queue(), self.cx.clock.clone());
            // An entry too many is pruned, and tells a job that is there already.
            let _ = journal.forget_published(id);
        }
        job::report_with_workspace(self.cx, queue, id, followed, self.args.json.then_some(more)).await
    }

    async fn dry_run(
        &self,
        queue: &Queue,
        presence: Option<&Presence>,
        (spec, source): (&JobSpec, Option<&Source>),
    ) -> Outcome {
        let rows = self.judged(queue, presence, spec).await?;
        if self.args.json {
            let repo = source.map(Source::root);
            let document =
                json!({ "schema": 1, "dry_run": true, "spec": spec, "repo": repo, "machines": rows });
            self.cx.printer.json(&document)?;
        } else {
            self.cx.printer.line(&format!("role      {}", self.role))?;
            self.cx.printer.line(&format!("priority  {}", spec.lane.priority.as_str()))?;
            if let Some(source) = source {
                let root = source.root().to_string_lossy();
                self.cx.printer.line(&format!("repo      {}", visible_line(&root)))?;
            }
            job::print_rows(self.cx, &rows)?;
        }
        Ok(if nobody(&rows).is_some() { Exit::CannotRun } else { Exit::Ok })
    }
}

/// Writes the record of where a job goes. One that cannot be kept is told, and fails nothing.
pub fn keep(cx: &Cx, config: &Config, record: FlowRecord) {
    let kept = config
        .flow()
        .map_err(Failure::from)
        .and_then(|flow| Flow::new(flow, cx.clock.clone()).append(record).or_exit(Exit::Failed));
    if let Err(failure) = kept {
        cx.printer.note(&format!("the record of the route is not kept: {}", failure.words()));
    }
}

fn bad_workdir() -> Failure {
    let words =
        "--workdir names a folder of the machine that runs the job: give an absolute path, or leave it out";
    Failure::new(Exit::Usage, words)
}

fn not_accepted(error: &WorkError, id: Option<&SessionId>) -> Failure {
    let again = match (error, id) {
        // Nobody knows what became of a request without an answer.
        (WorkError::Redis(_), Some(id)) => format!("; `--session-id {id}` makes sure that it runs once"),
        _ => String::new(),
    };
    Failure::new(job::exit_of(error), format!("not accepted: {error}{again}"))
}

fn unanswered(queue: &Queue, id: &SessionId) -> Failure {
    let words = format!(
        "not accepted: Redis at {} does not answer; dispatch again with `--session-id {id}`, which makes sure that \
         it runs once",
        queue.redis().shown()
    );
    Failure::new(Exit::Unreachable, words)
}

fn silent(queue: &Queue) -> Failure {
    let words = format!("not accepted: Redis at {} does not answer", queue.redis().shown());
    Failure::new(Exit::Unreachable, words)
}
