//! `darkmux endpoints`: the model servers that the built-in agent may ask, and whether they do what it needs.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::printer::{BAD, DIM, GOOD};
use super::table::{Cell, Table};
use super::{Cx, Exit, Failure, Outcome, block_on};
use crate::agent::model::{Answer, Ask, AskError, Limits, Message, ModelClient, Piece, Style};
use crate::config::{Config, Endpoint};
use crate::fleet::{Models, Served, Survey, is_model};
use crate::util::{clock, human, visible_line};

/// How long endpoints may take to list their models.
const PATIENCE: Duration = Duration::from_secs(5);

/// Models of one endpoint that a list names.
const NAMED: usize = 4;

/// Longest answer of a test, in tokens; a model that reasons needs some.
const TEST_TOKENS: u64 = 512;

/// Model servers that the built-in agent asks
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum EndpointsVerb {
    #[command(visible_alias = "ls")]
    List(ListArgs),
    Test(TestArgs),
}

/// List the endpoints with the models that they serve.
///
/// They are tried in this order. `models.endpoints`, `lmstudio_url` and `ollama_url` name them, `models.keys` says
/// where their keys come from.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Ask a model of each endpoint something, and let it call a tool.
///
/// With a name the exit status says whether that endpoint works, else whether any does.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Endpoint; all of them without it
    name: Option<String>,
    /// Model to ask, instead of one that is loaded
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: EndpointsVerb, cx: &Cx) -> Outcome {
    match verb {
        EndpointsVerb::List(args) => list(&args, cx),
        EndpointsVerb::Test(args) => test(&args, cx),
    }
}

fn list(args: &ListArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?.models();
    let surveys = block_on(async { Ok::<_, Failure>(Models::new(config).survey(PATIENCE).await) })?;
    if args.json {
        let endpoints: Vec<Value> = surveys.iter().map(survey_as_json).collect();
        cx.printer.json(&json!({ "schema": 1, "endpoints": endpoints }))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["ENDPOINT", "URL", "KEY", "STATE", "MODELS"]);
    for survey in &surveys {
        let (state, style) = match &survey.models {
            Ok(models) if models.iter().any(|model| model.loaded) => ("ready", GOOD),
            Ok(_) => ("nothing loaded", DIM),
            Err(_) => ("no answer", BAD),
        };
        table.row(vec![
            Cell::from(&survey.endpoint.name),
            Cell::from(&survey.endpoint.base),
            Cell::styled(survey.endpoint.key_from.as_deref().unwrap_or("-"), DIM),
            Cell::styled(state, style),
            Cell::from(survey.models.as_deref().map_or_else(Clone::clone, named)),
        ]);
    }
    table.print(&cx.printer)?;
    Ok(Exit::Ok)
}

