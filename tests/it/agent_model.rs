//! The built-in agent's model client, against a server that does everything that model servers do.

use std::time::{Duration, Instant};

use darkmux::agent::model::{
    Answer, Ask, AskError, Finish, Limits, Listener, Message, ModelClient, Patience, Phase, Piece, Style,
    ask_patiently,
};
use darkmux::config::{Config, Environment};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::model_server::{ModelServer, Reply};
use crate::support::{PATIENCE, free_port};

const KEY: &str = "sk-canary-7d41";

/// Limits that no healthy answer of a test comes near to.
const LONG: Limits = Limits { first_token: PATIENCE, next_token: PATIENCE, answer: PATIENCE };

/// Hears everything.
#[derive(Default)]
struct Ears {
    text: String,
    reasoning: String,
    calls: Vec<String>,
    again: Vec<AskError>,
}

impl Listener for Ears {
    fn hear(&mut self, piece: Piece<'_>) -> bool {
        match piece {
            Piece::Text(text) => self.text.push_str(text),
            Piece::Reasoning(text) => self.reasoning.push_str(text),
            Piece::Call(name) => self.calls.push(name.to_owned()),
        }
        !self.text.contains("ENOUGH")
    }

    fn again(&mut self, why: &AskError, _: Duration) {
        self.text.clear();
        self.again.push(why.clone());
    }
}

async fn client(url: &str, limits: Limits) -> ModelClient {
    let env = Environment::of([
        ("HOME", "/nowhere"),
        ("DARKMUX_MODELS_ENDPOINTS", &format!("box={url}")),
        ("DARKMUX_MODELS_KEYS", "box=env:BOX_KEY"),
        ("BOX_KEY", KEY),
    ]);
    let endpoint = Config::load(env, &[]).unwrap().models().endpoints.remove(0);
    ModelClient::new(&endpoint, limits).await.unwrap()
}

fn tools() -> Vec<Value> {
    let parameters = json!({ "type": "object", "properties": { "path": { "type": "string" } } });
    vec![json!({ "type": "function", "function": { "name": "read", "parameters": parameters } })]
}

async fn ask_at(url: &str, limits: Limits, retries: u32) -> (Result<Answer, AskError>, Ears) {
    let mut client = client(url, limits).await;
    let messages = [Message::User { text: "look".to_owned() }];
    let tools = tools();
    let ask =
        Ask { model: "scripted", messages: &messages, tools: &tools, style: Style::Native, max_tokens: None };
    let (mut ears, patience) = (Ears::default(), Patience { retries, pause: Duration::from_millis(10) });
    let answer = ask_patiently(&mut client, &ask, &patience, &mut ears, &CancellationToken::new()).await;
    (answer, ears)
}

async fn ask(server: &ModelServer) -> (Answer, Ears) {
    let (answer, ears) = ask_at(&server.url(), LONG, 5).await;
    assert_eq!(server.left(), 0);
    (answer.unwrap(), ears)
}

fn content(text: &str) -> Value {
    json!({ "content": text })
}

#[tokio::test]
async fn an_answer_comes_in_pieces_with_its_usage() {
    let server = ModelServer::start([Reply::text("Hello, wörld 🦀 <b>")]);
    let (answer, ears) = ask(&server).await;
    assert_eq!((answer.text.as_str(), ears.text.as_str()), ("Hello, wörld 🦀 <b>", "Hello, wörld 🦀 <b>"));
    assert_eq!(answer.usage.map(|usage| usage.total()), Some(120));
    assert_eq!(answer.finish, Finish::Stop);
    let asked = &server.asked()[0];
    assert_eq!(asked["stream_options"]["include_usage"], true);
    assert_eq!(asked["tools"][0]["function"]["name"], "read");
}

#[tokio::test]
async fn calls_side_by_side_come_in_pieces() {
    let server = ModelServer::start([Reply::calls(&[
        ("read", json!({ "path": "a b" })),
        ("read", json!({ "path": "ü" })),
    ])]);
    let (answer, ears) = ask(&server).await;
    let arguments: Vec<Value> =
        answer.calls.iter().map(|call| serde_json::from_str(&call.arguments).unwrap()).collect();
    assert_eq!(arguments, [json!({ "path": "a b" }), json!({ "path": "ü" })]);
    assert_eq!((answer.finish, ears.calls.len()), (Finish::Calls, 2));
}

#[tokio::test]
async fn reasoning_of_every_family_is_told_apart() {
    for (deltas, format) in [
        (
            vec![json!({ "reasoning_content": "hm " }), json!({ "reasoning_content": "hm" })],
            "reasoning_content",
        ),
        (vec![json!({ "reasoning": "hm hm", "content": "" })], "reasoning"),
        (vec![content("<thi"), content("nk>hm"), content(" hm</th"), content("ink>\n")], "inline-think-tags"),
        (vec![content("[THINK]hm hm[/THINK]")], "inline-think-tags"),
    ] {
        let server = ModelServer::start([Reply::deltas([deltas, vec![content("Yes")]].concat(), "stop")]);
        let (answer, ears) = ask(&server).await;
        assert_eq!((answer.text.as_str(), answer.reasoning.trim()), ("Yes", "hm hm"), "{format}");
        assert_eq!((ears.text.as_str(), ears.reasoning.trim()), ("Yes", "hm hm"));
        assert_eq!(answer.reasoning_format, Some(format));
    }
}

