//! Each agent's hooks: how they get there, what they say, and how the agent is resumed.

#![allow(clippy::needless_pass_by_value)] // JSON as it is written down.

use std::fs;

use serde_json::json;

use super::*;
use crate::wire::SessionReport;

fn argv(line: &str) -> Vec<String> {
    shell_words::split(line).unwrap()
}

struct Place {
    root: tempfile::TempDir,
    env: Environment,
}

impl Place {
    fn new(vars: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().to_str().unwrap();
        let env = Environment::of([("HOME", home)].iter().chain(vars).copied());
        Self { root, env }
    }

    fn prepare(&self, line: &str) -> Prepared {
        let folder = self.root.path().join("a session");
        let darkmux = Path::new("/opt/dark mux/darkmux");
        let facts = Facts { folder: &folder, cwd: self.root.path(), darkmux, env: &self.env };
        Adapter::prepare(&argv(line), &facts)
    }

    fn file(&self, name: &str) -> String {
        self.root.path().join("a session").join(name).display().to_string()
    }
}

fn settings(prepared: &Prepared) -> Value {
    serde_json::from_slice(&prepared.files[0].1).unwrap()
}

#[test]
fn what_is_no_agent_stays_as_it_is() {
    let place = Place::new(&[]);
    for line in [
        "make all",
        "vim codex",
        "bash -- claude",
        "claude --version",
        "claude mcp list",
        "codex login",
        "pi install x",
        "claude --model opus doctor",
        "codex -h",
        "pi --help",
    ] {
        let prepared = place.prepare(line);
        assert_eq!(prepared, Prepared { argv: argv(line), ..Prepared::default() }, "{line}");
    }
}

#[test]
fn claude_gets_settings_and_a_name_for_its_conversation() {
    let place = Place::new(&[]);
    let prepared = place.prepare("env A=1 claude --print --allowedTools Bash -- 'fix it'");
    let file = place.file("claude-settings.json");
    assert_eq!(prepared.argv[..5], ["env", "A=1", "claude", "--settings", &file]);
    assert_eq!(prepared.argv[5], "--session-id");
    uuid::Uuid::parse_str(&prepared.argv[6]).unwrap();
    assert_eq!(prepared.argv[7..], ["--print", "--allowedTools", "Bash", "--", "fix it"]);
    let settings = settings(&prepared);
    for event in ["SessionStart", "Notification", "PermissionRequest", "Stop"] {
        let hook = &settings["hooks"][event][0]["hooks"][0];
        assert_eq!(hook["type"], "command");
        let call = argv(hook["command"].as_str().unwrap());
        assert_eq!(call, ["/opt/dark mux/darkmux", "hook", "claude", event]);
    }
    assert!(prepared.env.is_empty() && prepared.notes.is_empty());
    assert_ne!(place.prepare("claude").argv[4], place.prepare("claude").argv[4]);
}

#[test]
fn claude_keeps_the_settings_that_the_user_passed() {
    let place = Place::new(&[]);
    let mine = r#"{"model":"opus","hooks":{"Stop":[{"hooks":[{"type":"command","command":"mine"}]}]}}"#;
    fs::write(place.root.path().join("mine.json"), mine).unwrap();
    for given in ["--settings mine.json", "--settings=mine.json", &format!("--settings '{mine}'")] {
        let prepared = place.prepare(&format!("claude -c {given} --verbose"));
        let file = place.file("claude-settings.json");
        assert_eq!(prepared.argv, ["claude", "--settings", &file, "-c", "--verbose"], "{given}");
        let settings = settings(&prepared);
        assert_eq!(settings["model"], "opus");
        assert_eq!(settings["hooks"]["Stop"][0]["hooks"][0]["command"], "mine");
        assert!(
            settings["hooks"]["Stop"][1]["hooks"][0]["command"]
                .as_str()
                .unwrap()
                .ends_with("hook claude Stop")
        );
    }
    for given in ["--settings none.json", "--settings '{broken'", r#"--settings '{"hooks":[]}'"#] {
        let prepared = place.prepare(&format!("claude {given}"));
        assert_eq!(prepared.argv, argv(&format!("claude {given}")));
        assert_eq!((prepared.files.len(), prepared.notes.len()), (0, 1), "{given}");
    }
    for given in ["--session-id 3", "--resume x", "-c", "--continue", "-r"] {
        let prepared = place.prepare(&format!("claude {given}"));
        assert!(
            prepared.argv.iter().filter(|arg| *arg == "--session-id").count()
                <= usize::from(given.contains("id"))
        );
    }
}