fn named(models: &[Served]) -> String {
    let shown: Vec<String> = models
        .iter()
        .take(NAMED)
        .map(|model| {
            let window = model.window.map(|window| format!(" ({window})")).unwrap_or_default();
            format!("{}{}{window}", model.id, if model.loaded { "" } else { " (not loaded)" })
        })
        .collect();
    let more = models.len().saturating_sub(NAMED);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn survey_as_json(survey: &Survey) -> Value {
    let model = |model: &Served| json!({ "id": model.id, "loaded": model.loaded, "window": model.window });
    let models = survey.models.as_ref().ok();
    json!({
        "name": survey.endpoint.name,
        "url": survey.endpoint.base,
        "key_from": survey.endpoint.key_from,
        "answers": models.is_some(),
        "error": survey.models.as_ref().err(),
        "models": models.into_iter().flatten().map(model).collect::<Vec<_>>(),
    })
}

/// What a test of one endpoint found.
struct Tested {
    endpoint: Endpoint,
    model: Option<String>,
    found: Result<Found, String>,
}

struct Found {
    first: Duration,
    whole: Duration,
    answer: Answer,
    tools: String,
}

fn test(args: &TestArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let mut models = config.models();
    if let Some(name) = &args.name {
        let known: Vec<String> = models.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        models.endpoints.retain(|endpoint| endpoint.name == *name);
        if models.endpoints.is_empty() {
            let near = crate::util::closest(name, known.iter().map(String::as_str));
            let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
            let words =
                format!("no endpoint `{}`{near}; there are: {}", visible_line(name), known.join(", "));
            return Err(Failure::new(Exit::Usage, words));
        }
    }
    let tested = block_on(async {
        let surveys = Models::new(models).survey(PATIENCE).await;
        let mut tested = Vec::new();
        for survey in surveys {
            let model = chosen(&survey, args.model.as_deref());
            let found = match &model {
                Ok(model) => try_out(&survey.endpoint, model, config).await,
                Err(why) => Err(why.clone()),
            };
            let one = Tested { endpoint: survey.endpoint, model: model.ok(), found };
            if !args.json {
                cx.printer.line(&line(&one))?;
            }
            tested.push(one);
        }
        Ok::<_, Failure>(tested)
    })?;
    if args.json {
        let tested: Vec<Value> = tested.iter().map(as_json).collect();
        cx.printer.json(&json!({ "schema": 1, "endpoints": tested }))?;
    }
    let works = tested.iter().any(|one| one.found.is_ok());
    Ok(if works { Exit::Ok } else { Exit::Failed })
}

fn chosen(survey: &Survey, wanted: Option<&str>) -> Result<String, String> {
    let models = survey.models.as_ref().map_err(Clone::clone)?;
    let found = match wanted {
        Some(wanted) => models.iter().find(|model| is_model(&model.id, wanted)),
        None => models.iter().find(|model| model.loaded).or(models.first()),
    };
    let none =
        || wanted.map_or("it serves no model".to_owned(), |wanted| format!("it does not serve {wanted}"));
    found.map(|model| model.id.clone()).ok_or_else(none)
}

async fn try_out(endpoint: &Endpoint, model: &str, config: &Config) -> Result<Found, String> {
    let limits = config.agent();
    let limits = Limits {
        first_token: limits.first_token,
        next_token: limits.next_token,
        answer: limits.answer_limit,
    };
    let mut client = ModelClient::new(endpoint, limits).await?;
    let say = [Message::User { text: "Answer with the single word: ready".to_owned() }];
    let began = Instant::now();
    let mut first = None;
    let mut hear = |_: Piece<'_>| {
        first.get_or_insert_with(|| began.elapsed());
        true
    };
    let answer = ask(&mut client, (model, &say, &[]), &mut hear).await.map_err(|error| error.to_string())?;
    let whole = began.elapsed();
    let tool = json!({ "type": "function", "function": {
        "name": "report", "description": "Report a word.",
        "parameters": { "type": "object", "properties": { "word": { "type": "string" } }, "required": ["word"] },
    }});
    let call = [Message::User { text: "Call the tool `report` with the word \"ready\".".to_owned() }];
    let tools = match ask(&mut client, (model, &call, &[tool]), &mut |_| true).await {
        Ok(answer) if answer.calls.iter().any(|call| call.name == "report") => "it calls tools".to_owned(),
        Ok(_) => "it called no tool when asked to".to_owned(),
        Err(AskError::NoTools(_)) => "it knows no tools; they are told to it in words".to_owned(),
        Err(error) => format!("the question with a tool failed: {error}"),
    };
    Ok(Found { first: first.unwrap_or(whole), whole, answer, tools })
}

async fn ask(
    client: &mut ModelClient,
    (model, messages, tools): (&str, &[Message], &[Value]),
    hear: &mut dyn FnMut(Piece<'_>) -> bool,
) -> Result<Answer, AskError> {
    let ask = Ask { model, messages, tools, style: Style::Native, max_tokens: Some(TEST_TOKENS) };
    client.ask(&ask, hear, &CancellationToken::new()).await
}

fn line(tested: &Tested) -> String {
    let name = &tested.endpoint.name;
    let model = tested.model.as_deref().map(|model| format!(" {}", visible_line(model))).unwrap_or_default();
    match &tested.found {
        Ok(found) => {
            let counted = found.answer.usage.map_or_else(
                || "it does not count tokens".to_owned(),
                |usage| format!("{} tokens", usage.completion_tokens),
            );
            format!(
                "{GOOD}✓{GOOD:#} {name}{model}: first word after {}, {counted} in {}; {}",
                human::duration(found.first),
                human::duration(found.whole),
                visible_line(&found.tools)
            )
        }
        Err(why) => format!("{BAD}✗{BAD:#} {name}{model} ({}): {}", tested.endpoint.base, visible_line(why)),
    }
}

fn as_json(tested: &Tested) -> Value {
    let found = tested.found.as_ref().ok();
    json!({
        "name": tested.endpoint.name,
        "url": tested.endpoint.base,
        "model": tested.model,
        "works": found.is_some(),
        "error": tested.found.as_ref().err(),
        "first_token_ms": found.map(|found| clock::whole_ms(found.first)),
        "answer_ms": found.map(|found| clock::whole_ms(found.whole)),
        "usage": found.and_then(|found| found.answer.usage),
        "reasoning": found.and_then(|found| found.answer.reasoning_format),
        "tools": found.map(|found| &found.tools),
    })
}
