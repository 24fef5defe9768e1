//! Model endpoints: servers that speak the chat API of OpenAI, by name, and where each one's key comes from.
//!
//! Invariant: a key is never part of a setting, so no listing shows one.

use std::path::PathBuf;

use super::{Environment, Settings};
use crate::store::Password;
use crate::util::{Secret, visible_line};

/// The names of the servers that have settings of their own.
const OWN: [&str; 2] = ["lmstudio", "ollama"];

/// Longest name of an endpoint.
const NAME_MAX: usize = 32;

/// What an endpoint says of its models besides the common list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    /// As LM Studio: what is loaded, at `/api/v0/models`.
    Studio,
    /// As Ollama: what is loaded, at `/api/ps`.
    Ollama,
    /// Nothing, or in keys of the common list.
    Plain,
}

/// A server that models are asked at.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// What the paths of the chat API are appended to, such as `http://localhost:1234/v1`.
    pub base: String,
    /// What it says of its models.
    pub kind: EndpointKind,
    /// Its key.
    pub key: Password,
    /// Where the key comes from, in words; `None` when it needs none.
    pub key_from: Option<String>,
}

impl Endpoint {
    fn new(name: &str, url: &str, kind: EndpointKind) -> Self {
        let url = url.trim_end_matches('/');
        let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let base = if has_path { url.to_owned() } else { format!("{url}/v1") };
        Self { name: name.to_owned(), base, kind, key: Password::None, key_from: None }
    }

    /// The server without the path of its chat API.
    pub fn root(&self) -> &str {
        self.base.strip_suffix("/v1").unwrap_or(&self.base)
    }

    /// Whether it is asked by TLS.
    pub fn is_tls(&self) -> bool {
        self.base.starts_with("https:")
    }
}

/// Every endpoint, in the order in which they are tried.
pub(super) fn all(settings: &Settings, env: &Environment) -> Vec<Endpoint> {
    let named = settings.list("models.endpoints");
    let plain = named.iter().filter_map(|item| named_url(item).ok());
    let mut all: Vec<Endpoint> =
        plain.map(|(name, url)| Endpoint::new(name, url, EndpointKind::Plain)).collect();
    for (name, kind) in OWN.into_iter().zip([EndpointKind::Studio, EndpointKind::Ollama]) {
        all.extend(settings.text(&format!("{name}_url")).map(|url| Endpoint::new(name, url, kind)));
    }
    let keys = settings.list("models.keys");
    for (name, source) in keys.iter().filter_map(|item| named_key(item).ok()) {
        for endpoint in all.iter_mut().filter(|endpoint| endpoint.name == name) {
            (endpoint.key, endpoint.key_from) = (source.password(env), Some(source.words()));
        }
    }
    all
}

/// Reads an item of `models.endpoints`. The error says what would be right.
pub(super) fn named_url(item: &str) -> Result<(&str, &str), String> {
    let wrong = |why: &str| {
        Err(format!("takes items such as `box=http://10.0.0.5:8080`, and `{}` {why}", visible_line(item)))
    };
    let Some((name, url)) = item.split_once('=') else { return wrong("has no `=`") };
    if !is_name(name) {
        return wrong("has a name that is not 1 to 32 of a-z, 0-9, `-`, `_`");
    }
    if OWN.contains(&name) {
        return wrong("has the name of a setting of its own (lmstudio_url, ollama_url)");
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        None | Some("") => wrong("is no http:// or https:// URL"),
        Some(rest) if rest.contains('@') => wrong("has a user in its URL; its key comes by models.keys"),
        Some(rest) if rest.contains(['?', '#', ' ']) => wrong("has more than a server and a path in its URL"),
        Some(_) => Ok((name, url)),
    }
}

/// Where a key comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    Variable(String),
    File(String),
    Command(Vec<String>),
}

impl KeySource {
    fn password(&self, env: &Environment) -> Password {
        match self {
            Self::Variable(name) => {
                env.get(name).map_or(Password::None, |key| Password::Given(Secret::new(key)))
            }
            Self::File(path) => Password::File(match (path.strip_prefix("~/"), env.home()) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => PathBuf::from(path),
            }),
            Self::Command(argv) => Password::Command(argv.clone()),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Variable(name) => format!("variable {name}"),
            Self::File(path) => format!("file {path}"),
            Self::Command(argv) => format!("command {}", argv.first().map_or("", String::as_str)),
        }
    }
}

/// Reads an item of `models.keys`. The error never quotes it: somebody may have put the key itself there.
pub(super) fn named_key(item: &str) -> Result<(&str, KeySource), String> {
    let wrong = "takes items such as `box=env:BOX_KEY`, `box=file:~/.box-key` or `box=command:security …`; the \
                 key itself is no setting";
    let parts = item.split_once('=').and_then(|(name, source)| Some((name, source.split_once(':')?)));
    let Some((name, (kind, what))) = parts.filter(|(name, (_, what))| is_name(name) && !what.is_empty())
    else {
        return Err(wrong.to_owned());
    };
    let source = match kind {
        "env" if what.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            KeySource::Variable(what.to_owned())
        }
        "file" if what.starts_with('/') || what.starts_with("~/") => KeySource::File(what.to_owned()),
        "command" => match shell_words::split(what) {
            Ok(argv) if !argv.is_empty() => KeySource::Command(argv),
            _ => return Err(wrong.to_owned()),
        },
        _ => return Err(wrong.to_owned()),
    };
    Ok((name, source))
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn endpoints_have_names_bases_and_keys_from_elsewhere() {
        let env = Environment::of([
            ("HOME", "/h"),
            ("DARKMUX_MODELS_ENDPOINTS", "box=http://10.0.0.5:8080, router=https://openrouter.ai/api/v1/"),
            ("DARKMUX_MODELS_KEYS", "router=env:ROUTER_KEY,ollama=file:~/.key,box=command:pass show box"),
            ("ROUTER_KEY", "sk-secret"),
        ]);
        let config = Config::load(env, &[]).unwrap();
        let all = config.models().endpoints;
        let bases: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.base.as_str())).collect();
        let expected = [
            ("box", "http://10.0.0.5:8080/v1"),
            ("router", "https://openrouter.ai/api/v1"),
            ("lmstudio", "http://localhost:1234/v1"),
            ("ollama", "http://localhost:11434/v1"),
        ];
        assert_eq!(bases, expected);
        assert_eq!(all[1].key_from.as_deref(), Some("variable ROUTER_KEY"));
        assert!(matches!(&all[1].key, Password::Given(key) if key.expose() == "sk-secret"));
        assert!(
            matches!(&all[3].key, Password::File(path) if path.ends_with(".key") && path.starts_with("/h"))
        );
        assert!(!format!("{all:?}").contains("sk-secret"));
        assert_eq!(all[2].root(), "http://localhost:1234");
    }

    #[test]
    fn what_is_no_endpoint_and_no_key_is_refused_without_quoting_a_key() {
        for item in [
            "box",
            "Box=http://x",
            "=http://x",
            "box=ftp://x",
            "box=http://",
            "box=http://u:p@x",
            "ollama=http://x",
        ] {
            assert!(named_url(item).is_err(), "{item}");
        }
        for item in
            ["box", "box=sk-secret", "box=env:", "box=env:A B", "box=file:key", "box=command:'", "Box=env:A"]
        {
            let error = named_key(item).unwrap_err();
            assert!(!error.contains("sk-secret"), "{error}");
        }
    }
}
