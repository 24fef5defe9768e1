//! Attempts of a model to get out of its work directory by `bash`: each is refused, and the next command runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use darkmux::agent::tools::Confinement;
use darkmux::agent::tools::ToolLimits;
use darkmux::agent::tools::confine::Rules;

use crate::session_cli::{new, session, tail};
use crate::support::tools::Tools;
use crate::support::{Daemon, Home, is_alive, lacks, wait_for};

/// Runs a command that must not get what it wants, and one that must run after it.
fn attempt(tools: &mut Tools, command: &str) -> String {
    let text = tools.bash(command).text;
    for secret in ["the secret key", "the secret token"] {
        assert!(!text.contains(secret), "{command}: {text}");
    }
    let next = tools.bash("echo alive");
    assert!(next.ok && next.text.starts_with("alive\n"), "after {command}: {}", next.text);
    text
}

#[test]
fn the_home_folder_and_others_are_not_read() {
    let mut tools = Tools::new();
    let home = tools.home.display().to_string();
    symlink(tools.home.join(".ssh"), tools.root.join("keys")).unwrap();
    fs::hard_link(tools.home.join(".ssh/id"), tools.home.join("other")).unwrap();
    for command in [
        "cat ../.ssh/id".to_owned(),
        format!("cat {home}/.ssh/id"),
        "cat ~/.ssh/id; ls ~/.ssh".into(),
        "cat keys/id".into(),
        "cd / && cat \"$OLDPWD/../.ssh/id\"".into(),
        format!("cp {home}/.ssh/id here; ln {home}/.ssh/id here; mv {home}/.ssh/id here; cat here"),
        format!("tar cf - {home} | strings"),
        format!("cat /proc/self/root{home}/.ssh/id"),
        format!("sh -c 'exec 3<{home}/.ssh/id; cat <&3'"),
        "ls ~ ..".into(),
        "unshare -rm cat ~/.ssh/id; chroot / cat ~/.ssh/id; mount --bind ~ . && cat .ssh/id".into(),
    ] {
        let text = attempt(&mut tools, &command);
        assert!(text.contains("denied") || text.contains("not permitted"), "{command}: {text}");
    }
    assert_eq!(fs::read_to_string(tools.home.join(".ssh/id")).unwrap(), "the secret key");
    assert!(!tools.root.join("here").exists());
}

