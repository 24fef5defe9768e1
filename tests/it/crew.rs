//! Roles as a user meets them, and the commands that they become.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use darkmux::config::{CrewConfig, ModelsConfig};
use darkmux::crew::{BadMessage, Crew, CrewError, Invocation, MESSAGE_MAX, Request, Role};
use darkmux::model::{PALETTE_TOOLS, RoleFamily, RoleId, Runtime, SessionId};
use serde_json::Value;

use crate::support::{Home, describe, wait_for};

const AGENTS: [&str; 5] = ["claude", "codex", "opencode", "pi", "aider"];
const BUILTIN: [&str; 12] = [
    "agent",
    "aider",
    "analyst",
    "claude",
    "code-reviewer",
    "coder",
    "codex",
    "opencode",
    "pi",
    "scribe",
    "shell",
    "test-designer",
];

/// A message that breaks whoever quotes it wrongly.
const NASTY: &str = "- [ ] it's \"quoted\"\n--help\n@file $(touch x) `id` $HOME \\ {prompt} {message_file}\t漢字 🦀\r\n\u{1b}[31m %s !!\n\n";

/// A home with a folder of fake programs as its `PATH`.
struct Machine {
    home: Home,
    bin: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let home = Home::new();
        let bin = home.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let home = home.with("PATH", bin.display().to_string());
        Self { home, bin }
    }

    /// Puts a program there that writes its arguments and its input, NUL-separated, to `$0.out`.
    fn install(&self, name: &str) {
        let script = "#!/bin/sh\n{ for a in \"$@\"; do printf '%s\\0' \"$a\"; done; \
                      if [ -t 0 ]; then printf 'tty\\0'; else /bin/cat; fi; } > \"$0.out\"\n";
        let file = self.bin.join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn role_file(&self, name: &str, content: &str) {
        let dir = self.home.darkmux().join("roles");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), content).unwrap();
    }

    fn config(&self) -> CrewConfig {
        CrewConfig {
            roles_dir: self.home.darkmux().join("roles"),
            preamble: self.home.darkmux().join("AUTONOMOUS_DISPATCH_PREAMBLE.md"),
            agents: AGENTS.map(str::to_owned).to_vec(),
            models: ModelsConfig::default(),
            path_dirs: vec![self.bin.clone()],
            shell: None,
        }
    }

    fn role(&self, name: &str) -> Role {
        Crew::open(&self.config()).get(&RoleId::new(name).unwrap()).unwrap()
    }

    fn folder(&self) -> PathBuf {
        let folder = self.home.path().join("a session's folder");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn ask(&self, role: &str, message: &str, interactive: bool) -> Result<Invocation, CrewError> {
        self.role(role).invocation(&Request {
            message,
            interactive,
            workdir: self.home.path(),
            session_id: &SessionId::new("s1").unwrap(),
            folder: &self.folder(),
            sandbox: &darkmux::wire::Sandbox::System,
        })
    }

    /// Runs an invocation the way a session host would, and returns what the program was given: its arguments
    /// and its input.
    fn start(&self, invocation: &Invocation) -> (Vec<String>, String) {
        for (name, content) in &invocation.files {
            assert_eq!(name.components().count(), 1, "{} is no plain file name", name.display());
            fs::write(self.folder().join(name), content).unwrap();
        }
        let stdin = match &invocation.stdin_file {
            Some(file) => Stdio::from(fs::File::open(file).unwrap()),
            None => Stdio::null(),
        };
        assert_eq!(Path::new(&invocation.argv[0]), invocation.program);
        let mut command = Command::new(&invocation.program);
        command.args(&invocation.argv[1..]).stdin(stdin);
        // A process that another test is just starting may still hold the script open for writing.
        let output = wait_for("the script to be closed", || match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            output => Some(output.unwrap()),
        });
        assert!(output.status.success(), "{}", describe(&output));
        let dumped = fs::read(format!("{}.out", invocation.program.display())).unwrap();
        let mut parts: Vec<String> =
            dumped.split(|b| *b == 0).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
        let input = parts.pop().unwrap();
        (parts, input)
    }
}

