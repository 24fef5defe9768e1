//! Which model does the work: the one that the role wishes for, else that of the profile or the setting, else one that
//! is loaded, else the first there is. Said with the reason.

use std::time::Duration;

use super::profiles::{self, Wish};
use crate::config::{Endpoint, ModelsConfig};
use crate::fleet::{Models, Served, Survey, is_model};
use crate::util::visible_line;

/// How long the endpoints may take to say what they serve.
const PATIENCE: Duration = Duration::from_secs(5);

/// Models that a reason names at most.
const NAMED: usize = 8;

/// A model that was chosen.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Where it is served.
    pub endpoint: Endpoint,
    /// Its identifier there.
    pub model: String,
    /// Its window in tokens, where somebody says it.
    pub window: Option<u64>,
    /// Why this one, in words.
    pub why: String,
}

/// Asks every endpoint, and chooses. The error is in words that say what to do.
pub async fn pick(config: &ModelsConfig, of_role: Option<&str>) -> Result<Chosen, String> {
    let profile = profiles::read(&config.profiles)?;
    let surveys = Models::new(config.clone()).survey(PATIENCE).await;
    let wishes = wishes(config, of_role, profile.as_ref());
    let mut chosen = choose(&surveys, &wishes, config.strict)?;
    let of_profile = profile.iter().flat_map(|profile| &profile.models);
    let of_profile =
        of_profile.filter(|wish| is_model(&chosen.model, wish.served_as())).find_map(|wish| wish.window);
    chosen.window = config.context.or(of_profile).or(chosen.window);
    Ok(chosen)
}

/// The models that are wanted, the most wanted first, each with who wants it.
fn wishes(
    config: &ModelsConfig,
    of_role: Option<&str>,
    profile: Option<&profiles::Profile>,
) -> Vec<(String, &'static str)> {
    let of_profile = profile.and_then(profiles::Profile::wish).map(Wish::served_as);
    let all = [
        (of_role, "the role wishes for it"),
        (config.default.as_deref(), "models.default names it"),
        (of_profile, "the profile names it"),
    ];
    all.into_iter().filter_map(|(name, why)| Some((name?.to_owned(), why))).collect()
}

fn choose(surveys: &[Survey], wishes: &[(String, &'static str)], strict: bool) -> Result<Chosen, String> {
    let served = || {
        surveys.iter().flat_map(|survey| {
            let models = survey.models.as_deref().unwrap_or_default();
            models.iter().map(move |model| (&survey.endpoint, model))
        })
    };
    let chosen = |(endpoint, model): (&Endpoint, &Served), why: String| Chosen {
        endpoint: endpoint.clone(),
        model: model.id.clone(),
        window: model.window,
        why,
    };
    let means = |(endpoint, model): &(&Endpoint, &Served), wanted: &str| {
        let there = wanted.split_once('/').filter(|(name, _)| *name == endpoint.name);
        is_model(&model.id, wanted) || there.is_some_and(|(_, id)| is_model(&model.id, id))
    };
    for (wanted, why) in wishes {
        let all: Vec<_> = served().filter(|one| means(one, wanted)).collect();
        if let Some(found) = all.iter().find(|(_, model)| model.loaded).or(all.first()) {
            return Ok(chosen(*found, (*why).to_owned()));
        }
        if strict {
            return Err(format!(
                "the model `{}` is not served here ({why}, and runtime.strict_selection allows no other); {}",
                visible_line(wanted),
                there_is(surveys)
            ));
        }
    }
    let missed = wishes.first().map(|(wanted, _)| format!(", as `{}` is not served", visible_line(wanted)));
    let missed = missed.unwrap_or_default();
    if let Some(found) = served().find(|(_, model)| model.loaded && is_for_talk(&model.id)) {
        return Ok(chosen(found, format!("it is loaded{missed}")));
    }
    match served().find(|(_, model)| is_for_talk(&model.id)).or_else(|| served().next()) {
        Some(found) => Ok(chosen(found, format!("it is the first there is{missed}"))),
        None => Err(format!("no model can be asked; {}", there_is(surveys))),
    }
}

/// Whether a model is one to talk to, by its name: servers list those for embeddings as well.
fn is_for_talk(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    !["embed", "rerank", "whisper", "bge-", "tts"].iter().any(|word| id.contains(word))
}

/// What there is, in words.
fn there_is(surveys: &[Survey]) -> String {
    let words: Vec<String> = surveys
        .iter()
        .map(|survey| {
            let Endpoint { name, base, .. } = &survey.endpoint;
            match &survey.models {
                Ok(models) if models.is_empty() => format!("{name} ({base}) serves none"),
                Ok(models) => {
                    let ids: Vec<_> =
                        models.iter().take(NAMED).map(|model| visible_line(&model.id)).collect();
                    format!("{name} serves {}", ids.join(", "))
                }
                Err(why) => format!("{name} ({base}): {}", visible_line(why)),
            }
        })
        .collect();
    format!("{}; `darkmux endpoints test` says more", words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EndpointKind;
    use crate::store::Password;

    fn survey(name: &str, models: &[(&str, bool)]) -> Survey {
        let served =
            |(id, loaded): &(&str, bool)| Served { id: (*id).to_owned(), loaded: *loaded, window: None };
        let endpoint = Endpoint {
            name: name.to_owned(),
            base: format!("http://{name}/v1"),
            kind: EndpointKind::Plain,
            key: Password::None,
            key_from: None,
        };
        let models = models.iter().map(served).collect();
        Survey { endpoint, models: Ok(models) }
    }

    #[test]
    fn a_wish_comes_first_then_what_is_loaded_then_what_there_is() {
        let mut surveys = vec![
            survey("a", &[("nomic-embed", true), ("small", false)]),
            survey("b", &[("small", true), ("big", false), ("org/name", false)]),
        ];
        let pick = |wish: Option<&str>, strict: bool, surveys: &[Survey]| {
            let wishes: Vec<_> =
                wish.map(|wish| (wish.to_owned(), "the role wishes for it")).into_iter().collect();
            choose(surveys, &wishes, strict)
                .map(|one| format!("{}/{} {}", one.endpoint.name, one.model, one.why))
        };
        assert_eq!(pick(Some("BIG"), false, &surveys).unwrap(), "b/big the role wishes for it");
        assert_eq!(pick(Some("small"), false, &surveys).unwrap(), "b/small the role wishes for it");
        assert_eq!(pick(Some("a/small"), false, &surveys).unwrap(), "a/small the role wishes for it");
        assert_eq!(pick(Some("org/name"), false, &surveys).unwrap(), "b/org/name the role wishes for it");
        assert_eq!(
            pick(Some("none"), false, &surveys).unwrap(),
            "b/small it is loaded, as `none` is not served"
        );
        assert!(pick(Some("none"), true, &surveys).unwrap_err().contains("strict_selection"));
        surveys.truncate(1);
        assert_eq!(pick(None, false, &surveys).unwrap(), "a/small it is the first there is");
        surveys[0].models = Err("connection refused".into());
        let why = pick(None, false, &surveys).unwrap_err();
        assert!(
            why.contains("a (http://a/v1): connection refused") && why.contains("endpoints test"),
            "{why}"
        );
    }
}
