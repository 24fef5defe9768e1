//! Which models the model servers of this machine have loaded.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tokio::time::timeout;

use crate::config::ModelsConfig;

/// How long all servers together may take to answer.
pub const MODELS_PATIENCE: Duration = Duration::from_millis(300);

/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// Identifiers that are taken from one server at most, and the longest one, in characters.
const MODELS_MAX: usize = 256;
const NAME_MAX: usize = 256;

/// Asks the model servers.
#[derive(Debug)]
pub struct Models {
    config: ModelsConfig,
    /// Made at the first question: it reads the system's certificates.
    client: OnceLock<Option<Client>>,
}

impl Models {
    /// Asks nothing yet.
    pub fn new(config: ModelsConfig) -> Self {
        Self { config, client: OnceLock::new() }
    }

    /// The loaded models, sorted; `None` when no server answered.
    pub async fn loaded(&self) -> Option<Vec<String>> {
        self.catalog().await.map(|catalog| catalog.loaded)
    }

    /// What is loaded and what could be; `None` when no server answered.
    pub async fn catalog(&self) -> Option<Catalog> {
        let client = self.client.get_or_init(|| client(&self.config)).as_ref()?;
        let ask = |base: &str, path: &str| timeout(MODELS_PATIENCE, get(client, format!("{base}{path}")));
        let (studio, ollama) = (&self.config.lmstudio_url, &self.config.ollama_url);
        // LM Studio says what is loaded; any other OpenAI-compatible server lists what it serves.
        let asked = tokio::join!(
            ask(studio, "/api/v0/models"),
            ask(studio, "/v1/models"),
            ask(ollama, "/api/ps"),
            ask(ollama, "/api/tags")
        );
        let body = |answer: Result<Option<Value>, _>, key: &str| {
            answer.ok().flatten().and_then(|mut body| Some(body.get_mut(key)?.take())).unwrap_or_default()
        };
        let (state, served) = (body(asked.0, "data"), body(asked.1, "data"));
        let (running, kept) = (body(asked.2, "models"), body(asked.3, "models"));
        let studio = names(&state, true).or_else(|| names(&served, false));
        let ollama = names(&running, false);
        if studio.is_none() && ollama.is_none() {
            return None;
        }
        let all = [names(&state, false), names(&served, false), names(&kept, false)];
        let loaded = sorted(studio.into_iter().chain(ollama));
        Some(Catalog { available: sorted(all.into_iter().flatten()), loaded })
    }
}

/// The models of this machine's servers, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Those that are loaded.
    pub loaded: Vec<String>,
    /// Those that the servers list, loaded or not.
    pub available: Vec<String>,
}

fn sorted(lists: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = lists.flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn client(config: &ModelsConfig) -> Option<Client> {
    // Needed before the first client of a process, and without effect after that.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        // Answers may not send the daemon elsewhere, and the environment's proxy is not for local servers.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .connect_timeout(MODELS_PATIENCE)
        .timeout(MODELS_PATIENCE);
    let tls = config.lmstudio_url.starts_with("https:") || config.ollama_url.starts_with("https:");
    let builder = if tls { builder } else { builder.tls_certs_only([]) };
    let built = builder.build();
    if let Err(error) = &built {
        tracing::warn!(%error, "model servers can't be asked");
    }
    built.ok()
}

async fn get(client: &Client, url: String) -> Option<Value> {
    let mut response = client.get(url).send().await.ok().filter(|response| response.status().is_success())?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

/// The identifiers in a list of models; `None` when it is no list.
fn names(list: &Value, only_loaded: bool) -> Option<Vec<String>> {
    let name = |model: &Value| {
        let keys = ["id", "name", "model"];
        let name = keys.iter().find_map(|key| model[key].as_str()).or_else(|| model.as_str())?;
        Some(name.chars().take(NAME_MAX).collect::<String>())
    };
    let loaded = |model: &&Value| !only_loaded || model["state"] == "loaded";
    Some(list.as_array()?.iter().filter(loaded).filter_map(name).take(MODELS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_taken_from_every_shape() {
        let studio = json!([{"id":"a","state":"loaded"},{"id":"b","state":"not-loaded"}]);
        assert_eq!(names(&studio, true).unwrap(), ["a"]);
        assert_eq!(names(&json!([{"name":"llama3:8b","model":"x"}]), false).unwrap(), ["llama3:8b"]);
        assert_eq!(names(&Value::Null, false), None);
    }
}