fn entry<'a>(listed: &'a Value, name: &str) -> &'a Value {
    let roles = listed["roles"].as_array().unwrap();
    roles.iter().find(|role| role["id"] == name).unwrap_or_else(|| panic!("{name} in {listed}"))
}

#[test]
fn every_builtin_role_is_whole() {
    let machine = Machine::new();
    let listed: Vec<String> =
        Crew::open(&machine.config()).list().into_iter().map(|entry| entry.name).collect();
    assert_eq!(listed, BUILTIN);
    for name in BUILTIN {
        let role = machine.role(name);
        assert!(role.warnings.is_empty(), "{:?}", role.warnings);
        assert!(!role.manifest.description.is_empty(), "{name}");
        let palette = &role.manifest.tool_palette;
        assert!(palette.allow.iter().chain(&palette.deny).all(|tool| PALETTE_TOOLS.contains(&tool.as_str())));
        // An agent CLI and a shell are told nothing but the message.
        assert_eq!(role.prompt.is_some(), role.manifest.runtime == Runtime::AgentCli, "{name}");
        let Some(prompt) = &role.prompt else { continue };
        assert!(prompt.text.contains("## Final message"), "{name}");
        assert!(prompt.text.contains("BLOCKED"), "{name}");
        let specialist = role.manifest.role_family.unwrap_or_default() == RoleFamily::Specialist;
        assert_eq!(role.preamble.is_some(), specialist, "{name}");
        assert_eq!(specialist, name != "scribe");
    }
}

#[test]
fn the_table_of_builtin_roles_matches_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/roles");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            BUILTIN.contains(&stem) || stem == "AUTONOMOUS_DISPATCH_PREAMBLE",
            "{} is embedded nowhere",
            path.display()
        );
    }
}

#[test]
fn roles_are_listed_with_what_runs_them() {
    let machine = Machine::new();
    machine.install("codex");
    let table = machine.home.ok(["crew", "roles"]);
    insta::with_settings!({filters => vec![(r"bash|/\S+/sh\b", "sh")]}, { insta::assert_snapshot!("roles", table); });
    assert_eq!(machine.home.ok(["role", "list"]), table);
    let listed = machine.home.json(["crew", "roles", "--json"]);
    assert_eq!(listed["schema"], 1);
    assert_eq!(listed["roles"].as_array().unwrap().len(), BUILTIN.len());
    let coder = entry(&listed, "coder");
    assert_eq!((&coder["state"], &coder["runs_by"]), (&"ready".into(), &"codex".into()));
    assert_eq!(coder["program"], machine.bin.join("codex").to_str().unwrap());
    let claude = entry(&listed, "claude");
    assert_eq!((&claude["state"], &claude["agent"]), (&"cannot-run".into(), &true.into()));
    assert!(claude["reason"].as_str().unwrap().contains("npm install -g @anthropic-ai/claude-code"));
}

#[test]
fn a_role_is_shown() {
    let machine = Machine::new();
    machine.install("claude");
    let bin = machine.bin.display().to_string();
    let shown = machine.home.ok(["crew", "show", "code-reviewer"]).replace(&bin, "BIN");
    insta::with_settings!({filters => vec![(r"\d+ characters", "N characters")]}, {
        insta::assert_snapshot!("show", shown);
    });
    assert_eq!(machine.home.ok(["role", "show", "code-reviewer"]).replace(&bin, "BIN"), shown);

    let document = machine.home.json(["crew", "show", "code-reviewer", "--json"]);
    let text = |part: &str| document[part]["text"].as_str().unwrap().trim().to_owned();
    let told = machine.home.ok(["crew", "show", "code-reviewer", "--prompt"]);
    assert_eq!(told, format!("{}\n\n{}\n", text("preamble"), text("prompt")));
    insta::assert_json_snapshot!("show_json", document, {
        ".prompt.text" => "…", ".preamble.text" => "…", ".**.chars" => 0, ".**.system_chars" => 0,
        ".**.program" => "BIN/claude", ".**.argv[0]" => "BIN/claude",
    });
}

