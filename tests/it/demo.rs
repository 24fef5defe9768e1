//! `darkmux demo`: the showcase, with and without a daemon, and without a home.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{BIN, Daemon, Home, Running, describe, signal, wait_for};

/// The showcase as it is served without a daemon, and where.
fn served() -> (Running, String) {
    let mut command = Command::new(BIN);
    // Nothing is known of any user.
    command.env_clear().args(["demo", "--no-open"]).stdin(Stdio::null());
    let mut demo = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(demo.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (demo, url.trim().trim_end_matches('/').to_owned())
}

#[tokio::test]
async fn it_serves_itself_without_a_home_until_it_is_interrupted() {
    let (mut demo, url) = served();
    let port = url.strip_prefix("http://localhost:").unwrap().to_owned();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in
        ["/", "/fleet", "/flow/2026-03-02", "/queue", "/job/any", "/session/a@b", "/sessions?show=a,b"]
    {
        let answer = client.get(at(path)).header("accept", "text/html").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        let page = answer.text().await.unwrap();
        assert!(page.contains(r#"<meta name="darkmux-flow-src" content="/assets/showcase.json">"#), "{page}");
    }
    let recording = client.get(at("/assets/showcase.json")).send().await.unwrap();
    let recording: serde_json::Value = serde_json::from_str(&recording.text().await.unwrap()).unwrap();
    assert_eq!(recording["machine"]["machine_id"], "studio");
    // There is no daemon behind it, for nobody.
    for path in ["/health", "/v1/sessions", "/flow/2026-03-02/stream", "/assets/../Cargo.toml", "/auth/login"]
    {
        assert_eq!(client.get(at(path)).send().await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(client.post(at("/queue")).send().await.unwrap().status(), 405);
    let rebound = client.get(at("/")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), 421);
    signal(i64::from(demo.0.id()), "INT");
    let ended = wait_for("its end", || demo.0.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
}

#[test]
fn where_a_daemon_runs_it_is_a_page_of_the_daemon() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let output = home.run(["demo", "--no-open"]);
    assert!(output.status.success(), "{}", describe(&output));
    let url = String::from_utf8(output.stdout).unwrap();
    assert_eq!(url.trim(), format!("http://localhost:{}/?replay=showcase", daemon.port));
}

#[test]
fn a_browser_is_given_the_address() {
    let home = Home::new().with("BROWSER", "sh -c 'echo \"$0\" > opened' %s");
    let _daemon = Daemon::start(&home);
    let output = home.run(["demo"]);
    assert!(output.status.success(), "{}", describe(&output));
    let opened = std::fs::read_to_string(home.path().join("opened")).unwrap();
    assert!(opened.trim().ends_with("/?replay=showcase"), "{opened}");
}
