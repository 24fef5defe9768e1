//! A day's file of a million records (292 MB).
//!
//! The limit is a server that opens the file and hands it to `sendfile`: the bytes go from the page cache to the
//! socket and never through the program. Four threads wait in `accept`, so that no thread is started for a
//! request. nginx, if it is on the PATH, says what a good server makes of it. The reader is a client that reads
//! 256 KiB at a time into the same memory.
//!
//! What `/flow/DATE` answers, the records as an array, has no bare counterpart; its first byte is compared with
//! the first byte of the file from the limit and from nginx.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};

use crate::Setup;
use crate::http::{self, drain, first_byte, path_of, read_head};
use crate::machine::{Machine, cpu, forget_peak, memory, wait_for};
use crate::table::{Table, Want, quantile};

const DATE: &str = "2026-01-02";
const RECORDS: u64 = 1_000_000;
/// Length of a line, with its end.
const LINE: usize = 292;
/// Bytes of one `sendfile`: more of them keep the reader off the socket for longer.
const CHUNK: usize = 2 << 20;
/// Reads of the whole file in a round, of which the median counts: where the system puts client and server makes one
/// read twice as fast as the next.
const READS: usize = 7;
/// First bytes of a round.
const ASKED: usize = 101;

/// Measures and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    fill(&machine.day_file(DATE));
    let flows = machine.path().join(".darkmux/flows");
    let daemon = machine.daemon();
    let limit = serve(&flows);
    let nginx = start_nginx(machine.path(), &flows);
    let whole = format!("/flow/{DATE}.jsonl");
    let raw = format!("/{DATE}.jsonl");
    let array = format!("/flow/{DATE}");

    let mut table = Table::new("Day file of 1,000,000 records");
    let mut buffer = vec![0; http::READ];
    // Warms the page cache and counts nothing.
    drain(limit, &raw, &mut buffer);
    std::thread::sleep(Duration::from_secs(1));
    for _ in 0..setup.rounds {
        forget_peak(daemon.pid());
        let idle = memory(daemon.pid())["VmRSS"];
        let before = cpu(daemon.pid());
        let mut speeds = [const { Vec::new() }; 3];
        for _ in 0..READS {
            let other = nginx.as_ref().map(|(_, port)| (*port, &raw));
            let all = [Some((limit, &raw)), Some((daemon.port, &whole)), other];
            for (speeds, (port, path)) in speeds.iter_mut().zip(all.into_iter().flatten()) {
                let got = drain(port, path, &mut buffer);
                speeds.push(got.bytes as f64 / 1e6 / got.whole.as_secs_f64());
            }
        }
        let [floor, ours, other] = speeds.map(|mut speeds| {
            speeds.sort_by(f64::total_cmp);
            speeds.get(READS / 2).copied().unwrap_or(f64::NAN)
        });
        table.pair("whole file", "MB/s", Want::AtLeast(0.85), (floor, ours));
        let spent = cpu(daemon.pid()).saturating_sub(before).as_secs_f64() * 1000.0;
        let gigabytes = (RECORDS * READS as u64) as f64 * LINE as f64 / 1e9;
        table.figure("whole file, CPU of the daemon", "ms/GB", Want::Nothing, spent / gigabytes);
        table.figure("daemon before", "MiB", Want::Nothing, idle);
        let peak = memory(daemon.pid())["VmHWM"];
        table.figure("daemon at its peak above that", "MiB", Want::AtMost(2.0), peak - idle);
        let first = |port, path: &str| {
            quantile(&mut (0..ASKED).map(|_| first_byte(port, path)).collect::<Vec<_>>(), 0.5)
        };
        let floor_first = first(limit, &raw);
        table.pair("first byte of the file", "µs", Want::Nothing, (floor_first, first(daemon.port, &whole)));
        let health = first(daemon.port, "/health");
        table.pair("first byte of /health", "µs", Want::Nothing, (floor_first, health));
        let array = first(daemon.port, &array);
        table.pair("first byte of the array", "µs", Want::Nothing, (floor_first, array));
        if let Some((_, nginx)) = &nginx {
            table.pair("nginx, whole file", "MB/s", Want::Nothing, (floor, other));
            let nginx = first(*nginx, &raw);
            table.pair("array's first byte to nginx's", "µs", Want::AtMost(2.0), (nginx, array));
        }
    }
    table.print();
    if nginx.is_none() {
        println!("\nnginx is not installed here and was left out.");
    }
}

fn fill(path: &Path) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("the day's file"));
    for n in 0..RECORDS {
        let head = format!(
            r#"{{"ts":"{DATE}T{:02}:{:02}:{:02}Z","level":"info","category":"work","tier":"local","stage":"dispatch","action":"note","handle":"coder","session_id":"s{:04}","payload":{{"n":{n},"text":""#,
            n / 3600 % 24,
            n / 60 % 60,
            n % 60,
            n % 997,
        );
        let pad = LINE - head.len() - 4;
        writeln!(file, "{head}{:x<pad$}\"}}}}", "").expect("room for the day's file");
    }
    file.flush().expect("room for the day's file");
}

/// The limit: a server that does nothing but `sendfile`. It lives as long as the program.
fn serve(root: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    for _ in 0..4 {
        let (listener, root) = (listener.try_clone().expect("a handle"), root.to_owned());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                // A client that has seen enough goes away.
                let _ = answer(socket, &root);
            }
        });
    }
    port
}

fn answer(mut socket: TcpStream, root: &Path) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    loop {
        let (head, _) = read_head(&mut socket)?;
        let file = File::open(root.join(path_of(&head).trim_start_matches('/')))?;
        let mut left = file.metadata()?.len();
        // In one packet with the first bytes of the file.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n");
        send(&socket, head.as_bytes(), SendFlags::MORE)?;
        while left > 0 {
            let sent = sendfile(&socket, &file, None, usize::try_from(left).unwrap_or(CHUNK).min(CHUNK))?;
            if sent == 0 {
                return Ok(());
            }
            left -= sent as u64;
        }
    }
}

/// A running nginx. Its master ends its worker when it is asked to end, not when it is killed.
struct Nginx(std::process::Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// nginx on the same folder; `None` where it is not installed.
fn start_nginx(home: &Path, root: &Path) -> Option<(Nginx, u16)> {
    // A port nobody has a moment before nginx takes it.
    let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let home = home.join("nginx");
    std::fs::create_dir_all(&home).ok()?;
    let folder = home.display();
    // Started by root, its workers would be another user, who may not read a private home.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; sendfile_max_chunk 2m;\n\
         client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n\
         uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
         server {{ listen 127.0.0.1:{port}; root {}; }} }}\n",
        root.display()
    );
    std::fs::write(home.join("nginx.conf"), text).ok()?;
    let found = ["nginx", "/usr/sbin/nginx"].into_iter().find_map(|program| {
        let mut command = std::process::Command::new(program);
        command.arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf"));
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().ok()
    })?;
    wait_for(|| TcpStream::connect(("127.0.0.1", port)).ok());
    Some((Nginx(found), port))
}
