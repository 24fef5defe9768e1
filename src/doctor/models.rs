//! Whether a model server answers.

use std::time::Duration;

use super::{Check, Finding, Machine, question};
use crate::config::Origin;
use crate::fleet::Models;

/// Models named in a report.
const NAMED: usize = 5;

/// How long the servers may take altogether, the client's own making included.
const PATIENCE: Duration = Duration::from_millis(1500);

/// LM Studio, Ollama, or any OpenAI-compatible server.
pub struct ModelEndpoint;

impl Check for ModelEndpoint {
    fn name(&self) -> &'static str {
        "model endpoint"
    }

    fn run(&self, machine: &Machine) -> Finding {
        // What asks a server over TLS needs a provider; one that is there already stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let models = machine.config.models();
        let places: Vec<&str> = models.endpoints.iter().map(|one| one.base.as_str()).collect();
        let places = places.join(" or ");
        let loaded = question(PATIENCE, async move { Models::new(models).loaded().await });
        match loaded {
            Ok(Some(models)) if models.is_empty() => {
                Finding::pass(format!("answers, no model is loaded ({places})"))
            }
            Ok(Some(models)) => Finding::pass(loaded_models(&models)),
            Ok(None) | Err(_) if is_wanted(machine) => Finding::warn(
                format!("none answers at {places}"),
                "it is configured; the built-in agent asks it, and `serve` shows which models are loaded",
                "start the model server, or: darkmux config set lmstudio_url URL (`darkmux endpoints test` says more)",
            ),
            Ok(None) | Err(_) => {
                Finding::pass(format!("none at {places}; only the built-in agent needs one"))
            }
        }
    }
}

/// Whether the user named a server.
fn is_wanted(machine: &Machine) -> bool {
    let set = |name| machine.config.settings.get(name).is_ok_and(|one| one.origin != Origin::Default);
    ["lmstudio_url", "ollama_url", "models.endpoints"].into_iter().any(set)
}

fn loaded_models(models: &[String]) -> String {
    let named: Vec<&str> = models.iter().take(NAMED).map(String::as_str).collect();
    let more = models.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} loaded: {}{more}", models.len(), named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_models_are_cut() {
        let models: Vec<String> = (0..7).map(|n| format!("m{n}")).collect();
        assert_eq!(loaded_models(&models), "7 loaded: m0, m1, m2, m3, m4 and 2 more");
        assert_eq!(loaded_models(&models[..1]), "1 loaded: m0");
    }
}
