//! Secrets stay where they were put: a password and a key that nobody else has are looked for in everything that
//! darkmux writes, prints, sends and starts.

use std::path::{Path, PathBuf};
use std::process::Output;

use darkmux::store::{Redis, RedisTarget};
use darkmux::work::{FleetKey, Queue};

use crate::runner::{ended, processes_of, publish, running};
use crate::support::queue::numbers;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, wait_for};

const PASSWORD: &str = "canary-Pw7Q";
const TOKEN: &str = "ca9a3c4ca9a3c4ca9a3c4ca9a3c4ca9a3c4ca9a3c4ca9a3c4ca9a3c4ca9a3c4ca";
/// The key of the fleet, as its file has it.
const KEY: &str = "ca9a2bca9a2bca9a2bca9a2bca9a2bca9a2bca9a2bca9a2bca9a2bca9a2bca9a";

/// Verbs that speak of Redis, of settings, of jobs and of what went wrong.
const VERBS: &[&[&str]] = &[
    &["auth", "show", "--json"],
    &["auth", "ls"],
    &["doctor"],
    &["doctor", "--json"],
    &["config", "list", "--origin"],
    &["config", "list", "--json"],
    &["config", "get", "redis.url"],
    &["fleet", "status"],
    &["fleet", "list", "--json"],
    &["job", "ls", "--all", "--json"],
    &["job", "show", "leak"],
    &["job", "logs", "leak"],
    &["job", "explain", "leak"],
    &["queue", "status", "--json"],
    &["session", "ls", "--all", "--json"],
    &["session", "tail", "leak"],
    &["flow", "status"],
    &["flow", "tail", "--json"],
];

/// Where a secret was found.
#[derive(Default)]
struct Search {
    found: Vec<String>,
    looked: usize,
}

impl Search {
    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.looked += 1;
        for secret in [PASSWORD, TOKEN, KEY] {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                self.found.push(format!("{secret} in {place}"));
            }
        }
    }

    fn output(&mut self, place: &str, output: &Output) {
        self.look(&format!("stdout of {place}"), &output.stdout);
        self.look(&format!("stderr of {place}"), &output.stderr);
    }

    /// Every file below a folder but those that hold the secret on purpose.
    fn files(&mut self, dir: &Path, but: &[PathBuf]) {
        for entry in walkdir::WalkDir::new(dir).into_iter().flatten() {
            if entry.file_type().is_file() && !but.iter().any(|path| path == entry.path()) {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                self.look(&entry.path().display().to_string(), &bytes);
            }
        }
    }

    /// Environment and arguments of a process, where the system shows them.
    fn process(&mut self, pid: i64) {
        for part in ["environ", "cmdline"] {
            let path = format!("/proc/{pid}/{part}");
            if let Ok(bytes) = std::fs::read(&path) {
                self.look(&path, &bytes);
            }
        }
    }
}

/// The homes, each with another way to the password, and the files that may hold it.
fn homes(server: &RedisServer) -> Vec<(Home, Vec<PathBuf>)> {
    let port = server.port();
    let with_password = format!("redis://default:{PASSWORD}@127.0.0.1:{port}");
    let plain = format!("redis://127.0.0.1:{port}");
    let of = |name: &str, url: &str| {
        let home = member(name, url).with("DARKMUX_SERVE_TOKEN", TOKEN);
        let key = home.darkmux().join("fleet-key");
        std::fs::create_dir_all(home.darkmux()).unwrap();
        private(&key, KEY);
        (home, vec![key])
    };
    let by_url = of("by-url", &with_password);
    let (home, mut files) = of("by-file", &plain);
    let file = home.path().join("password");
    private(&file, PASSWORD);
    files.push(file.clone());
    let by_file = (home.with("DARKMUX_REDIS_PASSWORD_FILE", file.display().to_string()), files);
    let (home, mut files) = of("by-config", &plain);
    // In the file of settings, as a user would put it there.
    let config = home.darkmux().join("config.json");
    private(&config, &format!(r#"{{"redis":{{"url":"{with_password}"}}}}"#));
    files.push(config);
    let by_config = (home.with("DARKMUX_REDIS_URL", with_password.clone()), files);
    vec![by_url, by_file, by_config]
}

/// What the daemon answers.
fn get(port: u16, path: &str) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
    stream.set_read_timeout(Some(crate::support::PATIENCE)).expect("a time limit");
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 "), "{path}");
    answer
}

fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn no_secret_is_in_what_is_printed_written_sent_or_started() {
    let server = RedisServer::with(&[
        "--requirepass",
        PASSWORD,
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    for (home, but) in homes(&server) {
        let daemon = Daemon::start(&home);
        let url = format!("redis://default:{PASSWORD}@127.0.0.1:{}", server.port());
        let redis = Redis::new(RedisTarget::parse(&url).unwrap());
        let key = FleetKey::read(&home.darkmux().join("fleet-key")).unwrap();
        let queue = Queue::new(redis, numbers(), key);
        let mut search = Search::default();
        // A job that says everything it knows, and one whose processes can be looked at.
        let leak = publish(&queue, "leak", "env; ps -ef || ps aux").await;
        ended(&queue, &leak).await;
        let stays = publish(&queue, "stays", "sleep 60").await;
        running(&queue, &stays).await;
        wait_for("its session", || (processes_of(&home).len() > 2).then_some(()));
        for pid in processes_of(&home) {
            search.process(pid);
        }
        for verb in VERBS {
            let output = home.command(crate::support::BIN).args(*verb).output().expect("darkmux runs");
            search.output(&verb.join(" "), &output);
        }
        for path in ["/health", "/machine/specs", "/fleet/machines/live", "/fleet/sessions/live"] {
            search.look(path, &get(daemon.port, path));
        }
        let wrong = home
            .command(crate::support::BIN)
            .arg("doctor")
            .env("DARKMUX_REDIS_URL", url.replace("Pw", "Pw7QPw"))
            .output();
        search.output("doctor with a wrong password", &wrong.expect("darkmux runs"));
        let no_url = home
            .command(crate::support::BIN)
            .arg("doctor")
            .env("DARKMUX_REDIS_URL", format!("nonsense:{PASSWORD}"))
            .output();
        search.output("doctor with no URL", &no_url.expect("darkmux runs"));
        queue.cancel(&stays, "enough").await.unwrap();
        ended(&queue, &stays).await;
        drop(daemon);
        // Everything that is on the disk, the log of the daemon among it, and everything that Redis was told.
        search.files(home.path(), &but);
        search.files(&server.dir().join("appendonlydir"), &[]);
        assert!(search.looked > VERBS.len() * 2 + 10, "only {} places", search.looked);
        assert!(search.found.is_empty(), "{:#?}", search.found);
        let mut flush = redis::cmd("FLUSHALL");
        flush.arg("SYNC");
        queue.redis().query::<()>(&flush).await.unwrap();
    }
}

#[test]
fn the_search_finds_what_is_there() {
    let mut search = Search::default();
    search.look("here", format!("x{PASSWORD}y").as_bytes());
    search.look("there", b"nothing");
    assert_eq!((search.found.len(), search.looked), (1, 2));
}
