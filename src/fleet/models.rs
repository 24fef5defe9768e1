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
        let client = self.client.get_or_init(|| client(&self.config)).as_ref()?;
        let ask = |base: &str, path: &str| timeout(MODELS_PATIENCE, get(client, format!("{base}{path}")));
        let (studio, ollama) = (&self.config.lmstudio_url, &self.config.ollama_url);
        // LM Studio says what is loaded; any other OpenAI-compatible server lists what it serves.
        let asked =
            tokio::join!(ask(studio, "/api/v0/models"), ask(studio, "/v1/models"), ask(ollama, "/api/ps"));
        let (state, served, running) =
            (asked.0.ok().flatten(), asked.1.ok().flatten(), asked.2.ok().flatten());
        let studio =
            state.and_then(|body| names(&body["data"], true)).or_else(|| names(&served?["data"], false));
        let ollama = running.and_then(|body| names(&body["models"], false));
        if studio.is_none() && ollama.is_none() {
            return None;
        }
        let mut all: Vec<String> = studio.into_iter().chain(ollama).flatten().collect();
        all.sort_unstable();
        all.dedup();
        Some(all)
    }
}

fn client(config: &ModelsConfig) -> Option<Client> {
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
