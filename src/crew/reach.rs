//! Whether the built-in agent has something to ask: whether anything listens at a model endpoint. What listens there is
//! asked by the agent itself, once it runs.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::config::ModelsConfig;

/// The role that is the built-in agent.
pub const AGENT: &str = "agent";

/// What to do where none answers.
pub const ADVICE: &str = "start a model server (LM Studio, Ollama, llama.cpp), or name one: darkmux config set models.endpoints NAME=URL";

/// How long all endpoints together may take. Those of this machine take none.
const PATIENCE: Duration = Duration::from_millis(400);

/// Whether anything listens at any endpoint. The error says where nothing does.
pub fn any(models: &ModelsConfig) -> Result<(), String> {
    let places: Vec<Place> =
        models.endpoints.iter().filter_map(|endpoint| Place::of(&endpoint.base)).collect();
    let near = places.iter().flat_map(Place::near).any(|address| listens_here(&address));
    if near || any_far(places.into_iter().filter(|place| place.near().is_empty())) {
        return Ok(());
    }
    let bases: Vec<&str> = models.endpoints.iter().map(|endpoint| endpoint.base.as_str()).collect();
    Err(format!("has no model endpoint that answers: {}", bases.join(", ")))
}

/// Asks all at once, each in a thread of its own: a name may take the system minutes to look up, and nobody waits for it.
fn any_far(places: impl Iterator<Item = Place>) -> bool {
    let (found, answers) = mpsc::channel();
    for place in places {
        let found = found.clone();
        let asking = move || {
            let addresses = (place.host.as_str(), place.port).to_socket_addrs().into_iter().flatten();
            let _ = found.send(addresses.take(4).any(|address| listens(&address)));
        };
        let _ = std::thread::Builder::new().name("endpoint".to_owned()).spawn(asking);
    }
    drop(found);
    let deadline = Instant::now() + PATIENCE;
    std::iter::from_fn(|| answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok())
        .any(|it| it)
}

fn listens(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, PATIENCE).is_ok()
}

/// As [`listens`], on this machine: a port that nobody listens at refuses at once, so one that takes its time has a listener
/// whose queue is full.
fn listens_here(address: &SocketAddr) -> bool {
    match TcpStream::connect_timeout(address, PATIENCE) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
    }
}

/// Where an endpoint is.
struct Place {
    host: String,
    port: u16,
}

impl Place {
    fn of(base: &str) -> Option<Self> {
        let (scheme, rest) = base.split_once("://")?;
        let authority = rest.split('/').next().filter(|host| !host.is_empty())?;
        let named = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = named.unwrap_or((authority, if scheme == "https" { 443 } else { 80 }));
        Some(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
    }

    /// The addresses of one on this machine, which needs no resolver and no waiting; none for any other.
    fn near(&self) -> Vec<SocketAddr> {
        let hosts = match self.host.parse::<IpAddr>() {
            Ok(host) if host.is_loopback() => vec![host],
            Err(_) if self.host == "localhost" => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            _ => Vec::new(),
        };
        hosts.into_iter().map(|host| SocketAddr::new(host, self.port)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_this_machine_need_no_resolver() {
        let near = |base| Place::of(base).unwrap().near().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(near("http://localhost:1234/v1"), ["127.0.0.1:1234", "[::1]:1234"]);
        assert_eq!(near("http://[::1]:9/v1"), ["[::1]:9"]);
        assert_eq!(near("https://127.0.0.2/v1"), ["127.0.0.2:443"]);
        assert!(near("http://localhost.example/v1").is_empty() && near("http://10.0.0.1:1").is_empty());
        assert_eq!(
            Place::of("http://studio/v1").map(|it| (it.host, it.port)),
            Some(("studio".to_owned(), 80))
        );
        assert!(Place::of("studio").is_none() && Place::of("http:///v1").is_none());
    }

    #[test]
    fn a_listener_is_found_near_and_by_a_resolver() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let place = || Place { host: "127.0.0.1".to_owned(), port };
        assert!(place().near().iter().any(listens_here) && any_far([place()].into_iter()));
        drop(listener);
        assert!(!place().near().iter().any(listens_here) && !any_far([place()].into_iter()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_server_that_others_keep_busy_is_there() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "its queue is never full");
        }
        assert!(!listens(&address) && listens_here(&address));
    }
}
