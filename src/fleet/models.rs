//! Which models the model servers of this machine have, and which of them are loaded.
//!
//! Invariants: every question has a limit in time and size; a key goes to its own endpoint only, and to nothing that
//! endpoint may redirect to.

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::config::{Endpoint, EndpointKind, ModelsConfig};
use crate::util::{Secret, read_body, root_cause};

/// How long the servers of this machine may take to answer.
pub const MODELS_PATIENCE: Duration = Duration::from_millis(300);

/// How long those behind TLS may take: they are elsewhere.
const FAR_PATIENCE: Duration = Duration::from_millis(1500);

/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// Identifiers that are taken from one server at most, and the longest one, in characters.
const MODELS_MAX: usize = 256;
const NAME_MAX: usize = 256;

/// Where servers say how many tokens a model's window has, the one that is in force first.
const WINDOW_KEYS: &[&str] = &[
    "/loaded_context_length",
    "/max_model_len",
    "/meta/n_ctx",
    "/context_length",
    "/context_window",
    "/max_context_length",
    "/meta/n_ctx_train",
];

/// Asks the model servers.
#[derive(Debug)]
pub struct Models {
    endpoints: Vec<Asked>,
    /// Made at the first question: it reads the system's certificates.
    client: OnceLock<Option<Client>>,
}

/// An endpoint with its key, once that was read.
#[derive(Debug)]
struct Asked {
    endpoint: Endpoint,
    key: OnceCell<Option<Secret>>,
}

/// A model of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its identifier there.
    pub id: String,
    /// Whether it is loaded; a server that does not tell has all that it lists.
    pub loaded: bool,
    /// Its window in tokens, where the server says it.
    pub window: Option<u64>,
}

/// What an endpoint answered.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its models, in its own order; the loaded ones first. Else why there are none.
    pub models: Result<Vec<Served>, String>,
}

/// The models of this machine's servers, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Those that are loaded.
    pub loaded: Vec<String>,
    /// Those that the servers list, loaded or not.
    pub available: Vec<String>,
}

impl Models {
    /// Asks nothing yet.
    pub fn new(config: ModelsConfig) -> Self {
        let asked = |endpoint| Asked { endpoint, key: OnceCell::new() };
        Self { endpoints: config.endpoints.into_iter().map(asked).collect(), client: OnceLock::new() }
    }

    /// The loaded models, sorted; `None` when no server answered.
    pub async fn loaded(&self) -> Option<Vec<String>> {
        self.catalog().await.map(|catalog| catalog.loaded)
    }