#[test]
fn an_unknown_role_is_127_with_a_suggestion() {
    let machine = Machine::new();
    for (name, expected) in
        [("codr", "did you mean `coder`?"), ("No Such\u{1b}[2J", "crew roles` lists them")]
    {
        let output = machine.home.run(["crew", "show", name]);
        assert_eq!(output.status.code(), Some(127), "{}", describe(&output));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected) && !said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn without_any_agent_cli_it_says_what_to_install() {
    let machine = Machine::new();
    let error = machine.ask("coder", "x", false).unwrap_err();
    assert!(matches!(error, CrewError::CannotRun { .. }));
    insta::assert_snapshot!("no_agent", error.to_string());
    let shown = machine.home.ok(["crew", "show", "coder"]);
    assert!(shown.contains("npm install -g @openai/codex") && shown.contains("crew.agents"), "{shown}");
    // What is to be done stands below what is missing.
    let (_, below) = shown.split_once("runs by").unwrap();
    assert!(below.lines().skip(1).all(|line| line.starts_with(&" ".repeat(15))), "{shown}");
}

#[test]
fn the_order_of_the_agents_is_the_configured_one() {
    let machine = Machine::new();
    for name in ["aider", "pi", "claude"] {
        machine.install(name);
    }
    let runs_by = |home: &Home| home.json(["crew", "roles", "--json"])["roles"][4]["runs_by"].clone();
    assert_eq!(runs_by(&machine.home), "claude");
    machine.home.ok(["config", "set", "crew.agents", "nothing,pi,claude"]);
    assert_eq!(runs_by(&machine.home), "pi");
    fs::remove_file(machine.bin.join("pi")).unwrap();
    assert_eq!(runs_by(&machine.home), "claude");
}

#[test]
fn an_agent_that_cannot_be_held_to_the_palette_is_passed_over() {
    let machine = Machine::new();
    machine.role_file("reader.json", r#"{"id":"reader","tool_palette":{"allow":["read"]}}"#);
    machine.role_file("reader.md", "Read.");
    machine.install("opencode");
    let error = machine.ask("reader", "x", false).unwrap_err().to_string();
    assert!(error.contains("`opencode` can't be held to `read` access"), "{error}");
    machine.install("pi");
    let invocation = machine.ask("reader", "x", false).unwrap();
    assert_eq!(invocation.agent, Some(RoleId::new("pi").unwrap()));
    assert!(invocation.argv.contains(&"read,grep,find,ls".to_owned()), "{:?}", invocation.argv);
}

#[test]
fn a_users_role_wins_and_that_of_1_9_is_found() {
    let machine = Machine::new();
    machine.install("mine");
    machine.role_file(
        "claude.json",
        r#"{"id":"claude","description":"ours","runtime":{"command":{"argv":["mine"],"agent":true}}}"#,
    );
    let listed = machine.home.json(["crew", "roles", "--json"]);
    let claude = entry(&listed, "claude");
    assert_eq!((&claude["source"], &claude["description"]), (&"user".into(), &"ours".into()));
    assert_eq!(entry(&listed, "coder")["program"], machine.bin.join("mine").to_str().unwrap());

    let legacy = machine.home.darkmux().join("crew/roles");
    fs::create_dir_all(&legacy).unwrap();
    for (name, text) in [("old", "old"), ("claude", "never seen")] {
        fs::write(
            legacy.join(format!("{name}.json")),
            format!(r#"{{"id":"{name}","description":"{text}"}}"#),
        )
        .unwrap();
        fs::write(legacy.join(format!("{name}.md")), "Be old.").unwrap();
    }
    let listed = machine.home.json(["crew", "roles", "--json"]);
    assert_eq!(entry(&listed, "old")["description"], "old");
    assert_eq!(entry(&listed, "claude")["description"], "ours");
}

#[test]
fn a_broken_role_is_reported_with_its_place_and_the_others_work() {
    let machine = Machine::new();
    machine.role_file("coder.json", "{\n  \"id\": \"coder\",\n  \"descripton\": \"x\"\n}");
    machine.role_file("Bad Name.json", "{}");
    machine.role_file("huge.json", &" ".repeat(1024 * 1024 + 1));
    machine.role_file("unprompted.json", r#"{"id":"unprompted"}"#);
    machine.role_file("odd.json", "{\"id\":\"odd\",\n\"tool_palette\":{\"allow\":[\"raed\"]}}");
    machine.role_file("odd.md", "Be odd.");
    machine.role_file("fine.json", r#"{"id":"fine","runtime":"shell"}"#);
    let roles = machine.home.darkmux().join("roles");
    let made = Command::new("mkfifo").arg(roles.join("pipe.json")).status().unwrap();
    assert!(made.success());

    let output = machine.home.run(["crew", "roles"]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let said = String::from_utf8(output.stderr).unwrap().replace(&roles.display().to_string(), "ROLES");
    insta::assert_snapshot!("broken", said);
    let listed = machine.home.json(["crew", "roles", "--json"]);
    assert_eq!(entry(&listed, "fine")["state"], "ready");
    assert_eq!(entry(&listed, "odd")["state"], "cannot-run");
    let problem = &entry(&listed, "coder")["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&3.into(), &14.into()));
    // The builtin coder is not what the owner of the broken one meant.
    let output = machine.home.run(["crew", "show", "coder"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("coder.json:3:14: unknown field `descripton`"));
}

#[test]
fn a_manifest_of_1_9_loads_unchanged() {
    let machine = Machine::new();
    machine.install("claude");
    machine.role_file("researcher.json", include_str!("fixtures/roles/researcher.json"));
    machine.role_file("researcher.md", "Research.\n");
    let shown = machine.home.json(["crew", "show", "researcher", "--json"]);
    assert_eq!(shown["access"], "read");
    assert_eq!(shown["manifest"]["escalation_contract"]["hand-off-to"], "analyst");
    assert_eq!(shown["state"], "ready");
    assert_eq!(shown["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn a_preamble_of_the_users_replaces_the_builtin_one() {
    let machine = Machine::new();
    machine.role_file("../AUTONOMOUS_DISPATCH_PREAMBLE.md", "Mine.\n\n");
    let told = machine.home.ok(["crew", "show", "coder", "--prompt"]);
    assert!(told.starts_with("Mine.\n\n# Role: coder\n"), "{told}");
    assert!(machine.home.ok(["crew", "show", "scribe", "--prompt"]).starts_with("# Role: scribe\n"));
    assert_eq!(machine.home.ok(["crew", "show", "claude", "--prompt"]), "");
}

#[test]
fn a_message_arrives_byte_for_byte_at_every_agent() {
    for agent in AGENTS {
        let machine = Machine::new();
        machine.install(agent);
        for interactive in [false, true] {
            let invocation = machine.ask(agent, NASTY, interactive).unwrap();
            assert_eq!((invocation.system_chars, invocation.prompt_chars), (0, NASTY.chars().count()));
            assert_eq!(invocation.stdin_file.is_some(), !interactive && agent != "aider", "{agent}");
            let (arguments, input) = machine.start(&invocation);
            let by_file = || fs::read_to_string(machine.folder().join("message.txt")).unwrap_or_default();
            let holds = |argument: &String| argument.strip_prefix("--prompt=").unwrap_or(argument) == NASTY;
            let places = [input == NASTY, arguments.iter().any(holds), by_file() == NASTY];
            assert!(places.contains(&true), "{agent}: {arguments:?} {input:?}");
            // Where it is an argument of its own, nothing can take it for an option.
            if let Some(at) = arguments.iter().position(|argument| argument == NASTY) {
                assert_eq!(arguments[at - 1], "--", "{agent}");
            }
        }
    }
}

#[test]
fn a_roles_prompt_goes_along_once() {
    for agent in AGENTS {
        let machine = Machine::new();
        machine.install(agent);
        let role = machine.role("coder");
        let system = role.system();
        for interactive in [false, true] {
            let invocation = machine.ask("coder", NASTY, interactive).unwrap();
            assert_eq!(invocation.agent, Some(RoleId::new(agent).unwrap()));
            assert_eq!(invocation.system_chars, system.chars().count());
            let texts: Vec<String> = invocation
                .files
                .iter()
                .map(|(_, content)| String::from_utf8(content.clone()).unwrap())
                .chain(invocation.argv.iter().cloned())
                .collect();
            let told = texts.iter().filter(|text| text.contains(&system)).count();
            let asked = texts.iter().filter(|text| text.ends_with(NASTY)).count();
            assert_eq!((told, asked), (1, 1), "{agent} {interactive}: {:?}", invocation.argv);
            machine.start(&invocation);
        }
    }
}

#[test]
fn the_shell_gets_a_script_and_keeps_the_terminal() {
    let machine = Machine::new();
    let message = "printf '%s|' \"$0\" $#\n-not-an-option 2>/dev/null || printf \"it's {message}\"\n";
    let invocation = machine.ask("shell", message, false).unwrap();
    assert_eq!(invocation.stdin_file, None);
    assert_eq!(invocation.argv.len(), 2);
    let (name, content) = &invocation.files[0];
    fs::write(machine.folder().join(name), content).unwrap();
    let output = Command::new(&invocation.program).args(&invocation.argv[1..]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.ends_with("|0|it's {message}"), "{printed}");
}

#[test]
fn the_users_shell_is_taken_when_it_is_one() {
    let machine = Machine::new();
    machine.install("zsh");
    machine.install("nologin");
    let program = |shell: PathBuf| {
        let config = CrewConfig { shell: Some(shell), ..machine.config() };
        let role = Crew::open(&config).find("shell").unwrap();
        role.launcher().unwrap().program
    };
    assert_eq!(program(machine.bin.join("zsh")), machine.bin.join("zsh"));
    for other in [machine.bin.join("nologin"), machine.bin.join("fish"), PathBuf::from("zsh")] {
        assert_eq!(program(other), Path::new("/bin/sh"));
    }
}

#[test]
fn messages_that_no_role_can_take_are_refused() {
    let machine = Machine::new();
    machine.install("claude");
    let refused = |message: &str| match machine.ask("claude", message, false) {
        Err(CrewError::BadMessage(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(" \n\t"), BadMessage::Empty);
    assert_eq!(refused("ab\0c"), BadMessage::Nul(2));
    assert_eq!(refused(&"x".repeat(MESSAGE_MAX + 1)), BadMessage::TooLarge(MESSAGE_MAX + 1));
    let largest = "x".repeat(MESSAGE_MAX);
    let (_, input) = machine.start(&machine.ask("claude", &largest, false).unwrap());
    assert_eq!(input.len(), MESSAGE_MAX);
    // As an argument it would be refused by the system, with a message nobody understands.
    match machine.ask("claude", &largest, true) {
        Err(CrewError::BadMessage(BadMessage::TooLargeForArgument(MESSAGE_MAX))) => {}
        other => panic!("{other:?}"),
    }
    let just = "x".repeat(128 * 1024 - 1);
    let (arguments, _) = machine.start(&machine.ask("claude", &just, true).unwrap());
    assert_eq!(arguments.last().unwrap().len(), just.len());
}

#[test]
fn a_command_of_the_users_own_fills_its_placeholders() {
    let machine = Machine::new();
    machine.install("tool");
    machine.role_file(
        "own.json",
        r#"{"id":"own","role_family":"utility","runtime":{"command":{"argv":
            ["tool","--in={workdir}","{session_id}","{}","{system}","--","{message}"],"system":["-s","{prompt}"]}}}"#,
    );
    machine.role_file("own.md", "Be {message}.\n");
    let (arguments, _) = machine.start(&machine.ask("own", "-x {prompt}", false).unwrap());
    let workdir = format!("--in={}", machine.home.path().display());
    assert_eq!(arguments, [&workdir, "s1", "{}", "-s", "Be {message}.", "--", "-x {prompt}"]);
}

#[test]
fn a_prompt_too_long_for_an_argument_precedes_the_message() {
    let machine = Machine::new();
    machine.install("tool");
    let manifest = r#"{"id":"own","role_family":"utility","runtime":{"command":{"argv":["tool","{system}"],"system":["{prompt}"]}}}"#;
    machine.role_file("own.json", manifest);
    let prompt = "p".repeat(200 * 1024);
    machine.role_file("own.md", &prompt);
    let (arguments, input) = machine.start(&machine.ask("own", "m", false).unwrap());
    assert!(arguments.is_empty());
    assert_eq!(input, format!("{prompt}\n\n---\n\nm"));
}

#[test]
fn programs_of_the_current_folder_are_never_found() {
    let machine = Machine::new();
    machine.install("claude");
    let command = |path: &str| {
        let mut command = machine.home.cmd(["crew", "roles", "--json"]);
        command.env("PATH", path).current_dir(&machine.bin);
        command.output().unwrap().stdout
    };
    for path in ["", ".", ":", "./:", "../bin"] {
        let listed: Value = serde_json::from_slice(&command(path)).unwrap();
        assert_eq!(entry(&listed, "claude")["state"], "cannot-run", "PATH={path:?}");
    }
}

#[test]
fn the_command_of_each_agent_for_each_access() {
    let palettes = [
        ("read", r#"["read"]"#),
        ("read_exec", r#"["read","exec"]"#),
        ("write", r#"["read","write"]"#),
        ("write_exec", "[]"),
    ];
    let mut table = Vec::new();
    for agent in AGENTS {
        let machine = Machine::new();
        machine.install(agent);
        for (access, allow) in palettes {
            let manifest =
                format!(r#"{{"id":"{access}","role_family":"utility","tool_palette":{{"allow":{allow}}}}}"#);
            machine.role_file(&format!("{access}.json"), &manifest);
            machine.role_file(&format!("{access}.md"), "PROMPT");
            for interactive in [false, true] {
                let command = match machine.ask(access, "MESSAGE", interactive) {
                    Ok(invocation) => {
                        let folder = machine.folder().display().to_string();
                        let bin = format!("{}/", machine.bin.display());
                        invocation
                            .argv
                            .join(" ")
                            .replace(&folder, "SESSION")
                            .replace(&bin, "")
                            .replace('\n', "\\n")
                    }
                    Err(_) => "-".to_owned(),
                };
                let how = if interactive { "interactive" } else { "alone" };
                table.push(format!("{access} {how}: {command}"));
            }
        }
    }
    insta::assert_snapshot!("agents", table.join("\n"));
}

#[test]
fn the_example_of_the_reference_is_valid() {
    let reference = include_str!("../../docs/ROLES.md");
    let example = reference.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let machine = Machine::new();
    machine.install("my-agent");
    machine.role_file("linter.json", example);
    machine.role_file("linter.md", "Lint.");
    let role = machine.role("linter");
    assert!(role.warnings.is_empty(), "{:?}", role.warnings);
    machine.start(&machine.ask("linter", NASTY, false).unwrap());
    machine.start(&machine.ask("linter", NASTY, true).unwrap());
}