#[test]
fn nothing_is_written_outside() {
    let mut tools = Tools::new();
    let beside = tempfile::tempdir().unwrap();
    let outside = beside.path().display().to_string();
    fs::write(beside.path().join("there"), "kept").unwrap();
    symlink(beside.path(), tools.root.join("link")).unwrap();
    for command in [
        format!("echo x >{outside}/new"),
        format!("echo x >{outside}/there; truncate -s0 {outside}/there; rm -f {outside}/there"),
        "echo x >link/new; mkdir link/dir; ln -s a link/b; mkfifo link/p".into(),
        format!("mv {outside}/there . ; mv ../tree {outside}/"),
        "echo x >../new; echo x >~/.bashrc; mkdir ~/.config".into(),
        format!("cd {outside} && touch new"),
        "touch /tmp/darkmux-escaped /etc/darkmux-escaped /dev/shm/darkmux-escaped".into(),
    ] {
        let text = attempt(&mut tools, &command);
        assert!(text.contains("denied") || text.contains("not permitted"), "{command}: {text}");
    }
    assert_eq!(fs::read_to_string(beside.path().join("there")).unwrap(), "kept");
    assert_eq!(fs::read_dir(beside.path()).unwrap().count(), 1);
    // Also what may be read.
    for place in ["/tmp", "/etc", "/dev/shm"] {
        assert!(!Path::new(place).join("darkmux-escaped").exists(), "{place}");
    }
    let mut home: Vec<_> =
        fs::read_dir(&tools.home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    home.sort();
    assert_eq!(home, [".ssh", "outputs", "tree"]);
}

#[test]
fn what_work_needs_is_there() {
    let mut tools = Tools::new();
    for command in [
        "echo x >a && mkdir d && mv a d/b && ln d/b c && rm -r d && cat c",
        "echo x >\"$TMPDIR/t\" && cat $(mktemp) \"$TMPDIR/t\"",
        "test -r /etc/passwd && ls /usr/bin >/dev/null && echo x >/dev/null && head -c4 /dev/urandom >/dev/null",
        "echo x | tee /dev/stderr | cat >&2; echo y >/dev/stdout",
        "git init -q g && cd g && git -c user.name=a -c user.email=b@c commit -q --allow-empty -m x && git log | cat && cd ..",
        "python3 -c 'print(1)' || perl -e 'print 1'",
        "case $PYTHONPYCACHEPREFIX in $TMPDIR/*) ;; *) exit 1;; esac",
        "mkdir py && cd py && echo x=1 >m.py && { ! python3 -c 'import m' || test \"$(ls -A)\" = m.py; }",
    ] {
        let done = tools.bash(command);
        assert!(done.ok, "{command}: {}", done.text);
    }
    let first =
        tools.bash("echo kept >$TMPDIR/k").ok && tools.bash("cat $TMPDIR/k").text.starts_with("kept\n");
    assert!(first, "TMPDIR lasts from one command to the next");
}

#[test]
fn the_environment_holds_no_secret_and_none_can_be_had_of_others() {
    let mut tools = Tools::new();
    let text =
        attempt(&mut tools, "env; export -p; cat /proc/self/environ /proc/$PPID/environ | tr '\\0' '\\n'");
    assert!(text.contains("HOME=") && text.contains("GIT_TERMINAL_PROMPT=0"), "{text}");
    for name in ["OPENAI", "DARKMUX_HOME", "DARKMUX_SOCKET", "SSH_AUTH_SOCK", "CARGO_MANIFEST_DIR"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    // This test's own environment, which holds more.
    let pid = std::process::id();
    let text =
        attempt(&mut tools, &format!("cat /proc/{pid}/environ | tr '\\0' '\\n'; cat /proc/{pid}/maps"));
    assert!(!text.contains("CARGO") && text.contains("denied"), "{text}");
}

#[test]
fn the_superuser_keeps_rights_over_files_alone() {
    let mut tools = Tools::new();
    let text =
        tools.ok("bash", &serde_json::json!({ "command": "grep -E '^Cap(Prm|Eff|Inh)' /proc/self/status" }));
    let rights = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    let all: Vec<u64> = text.lines().filter(|line| line.starts_with("Cap")).map(rights).collect();
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
    assert!(all.len() == 3 && all.iter().all(|rights| rights & !0b1_1011 == 0), "{text}");
}

#[test]
fn no_process_outside_is_signalled() {
    let mut tools = Tools::new();
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let pid = i64::from(other.id());
    let text = attempt(&mut tools, &format!("kill -9 {pid}; kill -9 $PPID; kill -9 -- -{pid}"));
    let lived = is_alive(pid);
    other.kill().unwrap();
    other.wait().unwrap();
    if tools.toolbox.confinement().gaps().iter().any(|gap| gap.contains("signals")) {
        assert!(lacks("signals"), "Landlock keeps signals back from Linux 6.12 on");
        assert!(!lived, "the gap that is told is there");
        return;
    }
    assert!(lived && text.contains("not permitted") && text.contains("exit "), "{text}");
}

#[test]
fn darkmux_own_sockets_obey_no_command() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let mine = new(&home, "echo a secret word; cat");
    wait_for("its output", || tail(&home, &mine).contains("word").then_some(()));
    let near = home.darkmux().join("daemon.sock");
    let host = home.darkmux().join("sessions").join(&mine).join("host.sock");
    let marker = home.path().join("marker");
    let mut tools = Tools::new();
    let curl = |socket: &Path, rest: &str| {
        format!(
            "curl -sS -m 20 -H 'Content-Type: application/json' --unix-socket {} http://localhost{rest}",
            socket.display()
        )
    };
    let launch = format!("/v1/launch -d '{{\"command\":[\"touch\",\"{}\"]}}'", marker.display());
    let key = format!("-H \"Authorization: Bearer $(cat {}/socket-key)\"", home.darkmux().display());
    let token = format!("-H \"Authorization: Bearer $(cat {}/auth-token)\"", home.darkmux().display());
    for command in [
        curl(&near, &launch),
        curl(&near, &format!("{launch} {key}")),
        curl(&near, &format!("{launch} {token}")),
        curl(&near, &format!("/v1/sessions/{mine}/kill -X POST")),
        curl(&near, &format!("/v1/sessions/{mine}/scrollback")),
        curl(&near, "/auth/codes -d '{}'"),
        curl(&near, "/fleet/invites -d '{}'"),
        curl(&host, "/v1/input -d typed"),
        curl(&host, "/input -d typed"),
        curl(&host, "/kill -X POST"),
        curl(&host, &format!("/v1/stop -X POST {key}")),
        curl(&host, "/v1/screen"),
        curl(&host, "/v1/output"),
        curl(&host, "/scrollback/text"),
    ] {
        let text = attempt(&mut tools, &command);
        assert!(
            text.contains("unauthorized") || text.contains("show the key") || text.contains("denied"),
            "{command}: {text}"
        );
        assert!(!text.contains("secret word") && !text.contains("session_id"), "{command}: {text}");
    }
    // What a hook of an agent in a sandbox of its own says is heard, where the sandbox lets it through at all.
    let said = tools
        .bash(&curl(&host, "/status -X PUT -d '{\"label\":\"busy\",\"working\":true}' -w '%{http_code}'"));
    if tools.toolbox.confinement().gaps().iter().any(|gap| gap.contains("sockets")) {
        assert!(said.ok && said.text.starts_with("204"), "{}", said.text);
        assert!(home.ok(["session", "ls", "--json"]).contains("busy"));
    }
    assert!(!marker.exists());
    assert!(!tail(&home, &mine).contains("typed"));
    assert_eq!(session(&home, &mine)["state"], "running");
    drop(daemon);
}

#[test]
fn a_network_that_is_closed_is_closed_for_tcp() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected");
    let mut open = Tools::new();
    assert!(open.bash(&connect).text.starts_with("connected\n"));
    let mut closed = Tools::with(ToolLimits::default(), |home, path| {
        Confinement::of_system(Rules { network: false, ..Rules::standard(Some(home), path) })
    });
    let text = attempt(&mut closed, &connect);
    assert!(!text.contains("connected") && text.contains("denied"), "{text}");
    assert!(closed.toolbox.confinement().to_string().ends_with("no TCP"), "{}", closed.toolbox.confinement());
}