#[test]
fn codex_gets_a_notify_program_unless_it_has_one() {
    let place = Place::new(&[]);
    let prepared = place.prepare("codex exec --sandbox read-only -");
    let notify = r#"notify=["/opt/dark mux/darkmux","hook","codex"]"#;
    assert_eq!(prepared.argv[..3], ["codex", "-c", notify]);
    assert!(prepared.argv.contains(&r#"tui.notification_method="osc9""#.to_owned()));
    assert_eq!(prepared.argv[prepared.argv.len() - 4..], ["exec", "--sandbox", "read-only", "-"]);
    assert!(prepared.notes.is_empty() && prepared.files.is_empty());

    for line in ["codex -c notify='[\"x\"]'", "codex --config=notify=[] hi", "codex -cnotify=[]"] {
        let prepared = place.prepare(line);
        assert!(!prepared.argv.contains(&notify.to_owned()), "{line}");
        assert_eq!(prepared.notes.len(), 1, "{line}");
    }
    let config = place.root.path().join(".codex");
    fs::create_dir(&config).unwrap();
    fs::write(
        config.join("config.toml"),
        "model = \"x\"\nnotify = [\"mine\"]\n[tui]\nnotifications = false\n",
    )
    .unwrap();
    let prepared = place.prepare("codex");
    assert_eq!((prepared.argv.as_slice(), prepared.notes.len()), (["codex".to_owned()].as_slice(), 2));
    let inner = "[profiles.a]\nnotify = [\"x\"]\n[tui]\ntheme = \"dark\"\n";
    fs::write(config.join("config.toml"), inner).unwrap();
    assert!(place.prepare("codex").notes.is_empty());
    let elsewhere = Place::new(&[("CODEX_HOME", config.to_str().unwrap())]);
    fs::write(config.join("config.toml"), "tui.notifications = true\n").unwrap();
    assert_eq!(elsewhere.prepare("codex").notes.len(), 1);
}

#[test]
fn opencode_gets_a_plugin_beside_the_users() {
    let plain = Place::new(&[]);
    let prepared = plain.prepare("opencode run --agent plan");
    assert_eq!(prepared.argv, argv("opencode run --agent plan"));
    let config: Value = serde_json::from_str(&prepared.env[0].1).unwrap();
    let url = format!("file://{}", plain.file("opencode-plugin.js").replace(' ', "%20"));
    assert_eq!((prepared.env[0].0.as_str(), &config), ("OPENCODE_CONFIG_CONTENT", &json!({"plugin": [url]})));
    let script = String::from_utf8(prepared.files[0].1.clone()).unwrap();
    assert!(script.contains("const PROGRAM = \"/opt/dark mux/darkmux\";") && !script.contains("@DARKMUX@"));
    assert!(script.contains("const AGENT = \"opencode\";") && script.contains("DarkmuxPlugin"));

    let theirs = Place::new(&[("OPENCODE_CONFIG_CONTENT", r#"{"model":"m","plugin":["a"]}"#)]);
    let config: Value = serde_json::from_str(&theirs.prepare("opencode").env[0].1).unwrap();
    assert_eq!((&config["model"], &config["plugin"][0]), (&json!("m"), &json!("a")));
    for broken in ["{// comment\n}", "[]", r#"{"plugin":1}"#] {
        let prepared = Place::new(&[("OPENCODE_CONFIG_CONTENT", broken)]).prepare("opencode");
        assert_eq!((prepared.env.len(), prepared.files.len(), prepared.notes.len()), (0, 0, 1), "{broken}");
    }
}

#[test]
fn pi_gets_an_extension() {
    let place = Place::new(&[]);
    let prepared = place.prepare("pi --tools read --print");
    let file = place.file("pi-extension.ts");
    assert_eq!(prepared.argv, ["pi", "-e", &file, "--tools", "read", "--print"]);
    assert!(
        String::from_utf8_lossy(&prepared.files[0].1).contains("const PROGRAM = \"/opt/dark mux/darkmux\";")
    );
}

#[test]
fn a_path_that_nothing_can_carry_leaves_the_agent_alone() {
    let env = Environment::default();
    let folder = Path::new("/f");
    let facts = Facts { folder, cwd: folder, darkmux: Path::new("/a\nb"), env: &env };
    let prepared = Adapter::prepare(&argv("claude"), &facts);
    assert_eq!((prepared.argv.len(), prepared.notes.len()), (1, 1));
}

#[test]
fn a_resumed_agent_keeps_its_limits_and_not_its_message() {
    let resumed = |line: &str, id| Adapter::resume(&argv(line), id).map(|argv| shell_words::join(&argv));
    for (line, expected) in [
        (
            "claude --settings /s --session-id A --print --permission-mode=default --disallowedTools=Bash,Edit",
            "claude --resume ID --settings /s --permission-mode=default '--disallowedTools=Bash,Edit'",
        ),
        (
            "npx claude --model opus 'fix it' --add-dir a b -- more",
            "npx claude --resume ID --model opus --add-dir a b",
        ),
        (
            "codex -c notify=1 exec --skip-git-repo-check --sandbox read-only -",
            "codex resume -c notify=1 --sandbox read-only ID",
        ),
        ("codex --sandbox read-only -- 'fix it'", "codex resume --sandbox read-only ID"),
        ("codex resume OLD", "codex resume ID"),
        ("opencode run --agent plan", "opencode --agent plan --session ID"),
        ("opencode . --agent build --prompt=x", "opencode --agent build . --session ID"),
        ("pi -e /x --tools read,ls --print @m 'do it'", "pi -e /x --tools read,ls --session ID"),
    ] {
        let expected = argv(expected);
        assert_eq!(Adapter::resume(&argv(line), Some("ID")), Some(expected), "{line}");
    }
    assert_eq!(resumed("claude --session-id A hi", None).as_deref(), Some("claude --resume A"));
    for line in ["claude", "codex", "opencode", "pi", "make all"] {
        assert_eq!(resumed(line, None), None, "{line}");
    }
    for (line, id) in [("make all", "x"), ("vim codex", "x"), ("opencode serve now", "x")] {
        assert_eq!(resumed(line, Some(id)), None, "{line}");
    }
    // A name becomes an argument and never an option.
    for hostile in ["--dangerously-skip-permissions", "", "a\nb", &"x".repeat(600)] {
        assert_eq!(resumed("pi", Some(hostile)), None);
    }
}

#[test]
fn another_start_has_another_conversation() {
    let place = Place::new(&[]);
    let first = place.prepare("claude --verbose").argv;
    let again = Adapter::again(&first);
    assert_ne!(first[4], again[4]);
    assert_eq!((&first[..4], &first[5..]), (&again[..4], &again[5..]));
    let own = argv("claude --session-id A");
    assert_eq!(Adapter::again(&own), own);
}

fn report(said: &Said) -> &SessionReport {
    said.report.as_ref().expect("it says what it does")
}

/// What a hook says: `working`, `idle`, `error`, or `? ` and the question.
fn told(adapter: Adapter, hook: Value) -> String {
    let said = adapter.said(&hook);
    match &said.report {
        None => "nothing".to_owned(),
        Some(SessionReport { needs_you: Some(question), .. }) => format!("? {question}"),
        Some(SessionReport { error: true, label, .. }) => format!("error {label}"),
        Some(SessionReport { working: true, .. }) => "working".to_owned(),
        Some(_) => "idle".to_owned(),
    }
}

/// A hook's input as Claude Code documents it.
fn claude(event: &str, more: Value) -> Value {
    let mut hook = json!({
        "session_id": "00893aaf-19fa-41d2-8238-13269b9b3ca0", "transcript_path": "/t.jsonl", "cwd": "/w",
        "permission_mode": "default", "hook_event_name": event,
    });
    hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    hook
}

#[test]
fn claudes_hooks_mean_what_they_say() {
    let told = |event: &str, more: Value| told(Adapter::Claude, claude(event, more));
    assert_eq!(told("SessionStart", json!({"source": "startup", "model": "m"})), "idle");
    assert_eq!(told("SessionStart", json!({"source": "compact"})), "nothing");
    assert_eq!(told("UserPromptSubmit", json!({"prompt": "hi"})), "working");
    let bash = json!({"tool_name": "Bash", "tool_input": {"command": "npm test", "description": "d"}});
    assert_eq!(told("PreToolUse", bash.clone()), "working");
    assert_eq!(told("PermissionRequest", bash.clone()), "? allow Bash: npm test");
    assert_eq!(told("PostToolUse", bash), "working");
    let asked = json!({"questions": [{"question": "Which one?", "header": "H", "multiSelect": false,
        "options": [{"label": "A", "description": "a"}, {"label": "B", "description": "b"}]}]});
    let asked = json!({"tool_name": "AskUserQuestion", "tool_input": asked});
    assert_eq!(told("PreToolUse", asked), "? Which one? (A / B)");
    let plan = json!({"tool_name": "ExitPlanMode", "tool_input": {"plan": "1. x"}});
    assert_eq!(told("PermissionRequest", plan), "? approve its plan?");
    let notice = |kind: &str, message: &str| {
        told("Notification", json!({"notification_type": kind, "message": message}))
    };
    assert_eq!(
        notice("permission_prompt", "Claude needs your permission to use Bash"),
        "? Claude needs your permission to use Bash"
    );
    assert_eq!(notice("elicitation_dialog", "Which account?"), "? Which account?");
    assert_eq!(notice("idle_prompt", "Claude is waiting for your input"), "idle");
    assert_eq!(notice("auth_success", "Logged in"), "nothing");
    assert_eq!(told("Notification", json!({"message": "Claude is waiting for your input"})), "idle");
    assert_eq!(
        told("Notification", json!({"message": "Claude needs your permission to use Edit"})),
        "? Claude needs your permission to use Edit"
    );
    assert_eq!(told("Stop", json!({"stop_hook_active": false, "last_assistant_message": "Done."})), "idle");
    assert_eq!(told("Stop", json!({"last_assistant_message": "Two ways.\n\nA or B?"})), "? A or B?");
    assert_eq!(told("Stop", json!({})), "idle");
    assert_eq!(told("SessionEnd", json!({"reason": "exit"})), "idle");
    assert_eq!(told("Unheard", json!({})), "nothing");
}

#[test]
fn a_general_notification_does_not_replace_an_exact_question() {
    let notice = json!({"notification_type": "permission_prompt", "message": "Claude needs your permission"});
    let said = Adapter::Claude.said(&claude("Notification", notice));
    assert!(said.keeps_question);
    assert_eq!(said.conversation.as_deref(), Some("00893aaf-19fa-41d2-8238-13269b9b3ca0"));
    let exact = claude("PermissionRequest", json!({"tool_name": "Bash", "tool_input": {"command": "ls"}}));
    assert!(!Adapter::Claude.said(&exact).keeps_question);
}

#[test]
fn codex_tells_the_end_of_a_turn_and_its_hooks_more() {
    let turn = |message: &str| {
        json!({"type": "agent-turn-complete", "thread-id": "b5f6c1c2-1111-2222-3333-444455556666", "turn-id": "12345",
            "cwd": "/w", "client": "codex-tui", "input-messages": ["Rename it."], "last-assistant-message": message})
    };
    assert_eq!(told(Adapter::Codex, turn("Rename complete.")), "idle");
    assert_eq!(told(Adapter::Codex, turn("Shall I push?")), "? Shall I push?");
    let said = Adapter::Codex.said(&turn("x"));
    assert_eq!(said.conversation.as_deref(), Some("b5f6c1c2-1111-2222-3333-444455556666"));
    assert!(report(&said).turn_ended);
    let hook = |event: &str| {
        json!({"session_id": "s", "transcript_path": null, "cwd": "/w", "hook_event_name": event, "model": "m",
            "permission_mode": "default", "turn_id": "1", "tool_name": "Bash", "tool_input": {"command": "ls"}})
    };
    assert_eq!(told(Adapter::Codex, hook("UserPromptSubmit")), "working");
    assert_eq!(told(Adapter::Codex, hook("PermissionRequest")), "? allow Bash: ls");
}

#[test]
fn codex_asks_by_how_its_notices_begin() {
    let asking = Adapter::Codex.asking_notices();
    let label = |text: &str| {
        asking.iter().find(|notice| text.starts_with(&notice.begins)).map(|notice| notice.label.as_str())
    };
    for permission in
        ["Approval requested: cargo publish", "Approval requested by github", "Codex wants to edit 2 files"]
    {
        assert_eq!(label(permission), Some("permission"), "{permission}");
    }
    for question in [
        "Plan mode prompt: x",
        "Question requested",
        "Question requested: Scope",
        "Questions requested: 2",
        "Question: A or B?",
    ] {
        assert_eq!(label(question), Some("question"), "{question}");
    }
    for none in ["Agent turn complete", "All is pushed.", "", "approval requested: x"] {
        assert_eq!(label(none), None, "{none}");
    }
    assert!(Adapter::Claude.asking_notices().is_empty());
}

#[test]
fn opencodes_events_mean_what_they_say() {
    let event = |kind: &str, about: Value| json!({"type": kind, "properties": about, "session": "ses_1"});
    let told = |kind: &str, about: Value| told(Adapter::Opencode, event(kind, about));
    assert_eq!(told("session.status", json!({"sessionID": "ses_1", "status": {"type": "busy"}})), "working");
    assert_eq!(told("session.idle", json!({"sessionID": "ses_1"})), "idle");
    let asked = json!({"id": "per_1", "sessionID": "ses_1", "permission": "bash", "patterns": ["git push *"],
        "metadata": {}, "always": [], "tool": {"messageID": "m", "callID": "c"}});
    assert_eq!(told("permission.asked", asked), "? allow bash: git push *");
    let older = json!({"id": "p", "type": "bash", "pattern": "rm *", "sessionID": "s", "title": "rm -r x", "metadata": {}});
    assert_eq!(told("permission.updated", older), "? allow rm -r x");
    assert_eq!(told("permission.replied", json!({"requestID": "per_1", "reply": "once"})), "working");
    let question = json!({"id": "q", "sessionID": "s", "questions": [{"question": "Which?", "header": "h", "options": []}]});
    assert_eq!(told("question.asked", question), "? Which?");
    let failed = |name: &str| json!({"error": {"name": name, "data": {"message": "rate limited"}}});
    assert_eq!(told("session.error", failed("APIError")), "error rate limited");
    assert_eq!(told("session.error", failed("MessageAbortedError")), "idle");
    let titled = |title: &str| {
        Adapter::Opencode.said(
            &json!({"type": "session.updated", "properties": {"info": {"id": "ses_2", "title": title}}}),
        )
    };
    let said = titled("Fix the parser");
    assert_eq!(
        (said.title.as_deref(), said.conversation.as_deref()),
        (Some("Fix the parser"), Some("ses_2"))
    );
    assert_eq!(said.report, None);
    assert_eq!(titled("New session - 2026-01-01T00:00:00.000Z").title, None);
}

#[test]
fn pis_events_mean_what_they_say() {
    let told = |hook: Value| told(Adapter::Pi, hook);
    assert_eq!(told(json!({"type": "session_start", "session": "/s.jsonl"})), "idle");
    assert_eq!(told(json!({"type": "agent_start"})), "working");
    assert_eq!(told(json!({"type": "tool_execution_start", "tool": "bash"})), "working");
    assert_eq!(told(json!({"type": "agent_end", "message": "Done.", "stop": "stop"})), "idle");
    assert_eq!(told(json!({"type": "agent_end", "message": "Go on?", "stop": "stop"})), "? Go on?");
    assert_eq!(told(json!({"type": "agent_end", "stop": "error", "error": "no key"})), "error no key");
    assert_eq!(told(json!({"type": "ui_prompt_start", "title": "Allow rm -rf?"})), "? Allow rm -rf?");
    assert_eq!(told(json!({"type": "ui_prompt_start"})), "? it waits for you");
    assert_eq!(told(json!({"type": "ui_prompt_end", "idle": true})), "idle");
    assert_eq!(told(json!({"type": "ui_prompt_end", "idle": false})), "working");
    let said =
        Adapter::Pi.said(&json!({"type": "session_start", "session": "/s.jsonl", "title_of_session": "T"}));
    assert_eq!((said.conversation.as_deref(), said.title.as_deref()), (Some("/s.jsonl"), Some("T")));
    let long = format!("/{}.jsonl", "s".repeat(120));
    let said = Adapter::Pi.said(&json!({"type": "agent_start", "session": long, "session_id": "0199"}));
    assert_eq!(said.conversation.as_deref(), Some("0199"));
}

#[test]
fn whatever_comes_is_answered() {
    for adapter in [Adapter::Claude, Adapter::Codex, Adapter::Opencode, Adapter::Pi, Adapter::Shell] {
        for hook in [json!(null), json!([]), json!({}), json!({"type": 7, "hook_event_name": {}}), json!("x")]
        {
            assert_eq!(adapter.said(&hook), Said::default(), "{adapter:?} {hook}");
        }
    }
    let hostile = claude(
        "PermissionRequest",
        json!({"tool_name": "\u{1b}[2J", "tool_input": {"command": "a\n\u{202e}b"}}),
    );
    let said = Adapter::Claude.said(&hostile);
    assert_eq!(report(&said).needs_you.as_deref(), Some("allow \\u{1b}[2J: a \\u{202e}b"));
    let bare = Adapter::Claude.said(&Adapter::bare_hook("PostToolUse"));
    assert!(report(&bare).working);
}