    /// What is loaded and what could be; `None` when no server answered.
    pub async fn catalog(&self) -> Option<Catalog> {
        let surveys = self.survey(MODELS_PATIENCE).await;
        let answers: Vec<Vec<Served>> = surveys.into_iter().filter_map(|one| one.models.ok()).collect();
        if answers.is_empty() {
            return None;
        }
        let all = || answers.iter().flatten();
        let names = |models: &mut dyn Iterator<Item = &Served>| {
            let mut names: Vec<String> = models.map(|model| model.id.clone()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        Some(Catalog { loaded: names(&mut all().filter(|model| model.loaded)), available: names(&mut all()) })
    }

    /// What each endpoint answers, all asked at once; those of this machine within `patience`.
    pub async fn survey(&self, patience: Duration) -> Vec<Survey> {
        let Some(client) = self.client.get_or_init(|| client(&self.endpoints)).as_ref() else {
            return Vec::new();
        };
        join_all(self.endpoints.iter().map(|asked| survey(client, asked, patience))).await
    }
}

async fn survey(client: &Client, asked: &Asked, patience: Duration) -> Survey {
    let endpoint = asked.endpoint.clone();
    let key = asked.key.get_or_try_init(|| key_of(&endpoint)).await;
    let models = match key {
        Ok(key) => {
            let patience = if endpoint.is_tls() { patience.max(FAR_PATIENCE) } else { patience };
            let ask = |url| timeout(patience, get(client, url, key.as_ref()));
            models_of(&endpoint, ask, patience).await
        }
        Err(why) => Err(why),
    };
    Survey { endpoint, models }
}

/// The endpoint's key, read now. The error says where it should have come from.
pub async fn key_of(endpoint: &Endpoint) -> Result<Option<Secret>, String> {
    let key = endpoint.key.read().await.map_err(|why| format!("its key's {why}"))?;
    match (&endpoint.key_from, key) {
        (Some(from), None) => Err(format!("its key is not in {from}")),
        (_, key) => Ok(key),
    }
}

type Answer = Result<Value, String>;

async fn models_of<F>(
    endpoint: &Endpoint,
    ask: impl Fn(String) -> F,
    patience: Duration,
) -> Result<Vec<Served>, String>
where
    F: Future<Output = Result<Answer, tokio::time::error::Elapsed>>,
{
    let (root, base) = (endpoint.root(), &endpoint.base);
    let late = format!("no answer within {} ms", patience.as_millis());
    let ask = async |path: String| ask(path).await.unwrap_or_else(|_| Err(late.clone()));
    let listed =
        |answer: &Answer, key: &str| answer.as_ref().ok().and_then(|body| body[key].as_array().cloned());
    let (first, second) = match endpoint.kind {
        EndpointKind::Plain => (Err(String::new()), ask(format!("{base}/models")).await),
        EndpointKind::Studio => {
            tokio::join!(ask(format!("{root}/api/v0/models")), ask(format!("{base}/models")))
        }
        EndpointKind::Ollama => tokio::join!(ask(format!("{root}/api/ps")), ask(format!("{root}/api/tags"))),
    };
    let key = if endpoint.kind == EndpointKind::Ollama { "models" } else { "data" };
    let (first, rest) = (listed(&first, key), (listed(&second, key), second));
    let mut models = match (endpoint.kind, first, rest) {
        (EndpointKind::Ollama, running, (kept, _)) if running.is_some() || kept.is_some() => {
            let running = served(&running.unwrap_or_default(), |_| true);
            let kept = served(&kept.unwrap_or_default(), |_| false);
            let fresh = |model: &Served| !running.iter().any(|other| other.id == model.id);
            let kept: Vec<Served> = kept.into_iter().filter(fresh).collect();
            [running, kept].concat()
        }
        (EndpointKind::Studio, Some(state), _) => served(&state, |model| model["state"] == "loaded"),
        (_, _, (Some(list), _)) => served(&list, |_| true),
        (_, _, (None, Err(why))) => return Err(why),
        (_, _, (None, Ok(_))) => return Err("its answer is no list of models".to_owned()),
    };
    models.sort_by_key(|model| !model.loaded);
    Ok(models)
}

fn client(endpoints: &[Asked]) -> Option<Client> {
    // Needed before the first client of a process, and without effect after that.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        // Answers may not send the daemon elsewhere, and the environment's proxy is not for local servers.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0);
    let tls = endpoints.iter().any(|asked| asked.endpoint.is_tls());
    let builder = if tls { builder } else { builder.tls_certs_only([]) };
    let built = builder.build();
    if let Err(error) = &built {
        tracing::warn!(%error, "model servers can't be asked");
    }
    built.ok()
}

async fn get(client: &Client, url: String, key: Option<&Secret>) -> Answer {
    let mut request = client.get(url);
    if let Some(key) = key {
        request = request.bearer_auth(key.expose());
    }
    let response = request.send().await.map_err(|error| root_cause(&error))?;
    if !response.status().is_success() {
        return Err(format!("it answers {}", response.status()));
    }
    let body =
        read_body(response, ANSWER_MAX).await.map_err(|error| format!("its list of models: {error}"))?;
    serde_json::from_slice(&body).map_err(|_| "its answer is no JSON".to_owned())
}

/// The models in a list, whatever its shape.
fn served(list: &[Value], loaded: impl Fn(&Value) -> bool) -> Vec<Served> {
    let model = |model: &Value| {
        let keys = ["id", "name", "model"];
        let id = keys.iter().find_map(|key| model[key].as_str()).or_else(|| model.as_str())?;
        let window =
            WINDOW_KEYS.iter().find_map(|key| model.pointer(key)?.as_u64()).filter(|window| *window > 0);
        Some(Served { id: id.chars().take(NAME_MAX).collect(), loaded: loaded(model), window })
    };
    list.iter().filter_map(model).take(MODELS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_windows_are_taken_from_every_shape() {
        let list = json!([
            {"id": "a", "state": "loaded", "max_context_length": 131_072, "loaded_context_length": 8192},
            {"name": "llama3:8b", "model": "x"},
            {"id": "b", "meta": {"n_ctx_train": 2048}},
            "plain", 7,
        ]);
        let models = served(list.as_array().unwrap(), |model| model["state"] == "loaded");
        let seen: Vec<_> = models.iter().map(|one| (one.id.as_str(), one.loaded, one.window)).collect();
        assert_eq!(
            seen,
            [
                ("a", true, Some(8192)),
                ("llama3:8b", false, None),
                ("b", false, Some(2048)),
                ("plain", false, None)
            ]
        );
    }
}
