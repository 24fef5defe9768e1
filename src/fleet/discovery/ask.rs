//! Asking a device that nobody told us about whether it is a darkmux, or a gmux.
//!
//! Invariants: no token is sent; three seconds in all; only the addresses that Tailscale gave are connected to, also
//! where a certificate is checked by name; no redirect, no proxy; answers are bounded and hostile.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::{Kind, peer_name};
use crate::fleet::PeerAddress;
use crate::fleet::hostile::bounded;
use crate::util::{BodyError, read_body};

/// How long one device may take.
pub const ASK_TIME: Duration = Duration::from_secs(3);

/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 256 * 1024;

/// Somebody who is asked.
#[derive(Debug, Clone)]
pub struct Whom {
    /// The full name, for which a certificate may be valid.
    pub name: String,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The ports on which a darkmux may speak plain HTTP; Tailscale encrypts it.
    pub ports: Vec<u16>,
}

/// One that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it calls itself, made a peer's name.
    pub name: String,
    /// Where it answered.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it lets this machine in without a token.
    pub lets_in: bool,
    /// Who it is, where it says so.
    pub node_id: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is one.
    Member(Answer),
    /// Something else answers, or nothing listens.
    NoMember,
    /// No answer in time: nothing is known.
    Silent,
}

/// Asks, by every way at once; the first in the order of the ports counts, then TLS.
pub async fn ask(whom: &Whom) -> Asked {
    let plain = whom.ports.iter().map(|port| plain(whom, *port));
    let asked = async { tokio::join!(futures_util::future::join_all(plain), tls(whom)) };
    let (plain, tls) = asked.await;
    let mut all = plain.into_iter().chain([tls]);
    all.clone().find(|asked| matches!(asked, Asked::Member(_))).unwrap_or_else(|| {
        let is_silent = all.any(|asked| asked == Asked::Silent);
        if is_silent { Asked::Silent } else { Asked::NoMember }
    })
}

/// The address that is tried: machines have one of each family, and both lead to the same place.
fn address(whom: &Whom, port: u16) -> Option<SocketAddr> {
    let ip = whom.addresses.iter().find(|ip| ip.is_ipv4()).or(whom.addresses.first())?;
    let address = SocketAddr::new(*ip, port);
    // No machine of a fleet is at a link-local, multicast or metadata address.
    address.to_string().parse::<PeerAddress>().ok().map(|_| address)
}

async fn plain(whom: &Whom, port: u16) -> Asked {
    let Some(address) = address(whom, port) else { return Asked::NoMember };
    let Some(client) = build(builder().tls_certs_only([])) else { return Asked::Silent };
    within(&client, &format!("http://{address}")).await
}

async fn tls(whom: &Whom) -> Asked {
    let Some(address) = address(whom, 443) else { return Asked::NoMember };
    // By name for the certificate, at Tailscale's address whatever a resolver says.
    let Some(client) = build(builder().resolve(&whom.name, address)) else { return Asked::Silent };
    within(&client, &format!("https://{}", whom.name)).await
}

fn builder() -> reqwest::ClientBuilder {
    // Needed before the first client of a process, and without effect after that.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .connect_timeout(ASK_TIME)
}

fn build(builder: reqwest::ClientBuilder) -> Option<Client> {
    let built = builder.build();
    if let Err(error) = &built {
        tracing::warn!(%error, "devices of the tailnet can't be asked");
    }
    built.ok()
}

async fn within(client: &Client, base: &str) -> Asked {
    timeout(ASK_TIME, at(client, base)).await.unwrap_or(Asked::Silent)
}

async fn at(client: &Client, base: &str) -> Asked {
    let member = |name: &str, kind, lets_in, node_id: &Value| {
        let name = peer_name(name)?;
        let node_id = node_id.as_str().filter(|id| *id != "node-local").map(bounded);
        Some(Asked::Member(Answer { name, url: base.to_owned(), kind, lets_in, node_id }))
    };
    let found = match get(client, &format!("{base}/v1/health")).await {
        Err(Broken::Late) => return Asked::Silent,
        Ok((StatusCode::OK, body)) => {
            let data = &body["data"];
            let is_one = body["ok"] == true && data["service"] == "gmuxd";
            match (data["machine_id"].as_str(), data["hostname"].as_str()) {
                _ if !is_one => None,
                (Some(id), _) => member(id, Kind::Darkmux, true, &data["node_id"]),
                (None, Some(host)) => member(host, Kind::Gmux, true, &Value::Null),
                (None, None) => None,
            }
        }
        Ok((StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS, _)) => {
            match get(client, &format!("{base}/health")).await {
                Err(Broken::Late) => return Asked::Silent,
                Ok((StatusCode::OK, body)) if body["darkmux_version"].is_string() => {
                    let id = body["machine_id"].as_str().unwrap_or_default();
                    member(id, Kind::Darkmux, false, &body["machine_uid"])
                }
                _ => None,
            }
        }
        Ok(_) | Err(Broken::Other) => None,
    };
    found.unwrap_or(Asked::NoMember)
}

enum Broken {
    Late,
    Other,
}

async fn get(client: &Client, url: &str) -> Result<(StatusCode, Value), Broken> {
    let broken = |error: reqwest::Error| if error.is_timeout() { Broken::Late } else { Broken::Other };
    let response = client.get(url).send().await.map_err(broken)?;
    let status = response.status();
    let body = read_body(response, ANSWER_MAX).await.map_err(|error| match error {
        BodyError::Broken(error) => broken(error),
        BodyError::TooLarge(_) => Broken::Other,
    })?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A device that answers one request with this body, or with nothing at all.
    async fn asked(body: Option<String>) -> Asked {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let device = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let Some(body) = body else {
                // Longer than anybody may wait.
                stream.set_read_timeout(Some(ASK_TIME * 2)).unwrap();
                let _ = stream.read(&mut [0; 16]);
                return;
            };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            // Who has heard enough hangs up.
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        });
        let client = build(builder().tls_certs_only([])).unwrap();
        let asked = within(&client, &base).await;
        tokio::task::spawn_blocking(move || device.join().unwrap()).await.unwrap();
        asked
    }

    #[tokio::test]
    async fn a_device_has_three_seconds_and_a_quarter_of_a_mebibyte() {
        let health = |padding: usize| {
            let data =
                serde_json::json!({ "service": "gmuxd", "hostname": "desk", "x": "x".repeat(padding) });
            Some(serde_json::json!({ "ok": true, "data": data }).to_string())
        };
        assert!(matches!(asked(health(0)).await, Asked::Member(one) if one.name == "desk"));
        assert_eq!(asked(health(ANSWER_MAX)).await, Asked::NoMember);
        let began = std::time::Instant::now();
        assert_eq!(asked(None).await, Asked::Silent);
        assert!(began.elapsed() < ASK_TIME * 3, "{:?}", began.elapsed());
    }
}
