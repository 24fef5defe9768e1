//! A Redis of a test's own, and a network between it and darkmux that can fail.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{Running, signal, wait_for};

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

/// Starts the server that the tests are for: `redis-server`, or what `DARKMUX_TEST_REDIS` names (`valkey-server`).
pub fn redis_server() -> Command {
    Command::new(std::env::var_os("DARKMUX_TEST_REDIS").unwrap_or_else(|| "redis-server".into()))
}

/// A real Redis with its data in a folder of its own. Dropping it ends it.
pub struct RedisServer {
    dir: TempDir,
    port: u16,
    args: Vec<String>,
    vars: Vec<(String, String)>,
    process: Option<Running>,
}

impl RedisServer {
    /// Keeps nothing on the disk.
    pub fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// With these arguments of `redis-server`.
    pub fn with(args: &[&str]) -> Self {
        Self::with_env(args, &[])
    }

    /// With these arguments and these further variables.
    pub fn with_env(args: &[&str], vars: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("dmxredis").tempdir().expect("a temporary folder");
        let args = args.iter().map(ToString::to_string).collect();
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut server = Self { dir, port: free_port(), args, vars, process: None };
        server.restart();
        server
    }

    /// Starts it again on its port after [`kill`](Self::kill).
    pub fn restart(&mut self) {
        self.process = None;
        let log = std::fs::File::create(self.dir.path().join("redis.log")).expect("a log file");
        let child = redis_server()
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(self.dir.path())
            .args(["--unixsocket", "redis.sock", "--enable-debug-command", "local"])
            .args(&self.args)
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("a Redis is installed: tests/run installs it");
        self.process = Some(Running(child));
        wait_for("redis-server to answer", || {
            let answer = self.cli_raw(&["PING"]);
            (answer.contains("PONG") || answer.contains("NOAUTH")).then_some(())
        });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it without ending it (`kill -STOP`), and lets it go on.
    pub fn freeze(&self) {
        signal(self.pid(), "STOP");
    }

    pub fn thaw(&self) {
        signal(self.pid(), "CONT");
    }

    pub fn pid(&self) -> i64 {
        self.process.as_ref().expect("it runs").pid()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs one command and returns the reply as `redis-cli` prints it off a terminal: raw, a line an element.
    pub fn cli(&self, args: &[&str]) -> String {
        let reply = self.cli_raw(args);
        assert!(!reply.contains("Could not connect"), "{reply}");
        reply
    }

    fn cli_raw(&self, args: &[&str]) -> String {
        let port = self.port.to_string();
        let output =
            Command::new("redis-cli").args(["-p", &port]).args(args).output().expect("redis-cli runs");
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }
}

/// What a [`FaultProxy`] does to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Passes everything.
    None,
    /// Takes everything and passes nothing, either way: a machine that went away without a word.
    BlackHole,
    /// Passes requests and drops replies: what was asked is done and nobody knows.
    DropReplies,
    /// Passes everything after 50 ms.
    Delay,
    /// Resets every connection.
    Reset,
}

impl Fault {
    fn of(number: u8) -> Self {
        [Self::None, Self::BlackHole, Self::DropReplies, Self::Delay, Self::Reset][usize::from(number)]
    }
}

/// A TCP proxy whose faults a test switches.
pub struct FaultProxy {
    port: u16,
    fault: Arc<AtomicU8>,
    over: Arc<AtomicBool>,
}

impl FaultProxy {
    /// Stands before the port `to` of this machine.
    pub fn before(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let fault = Arc::new(AtomicU8::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (switch, end) = (fault.clone(), over.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                if Fault::of(switch.load(Ordering::SeqCst)) == Fault::Reset {
                    continue;
                }
                let to = SocketAddr::from(([127, 0, 0, 1], to));
                let Ok(server) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { continue };
                for (from, into, replies) in
                    [(client.try_clone(), server.try_clone(), false), (Ok(server), Ok(client), true)]
                {
                    let (Ok(from), Ok(into)) = (from, into) else { continue };
                    let (switch, end) = (switch.clone(), end.clone());
                    std::thread::spawn(move || carry(from, into, replies, &switch, &end));
                }
            }
        });
        Self { port, fault, over }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn carry(mut from: TcpStream, mut into: TcpStream, replies: bool, switch: &AtomicU8, over: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    // No network loses bytes in the middle and passes those behind them: such a connection ends with the fault.
    let mut torn = false;
    while !over.load(Ordering::SeqCst) {
        let fault = Fault::of(switch.load(Ordering::SeqCst));
        if fault == Fault::Reset || torn && fault != Fault::DropReplies {
            break;
        }
        if fault == Fault::BlackHole {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                while Fault::of(switch.load(Ordering::SeqCst)) == Fault::BlackHole
                    && !over.load(Ordering::SeqCst)
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                match Fault::of(switch.load(Ordering::SeqCst)) {
                    Fault::Reset => break,
                    Fault::DropReplies if replies => {
                        torn = true;
                        continue;
                    }
                    _ if torn => break,
                    Fault::Delay => std::thread::sleep(Duration::from_millis(50)),
                    _ => {}
                }
                if into.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
