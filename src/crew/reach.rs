//! Whether the built-in agent has something to ask: whether anything listens at a model endpoint. What listens there is
//! asked by the agent itself, once it runs.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::config::{Endpoint, ModelsConfig};

/// The role that is the built-in agent.
pub const AGENT: &str = "agent";

/// What to do where none answers.
pub const ADVICE: &str = "start a model server (LM Studio, Ollama, llama.cpp), or name one: darkmux config set models.endpoints NAME=URL";

/// How long all endpoints together may take. Those of this machine take none.
const PATIENCE: Duration = Duration::from_millis(400);

/// Whether anything listens at any endpoint. The error says where nothing does.
pub fn any(models: &ModelsConfig) -> Result<(), String> {
    let (found, answers) = mpsc::channel();
    for endpoint in &models.endpoints {
        let (endpoint, found) = (endpoint.clone(), found.clone());
        // A name may take the system minutes to look up: nobody waits for its thread.
        let asking = move || {
            let _ = found.send(listens(&endpoint));
        };
        let _ = std::thread::Builder::new().name("endpoint".to_owned()).spawn(asking);
    }
    drop(found);
    let deadline = Instant::now() + PATIENCE;
    while let Ok(listens) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if listens {
            return Ok(());
        }
    }
    let bases: Vec<&str> = models.endpoints.iter().map(|endpoint| endpoint.base.as_str()).collect();
    Err(format!("has no model endpoint that answers: {}", bases.join(", ")))
}

fn listens(endpoint: &Endpoint) -> bool {
    let Some(address) = address(endpoint) else { return false };
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.take(4).any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

/// Host and port of an endpoint.
fn address(endpoint: &Endpoint) -> Option<String> {
    let (scheme, rest) = endpoint.base.split_once("://")?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if scheme == "https" { 443 } else { 80 };
    Some(if has_port { host.to_owned() } else { format!("{host}:{port}") })
}
