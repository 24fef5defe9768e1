//! `darkmux auth`: the tokens. They are files, so all of this works without a daemon, and one that runs notices.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::dry::DryRun;
use super::table::{Cell, Table};
use super::{Cx, Exit, Failure, Outcome, block_on};
use crate::cli::printer::DIM;
use crate::client::Client;
use crate::config::Paths;
use crate::serve::auth::{NamedToken, NamedTokens, TokenFile};
use crate::util::visible_line;

/// Tokens: who may act, and watch, over HTTP.
#[derive(Debug, Subcommand)]
pub enum AuthVerb {
    /// Show where the token is and which others there are; with `--print` the token itself
    Show(ShowArgs),
    /// Replace the token: signs every browser out and ends what is open with the old one
    Rotate(DryRun),
    /// Make a token that may watch and not act, and print it this once
    New(NewArgs),
    /// List the read-only tokens
    Ls(LsArgs),
    /// End a read-only token
    Revoke(RevokeArgs),
}

/// Arguments of `auth show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Print the token and nothing else
    #[arg(long, conflicts_with = "json")]
    print: bool,
    /// Print JSON, without the token
    #[arg(long)]
    json: bool,
}

/// Arguments of `auth new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The token may watch only; there is just one that may act (`auth show --print`)
    #[arg(long, required = true)]
    read_only: bool,
    /// What to call it, such as the machine it is for
    name: String,
}

/// Arguments of `auth ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `auth revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Its name, as `auth ls` shows it
    name: String,
}

/// Runs the verb.
pub fn run(verb: &AuthVerb, cx: &Cx) -> Outcome {
    let paths = &cx.config()?.paths;
    let read_only = NamedTokens::new(paths.read_only_tokens());
    match verb {
        AuthVerb::Show(args) => return show(args, cx),
        AuthVerb::Rotate(dry) => {
            let file = TokenFile::new(paths.auth_token());
            if dry.dry_run {
                let file = file.path().display().to_string();
                let file = visible_line(&file);
                let words = format!(
                    "would replace the token in {file}, sign every browser out and end what is open with it"
                );
                cx.printer.note(&words);
                return Ok(Exit::Ok);
            }
            file.rotate()?;
            tell(paths);
            cx.printer.note("there is a new token; browsers sign in again with `darkmux open`");
        }
        AuthVerb::New(args) => {
            let token = read_only.add(&args.name, cx.clock.now())?;
            tell(paths);
            cx.printer.line(token.expose())?;
            cx.printer.note("it is shown this once; `darkmux auth revoke` ends it");
        }
        AuthVerb::Ls(args) => return ls(&read_only.read()?, args, cx),
        AuthVerb::Revoke(args) => {
            let name: String = visible_line(&args.name).chars().take(80).collect();
            if !read_only.remove(&args.name)? {
                let words = format!("there is no read-only token {name}; `darkmux auth ls` shows them");
                return Err(Failure::new(Exit::Usage, words));
            }
            tell(paths);
            cx.printer.note(&format!("{name} opens nothing any more"));
        }
    }
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Shown {
    schema: u32,
    file: String,
    exists: bool,
    read_only: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    created_at: String,
}

fn listed(tokens: &[NamedToken]) -> Vec<Listed> {
    let one = |token: &NamedToken| Listed { name: token.name.clone(), created_at: token.created_at.clone() };
    tokens.iter().map(one).collect()
}

fn show(args: &ShowArgs, cx: &Cx) -> Outcome {
    let paths = &cx.config()?.paths;
    let file = TokenFile::new(paths.auth_token());
    let token = file.read()?;
    if args.print {
        let none = || Failure::new(Exit::Failed, "there is no token yet; `darkmux serve` makes it");
        cx.printer.line(token.ok_or_else(none)?.expose())?;
        return Ok(Exit::Ok);
    }
    let read_only = listed(&NamedTokens::new(paths.read_only_tokens()).read()?);
    let shown =
        Shown { schema: 1, file: file.path().display().to_string(), exists: token.is_some(), read_only };
    if args.json {
        cx.printer.json(&shown)?;
        return Ok(Exit::Ok);
    }
    let there = if shown.exists { "" } else { " (not made yet: `darkmux serve` makes it)" };
    cx.printer.line(&format!("token      {}{there}", visible_line(&shown.file)))?;
    cx.printer.line(&format!("read-only  {}", shown.read_only.len()))?;
    cx.printer
        .note("`darkmux auth show --print` prints the token, `darkmux open` signs a browser in without it");
    Ok(Exit::Ok)
}

fn ls(tokens: &[NamedToken], args: &LsArgs, cx: &Cx) -> Outcome {
    if args.json {
        cx.printer.json(&json!({ "schema": 1, "tokens": listed(tokens) }))?;
    } else if tokens.is_empty() {
        cx.printer.note("no read-only tokens; `darkmux auth new --read-only NAME` makes one");
    } else {
        let mut rows = Table::new(&["NAME", "MADE"]);
        for token in tokens {
            let made = visible_line(&token.created_at).into_owned();
            rows.row(vec![Cell::from(visible_line(&token.name).into_owned()), Cell::styled(made, DIM)]);
        }
        rows.print(&cx.printer)?;
    }
    Ok(Exit::Ok)
}

/// Has a daemon look at its tokens now; it would within two seconds, or when somebody asks for something.
fn tell(paths: &Paths) {
    let Ok(client) = Client::local(paths) else { return };
    // Without an answer it notices by itself.
    let told = block_on(async { Ok::<_, Failure>(client.health().await.is_ok()) });
    drop(told);
}
