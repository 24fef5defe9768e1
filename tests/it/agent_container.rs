//! Commands of the agent in containers (`--image`): by an engine of real namespaces that mounts what it was asked to, so that
//! what reaches out of the work directory reaches nothing.

use std::fs;
use std::os::unix::fs::symlink;

use darkmux::agent::tools::{Confinement, ToolLimits};
use serde_json::json;

use crate::support::engine::Engine;
use crate::support::model_server::{ModelServer, Reply};
use crate::support::repo::Repo;
use crate::support::tools::Tools;
use crate::support::{Home, describe, wait_for};

/// A toolbox whose commands run in containers.
fn contained(engine: &Engine) -> Tools {
    Tools::with(ToolLimits::default(), |_, _| {
        Confinement::in_image("rust:1.95", false, &engine.folders()).unwrap()
    })
}

/// Numbers of this machine's processes whose command line holds this.
fn running(words: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(words).then(|| format!("{}: {line}", process.file_name().to_string_lossy()))
    });
    lines.collect()
}

#[test]
fn what_a_command_in_a_container_tries_outside_reaches_nothing() {
    let Some(engine) = Engine::new() else { return };
    let mut tools = contained(&engine);
    let home = tools.home.display().to_string();
    let beside = tempfile::tempdir().unwrap();
    let outside = beside.path().display().to_string();
    fs::write(beside.path().join("there"), "kept").unwrap();
    symlink(tools.home.join(".ssh"), tools.root.join("keys")).unwrap();
    for command in [
        "cat ../.ssh/id ~/.ssh/id keys/id".to_owned(),
        format!("cat {home}/.ssh/id; cp -r {home}/.ssh copied; ls -a {home}"),
        "cd / && cat \"$OLDPWD/../.ssh/id\"; find / -xdev -name id -path '*ssh*' -exec cat {} +".into(),
        format!("cat /proc/self/root{home}/.ssh/id /proc/1/root{home}/.ssh/id /proc/1/cwd/../.ssh/id"),
        "mount --bind / keys; mount -t proc p /tmp; umount -a; chroot . true".into(),
        "unshare -rm true; nsenter -t 1 -a cat ~/.ssh/id; setpriv --inh-caps=+all cat keys/id".into(),
        format!("echo x >{outside}/new; echo x >{outside}/there; rm -rf {outside} {home}/.ssh"),
        "echo x >../new; echo x >/etc/darkmux-escaped; echo x >/usr/darkmux-escaped; touch /bin/darkmux-escaped".into(),
        "env; cat /proc/*/environ | tr '\\0' '\\n'".into(),
        "kill -9 -1; kill -9 1; kill -9 $PPID".into(),
        "cat /proc/net/tcp; exec 3<>/dev/tcp/127.0.0.1/22 && echo connected".into(),
        "ls /var/run/docker.sock /run/docker.sock ~/.docker /dev/kvm /dev/mem".into(),
    ] {
        let text = tools.bash(&command).text;
        for secret in ["the secret key", "the secret token", "connected", "CARGO"] {
            assert!(!text.contains(secret), "{secret} by {command}: {text}");
        }
        let next = tools.bash("echo alive");
        assert!(next.ok && next.text.starts_with("alive\n"), "after {command}: {}", next.text);
    }
    assert_eq!(fs::read_to_string(tools.home.join(".ssh/id")).unwrap(), "the secret key");
    assert_eq!(fs::read_to_string(beside.path().join("there")).unwrap(), "kept");
    assert_eq!(fs::read_dir(beside.path()).unwrap().count(), 1);
    assert!(!tools.home.join("new").exists());
    for place in ["/etc", "/usr", "/bin"] {
        assert!(!std::path::Path::new(place).join("darkmux-escaped").exists(), "{place}");
    }
    // What a command links to for the other tools leads nowhere either.
    assert!(tools.bash("ln -s ../.ssh/id inside; ln -s /proc/self/environ environ").ok);
    for path in ["inside", "environ", "keys/id"] {
        let text = tools.refused("read", &json!({ "path": path }));
        assert!(!text.contains("secret"), "{path}: {text}");
    }
}

#[test]
fn work_in_a_container_lasts_and_what_it_starts_ends_with_it() {
    let Some(engine) = Engine::new() else { return };
    let mut tools = contained(&engine);
    let made = tools.bash("mkdir sub && cd sub && echo made >file && echo kept >\"$TMPDIR/k\"");
    assert!(made.ok && made.text.contains("starts in sub"), "{}", made.text);
    assert_eq!(tools.file("sub/file"), "made\n");
    assert!(tools.bash("cat file \"$TMPDIR/k\"").text.starts_with("made\nkept\n"));
    let huge = tools.bash("seq 100000").text;
    let whole = huge.split_once("all of it is in ").unwrap().1.split_once(',').unwrap().0;
    let read = tools.bash(&format!("tail -1 {whole}; echo x >>{whole}")).text;
    assert!(read.starts_with("100000\n") && read.contains("Read-only file system"), "{read}");
    let marks = ["987650001", "987650002"];
    let command =
        format!("sleep {} & setsid sh -c 'trap \"\" TERM HUP; sleep {}' & sleep 0", marks[0], marks[1]);
    assert!(tools.bash(&command).ok);
    let command = format!("trap '' TERM; sleep {} & wait", marks[0]);
    let done = tools.call("bash", &json!({ "command": command, "timeout_seconds": 1 }));
    assert!(done.text.contains("ended after 1 s"), "{}", done.text);
    for mark in marks {
        wait_for("the container's processes to end", || {
            let left = running(&format!("sleep {mark}"));
            left.is_empty().then_some(())
        });
    }
    let asked = engine.asked();
    let killed = asked.lines().skip_while(|line| *line != "kill").nth(1).unwrap();
    assert!(asked.contains(&format!("--name\n{killed}\n")), "{asked}");
    // It takes nothing else than what Docker is given.
    let refused =
        std::process::Command::new(engine.folder().join("docker")).args(["run", "--privileged"]).output();
    assert_eq!(refused.unwrap().status.code(), Some(125));
}

#[test]
fn an_agent_with_an_image_works_in_its_worktree_and_says_where_commands_run() {
    let Some(engine) = Engine::new() else { return };
    let model = ModelServer::start([
        Reply::call(
            "bash",
            json!({ "command": "git log --format=%s; git status --porcelain; cat ~/.ssh/id; echo two > a.txt" }),
        ),
        Reply::text("Done."),
    ]);
    let path = format!("{}:{}", engine.folder().display(), std::env::var("PATH").unwrap());
    let home = Home::new()
        .with("PATH", path)
        .with("DARKMUX_LMSTUDIO_URL", model.url())
        .with("DARKMUX_CREW_AGENTS", "agent")
        .with("NO_COLOR", "1");
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/id"), "the secret key").unwrap();
    let repo = Repo::new(&home, "site", &[("a.txt", "one\n")]);
    repo.write("new.txt", b"new\n");
    let output = repo.darkmux("", &["crew", "dispatch", "coder", "--image", "rust:1.95", "-m", "go on"]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("commands run in a container of `rust:1.95` (docker)"), "{shown}");
    let asked = model.asked().last().unwrap()["messages"].to_string();
    assert!(asked.contains("first\\n?? new.txt\\n") && !asked.contains("the secret key"), "{asked}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 file changed"), "{}", describe(&output));
    assert!(engine.asked().contains(",readonly"), "what the folder borrows is only read");
}
