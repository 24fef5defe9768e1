//! `darkmux config`: read and change settings.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::printer::DIM;
use super::service::Running;
use super::table::{Cell, Table};
use super::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::config::{self, Setting, edit, keys};
use crate::store::RedisTarget;

/// Settings, with where each value comes from.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// List every setting
    List {
        /// Show where each value comes from
        #[arg(long)]
        origin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one setting's value
    Get {
        /// Key, such as `serve.port`
        #[arg(add = ArgValueCompleter::new(completions::config_keys))]
        key: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a value in `config.json`
    Set {
        /// Key, such as `serve.port`
        #[arg(add = ArgValueCompleter::new(completions::config_keys))]
        key: String,
        /// Value; lists are separated by commas
        #[arg(required_unless_present = "unset")]
        value: Option<String>,
        /// Remove the key instead
        #[arg(long, conflicts_with = "value")]
        unset: bool,
    },
}

/// Runs the verb.
pub fn run(verb: ConfigVerb, cx: &Cx) -> Outcome {
    match verb {
        ConfigVerb::List { origin, json } => list(cx, origin, json),
        ConfigVerb::Get { key, json } => get(cx, &key, json),
        ConfigVerb::Set { key, value, .. } => set(cx, &key, value.as_deref()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn as_json(setting: &Setting) -> Value {
    json!({
        "key": setting.key.name,
        "value": setting.public(),
        "origin": setting.origin.to_string(),
        "env": setting.key.env,
        "acts": setting.key.used == keys::Use::Acts,
        "about": setting.key.about,
    })
}

fn list(cx: &Cx, origin: bool, as_document: bool) -> Outcome {
    let config = cx.config()?;
    let settings = config::with_kept_machine_id(config)?;
    if as_document {
        let settings: Vec<Value> = settings.iter().map(as_json).collect();
        let file = config.paths.config_file();
        cx.printer.json(&json!({ "schema": 1, "file": file, "settings": settings }))?;
        return Ok(Exit::Ok);
    }
    let mut heads = vec!["KEY", "VALUE"];
    heads.extend(origin.then_some("ORIGIN"));
    heads.push("ABOUT");
    let mut table = Table::new(&heads);
    for setting in settings.iter().filter(|setting| origin || setting.key.used == keys::Use::Acts) {
        let mut row = vec![Cell::from(setting.key.name), Cell::from(shown(&setting.public()))];
        row.extend(origin.then(|| Cell::from(setting.origin.to_string())));
        row.push(Cell::styled(setting.key.about, DIM));
        table.row(row);
    }
    table.print(&cx.printer)?;
    let host = config.paths.host_file();
    if origin && host.exists() {
        let host = crate::util::visible_line(&host.to_string_lossy()).into_owned();
        cx.printer.note(&format!("peers, discovery and the tailnet: {host}"));
    }
    Ok(Exit::Ok)
}

fn get(cx: &Cx, name: &str, as_document: bool) -> Outcome {
    let settings = config::with_kept_machine_id(cx.config()?)?;
    let setting = settings.get(name)?;
    if as_document {
        let mut document = as_json(setting);
        document["schema"] = json!(1);
        cx.printer.json(&document)?;
    } else if setting.value.is_null() {
        cx.printer.note(&format!("{} is not set", setting.key.name));
    } else {
        cx.printer.line(&crate::util::visible(&shown(&setting.public())))?;
    }
    Ok(if setting.value.is_null() { Exit::Failed } else { Exit::Ok })
}

fn has_password(url: &str) -> bool {
    RedisTarget::parse(url).is_ok_and(|target| target.has_password())
}

/// Says that the daemon that runs goes by what was set before.
fn tell_daemon(cx: &Cx) -> Result<(), Failure> {
    // A setting beside it that is wrong is told by whatever runs next.
    let Ok(config) = cx.config() else { return Ok(()) };
    if let Some(running) = block_on(async { Ok(Running::find(config).await) })? {
        let Running { pid, restart } = running;
        cx.printer.note(&format!("the daemon (pid {pid}) reads this at its next start: {restart}"));
    }
    Ok(())
}

fn set(cx: &Cx, name: &str, text: Option<&str>) -> Outcome {
    let key = config::key_named(name)?;
    let value = text.map(|text| config::parse(key, text, "the command line")).transpose()?;
    if key.kind == keys::Kind::RedisUrl && text.is_some_and(has_password) {
        let hint = "a password on a command line shows in `ps` and in the shell's history; set the URL without it, and \
                    redis.password_file to a file that holds it (or DARKMUX_REDIS_URL in the environment)";
        return Err(Failure::new(Exit::Usage, hint));
    }
    let path = config::Paths::from_env(&cx.env)?.config_file();
    let changes =
        config::ConfigFile::read(&path).is_ok_and(|file| file.values.get(key.name) != value.as_ref());
    edit(&path, key, value)?;
    if changes && key.used == keys::Use::Acts {
        tell_daemon(cx)?;
    }
    if let Some(var) = key.env.filter(|var| cx.env.get(var).is_some()) {
        cx.printer.note(&format!("note: {var} is set and wins over the file"));
    }
    Ok(Exit::Ok)
}