#[tokio::test]
async fn calls_that_are_printed_are_calls() {
    for text in [
        "I look.\n<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>",
        "I look.[TOOL_CALLS][{\"name\":\"read\",\"arguments\":{\"path\":\"a\"}}]",
        "I look.<function=read><parameter=path>a</parameter></function>",
    ] {
        let server = ModelServer::start([Reply::text(text)]);
        let (answer, ears) = ask(&server).await;
        assert_eq!((answer.text.as_str(), ears.text.trim()), ("I look.", "I look."), "{text}");
        assert_eq!(answer.calls[0].arguments, r#"{"path":"a"}"#, "{text}");
        assert_eq!(answer.finish, Finish::Calls);
    }
}

#[tokio::test]
async fn what_fails_for_a_moment_is_asked_again() {
    let half = || Reply::begun([content("half")]);
    let server = ModelServer::start([
        Reply::status(429, r#"{"error":{"message":"slow down"}}"#)
            .header("retry-after", "Sun, 01 Feb 2026 10:00:00 GMT"),
        Reply::status(500, "<html>oops</html>"),
        half().cut(),
        half(),
        half().raw("data: {\"choices\": [{\"delta\"\n\n").raw("data: [DONE]\n\n"),
        Reply::text("whole"),
    ]);
    let (answer, ears) = ask(&server).await;
    assert_eq!((answer.text.as_str(), ears.text.as_str()), ("whole", "whole"));
    let kinds: Vec<bool> = ears.again.iter().map(|error| matches!(error, AskError::Broken(_))).collect();
    assert_eq!(kinds, [false, false, true, true, true], "{:?}", ears.again);
    // It may be asked at once: that date is over.
    assert!(matches!(ears.again[0], AskError::Busy { status: 429, after: Some(Duration::ZERO), .. }));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_after_the_last_try() {
    let (answer, ears) = ask_at(&format!("http://127.0.0.1:{}", free_port()), LONG, 2).await;
    assert!(matches!(answer, Err(AskError::Unreachable(_))), "{answer:?}");
    assert_eq!(ears.again.len(), 2);
}

#[tokio::test]
async fn a_model_that_hangs_is_left_by_the_limit_that_it_passed() {
    let short = Duration::from_millis(300);
    for (reply, limits, phase) in [
        // Some servers send no head before the first token.
        (Reply::mute(), Limits { first_token: short, ..LONG }, Phase::FirstToken),
        (Reply::mute(), Limits { answer: short, ..LONG }, Phase::Answer),
        (Reply::silent(), Limits { first_token: short, ..LONG }, Phase::FirstToken),
        (
            Reply::begun([json!({ "role": "assistant" })]).hangs(),
            Limits { first_token: short, ..LONG },
            Phase::FirstToken,
        ),
        (Reply::begun([content("x")]).hangs(), Limits { next_token: short, ..LONG }, Phase::NextToken),
        (Reply::begun([content("x")]).hangs(), Limits { answer: short, ..LONG }, Phase::Answer),
        (Reply::status(200, "{\"choices\": [").hangs(), Limits { answer: short, ..LONG }, Phase::Answer),
    ] {
        let server = ModelServer::start([reply]);
        let began = Instant::now();
        let (answer, _) = ask_at(&server.url(), limits, 0).await;
        assert_eq!(answer, Err(AskError::Slow(phase)));
        assert!(began.elapsed() < PATIENCE / 2);
    }
}

#[tokio::test]
async fn what_asking_again_does_not_mend_is_said_at_once() {
    let too_long =
        r#"{"error":{"code":400,"message":"too large","type":"exceed_context_size_error","n_ctx":2048}}"#;
    let server = ModelServer::start([
        Reply::status(400, too_long),
        Reply::status(401, &format!(r#"{{"error":{{"message":"wrong key {KEY}"}}}}"#)),
        Reply::status(302, "{}").header("location", "http://127.0.0.1:9/v1/chat/completions"),
        Reply::begun([content("x")])
            .raw("data: {\"error\":{\"message\":\"context length exceeded, maximum\"}}\n\n"),
    ]);
    let (answer, _) = ask_at(&server.url(), LONG, 5).await;
    assert!(matches!(answer, Err(AskError::TooLong { window: Some(2048), .. })), "{answer:?}");
    let (answer, _) = ask_at(&server.url(), LONG, 5).await;
    let words = answer.unwrap_err().to_string();
    assert!(
        words.contains("wrong key ***") && words.contains("models.keys") && !words.contains(KEY),
        "{words}"
    );
    let (answer, _) = ask_at(&server.url(), LONG, 5).await;
    assert!(matches!(answer, Err(AskError::Refused { status: 302, .. })), "{answer:?}");
    let (answer, _) = ask_at(&server.url(), LONG, 5).await;
    assert!(matches!(answer, Err(AskError::TooLong { .. })), "{answer:?}");
    assert!(server.heads().iter().all(|head| head.contains(&format!("authorization: Bearer {KEY}"))));
}

#[tokio::test]
async fn servers_that_do_not_count_or_do_not_stream_are_asked_all_the_same() {
    let whole = json!({ "choices": [{ "message": { "role": "assistant", "content": "whole",
        "tool_calls": [{ "id": "a", "function": { "name": "read", "arguments": "{}" } }] }, "finish_reason": "tool_calls" }] });
    let server = ModelServer::start([
        Reply::status(400, r#"{"error":{"message":"unknown parameter: stream_options"}}"#),
        Reply::status(200, &whole.to_string()),
    ]);
    let (answer, ears) = ask(&server).await;
    assert_eq!((answer.text.as_str(), ears.text.as_str(), answer.usage), ("whole", "whole", None));
    assert_eq!(answer.calls[0].name, "read");
    assert!(server.asked()[1].get("stream_options").is_none());
}

#[tokio::test]
async fn who_has_heard_enough_or_takes_the_question_back_is_let_go() {
    let server = ModelServer::start([Reply::begun([content("ENOUGH")]).hangs()]);
    let (answer, _) = ask(&server).await;
    assert_eq!(answer.finish, Finish::Cut);

    let server = ModelServer::start([Reply::silent()]);
    let mut client = client(&server.url(), LONG).await;
    let messages = [Message::User { text: "look".to_owned() }];
    let ask = Ask { model: "m", messages: &messages, tools: &[], style: Style::Native, max_tokens: None };
    let cancel = CancellationToken::new();
    let mut hear = |_: Piece<'_>| true;
    let asking = client.ask(&ask, &mut hear, &cancel);
    let taking_back = async {
        while server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (answer, ()) = tokio::join!(asking, taking_back);
    assert_eq!(answer, Err(AskError::TakenBack));
}

#[tokio::test]
async fn an_event_without_an_end_is_not_kept() {
    let endless = "x".repeat(5 * 1024 * 1024);
    let server = ModelServer::start([Reply::begun([content("a")]).raw("data: ").raw(&endless)]);
    let (answer, _) = ask_at(&server.url(), LONG, 0).await;
    assert!(matches!(&answer, Err(AskError::Broken(why)) if why.contains("larger")), "{answer:?}");
}

#[tokio::test]
async fn what_no_server_should_say_is_bounded_and_named() {
    let huge = format!("{{\"choices\": [], \"x\": \"{}\"}}", "x".repeat(9 * 1024 * 1024));
    for (reply, kind, words) in [
        (Reply::status(200, &huge), "Broken", "larger than"),
        (Reply::status(200, r#"{"hello": "world"}"#), "Foreign", "holds no answer"),
        (Reply::status(500, "oops").raw(&"x".repeat(1024 * 1024)).hangs(), "Failed", "(500)"),
    ] {
        let server = ModelServer::start([reply]);
        let began = Instant::now();
        let error = ask_at(&server.url(), LONG, 0).await.0.unwrap_err();
        assert!(format!("{error:?}").starts_with(kind) && error.to_string().contains(words), "{error:?}");
        // Long before the limit in time.
        assert!(began.elapsed() < Duration::from_secs(8), "{error:?}");
    }
    // An error whose words don't come to an end.
    let server = ModelServer::start([Reply::status(500, "oo").hangs()]);
    let short = Limits { next_token: Duration::from_millis(300), ..LONG };
    let began = Instant::now();
    let error = ask_at(&server.url(), short, 0).await.0.unwrap_err();
    assert!(matches!(error, AskError::Failed { status: 500, .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

/// Takes the question back as soon as it is to be asked again.
struct GivesUp(CancellationToken);

impl Listener for GivesUp {
    fn hear(&mut self, _: Piece<'_>) -> bool {
        true
    }

    fn again(&mut self, _: &AskError, _: Duration) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_question_may_be_taken_back_while_the_server_is_left_alone() {
    let server =
        ModelServer::start([Reply::status(429, "{}").header("retry-after", "30"), Reply::text("late")]);
    let mut client = client(&server.url(), LONG).await;
    let messages = [Message::User { text: "look".to_owned() }];
    let ask = Ask { model: "m", messages: &messages, tools: &[], style: Style::Native, max_tokens: None };
    let cancel = CancellationToken::new();
    let patience = Patience { retries: 5, pause: Duration::from_millis(10) };
    let began = Instant::now();
    let asking = ask_patiently(&mut client, &ask, &patience, &mut GivesUp(cancel.clone()), &cancel).await;
    assert_eq!((asking, server.left()), (Err(AskError::TakenBack), 1));
    assert!(began.elapsed() < PATIENCE / 2);
}

#[tokio::test]
async fn usage_that_never_comes_is_not_waited_for() {
    let end = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let server = ModelServer::start([Reply::begun([content("whole")]).raw(&format!("{end}\n\n")).hangs()]);
    let began = Instant::now();
    let (answer, _) = ask(&server).await;
    assert_eq!((answer.text.as_str(), answer.usage), ("whole", None));
    assert!(began.elapsed() < PATIENCE / 4);
}
