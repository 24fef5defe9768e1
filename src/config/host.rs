//! `host.toml` in the home folder: the peers whose sessions this machine shows, and how others are found. In the
//! form of gmux' file of that name.
//!
//! Read strictly: what is not understood is refused with its line, because a peer that is left out by a typo looks
//! like one that is down.

use std::fmt;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike};

use super::{Config, ConfigError};
use crate::model::is_peer_name;
use crate::store;
use crate::util::{Secret, closest, visible_line};

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Most peers.
const PEERS_MAX: usize = 256;

/// Keys of the file, of a peer, and of the two tables.
const KEYS: &[&str] = &["peers", "discovery", "tailscale"];
const PEER: &[&str] = &["name", "url", "token", "token_file", "token_command", "local"];
const DISCOVERY: &[&str] = &["tailscale", "devcontainers"];
const TAILSCALE: &[&str] = &["enabled", "allow"];

/// What gmux' file has and this one has not, and what to do instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("port", "set it with `darkmux config set serve.port N`"),
    ("hostname", "leave it out: the machine's own name in the tailnet counts"),
];

/// What `host.toml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// `[[peers]]`, in the order of the file.
    pub peers: Vec<HostPeer>,
    /// `[discovery]`.
    pub discovery: DiscoveryConfig,
    /// `[tailscale]`.
    pub tailscale: TailscaleConfig,
}

/// One of `[[peers]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPeer {
    /// Its name, which ids of its sessions end with.
    pub name: String,
    /// Where its daemon is: `http` or `https`, host and port.
    pub url: String,
    /// Where its token comes from.
    pub token: TokenSource,
    /// Whether its sessions count as this machine's own for those who look at it.
    pub local: bool,
}

/// Where a peer's token comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TokenSource {
    /// It takes none.
    #[default]
    None,
    /// It stands in the file.
    Given(Secret),
    /// The first line of this file.
    File(PathBuf),
    /// What this command of `sh` prints.
    Command(String),
}

/// `[discovery]`: what is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// Machines of the tailnet.
    pub tailscale: bool,
    /// Devcontainers of this machine.
    pub devcontainers: bool,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { tailscale: true, devcontainers: true }
    }
}

/// `[tailscale]`: whether people of the tailnet are let in by who they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailscaleConfig {
    /// They are.
    pub enabled: bool,
    /// Who is, beside this machine's own user: login names, and tags of devices that have no user.
    pub allow: Vec<String>,
}

impl Config {
    /// What `host.toml` says; no file says nothing.
    pub fn host(&self) -> Result<HostConfig, ConfigError> {
        let path = self.paths.host_file();
        let failed = |source| ConfigError::Io { path: path.clone(), action: "reading it", source };
        let Some(bytes) = store::read_if_there(&path, FILE_MAX).map_err(failed)? else {
            return Ok(HostConfig::default());
        };
        let syntax = |reason: String| ConfigError::Syntax { path: path.clone(), reason };
        let text = String::from_utf8(bytes).map_err(|_| syntax("it is no UTF-8".to_owned()))?;
        let host = parse(&text, self.env.home().as_deref()).map_err(|wrong| syntax(wrong.to_string()))?;
        if host.peers.iter().any(|peer| matches!(peer.token, TokenSource::Given(_))) {
            let mode = std::fs::metadata(&path).map_err(failed)?.mode();
            if mode & 0o077 != 0 {
                let mode = mode & 0o777;
                return Err(syntax(format!(
                    "a token stands in it, and others can read it (mode {mode:o}): chmod 600 it, or use `token_file`"
                )));
            }
        }
        Ok(host)
    }
}

/// What is wrong, and in which line.
struct Wrong {
    line: usize,
    what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads the text; `home` is what `~/` means.
fn parse(text: &str, home: Option<&Path>) -> Result<HostConfig, Wrong> {
    let document = Document::parse(text).map_err(|error| {
        let what = visible_line(error.message().lines().next().unwrap_or_default()).into_owned();
        Wrong { line: line(text, error.span()), what }
    })?;
    let reader = Reader { text, home };
    let root = document.as_table();
    reader.keys(root, KEYS, "")?;
    let mut host = HostConfig::default();
    if let Some(item) = root.get("peers") {
        host.peers = reader.peers(item)?;
    }
    if let Some(table) = reader.table(root, "discovery", DISCOVERY)? {
        let flag = |key| reader.flag(table, key);
        host.discovery = DiscoveryConfig {
            tailscale: flag("tailscale")?.unwrap_or(true),
            devcontainers: flag("devcontainers")?.unwrap_or(true),
        };
    }
    if let Some(table) = reader.table(root, "tailscale", TAILSCALE)? {
        host.tailscale.enabled = reader.flag(table, "enabled")?.unwrap_or_default();
        host.tailscale.allow = reader.logins(table)?;
    }
    Ok(host)
}

/// The line where something begins, from 1.
fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let at = span.map_or(0, |span| span.start.min(text.len()));
    text[..text.floor_char_boundary(at)].split('\n').count()
}

struct Reader<'a> {
    text: &'a str,
    home: Option<&'a Path>,
}

impl Reader<'_> {
    fn wrong<T>(&self, span: Option<Range<usize>>, what: impl Into<String>) -> Result<T, Wrong> {
        Err(Wrong { line: line(self.text, span), what: what.into() })
    }

    /// Refuses keys that there are not. `of` is the table's name with a dot.
    fn keys(&self, table: &dyn TableLike, known: &[&str], of: &str) -> Result<(), Wrong> {
        let unknown = table.iter().find(|(name, _)| !known.contains(name));
        let Some((name, item)) = unknown else { return Ok(()) };
        let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
        let elsewhere = ELSEWHERE.iter().find(|(key, _)| *key == name);
        let hint = match (elsewhere, closest(name, known.iter().copied())) {
            (Some((_, instead)), _) => format!("; {instead}"),
            (None, Some(near)) => format!(" (did you mean `{of}{near}`?)"),
            (None, None) => format!("; there are {}", known.join(", ")),
        };
        self.wrong(span, format!("unknown key `{of}{}`{hint}", visible_line(name)))
    }

    fn table<'t>(
        &self,
        root: &'t dyn TableLike,
        name: &str,
        known: &[&str],
    ) -> Result<Option<&'t dyn TableLike>, Wrong> {
        let Some(item) = root.get(name) else { return Ok(None) };
        let Some(table) = item.as_table_like() else {
            return self.wrong(item.span(), format!("`{name}` is a table: write [{name}]"));
        };
        self.keys(table, known, &format!("{name}."))?;
        Ok(Some(table))
    }

    fn flag(&self, table: &dyn TableLike, key: &str) -> Result<Option<bool>, Wrong> {
        let Some(item) = table.get(key) else { return Ok(None) };
        match item.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => self.wrong(item.span(), format!("`{key}` takes true or false")),
        }
    }

    fn words(&self, table: &dyn TableLike, key: &str) -> Result<Option<String>, Wrong> {
        let Some(item) = table.get(key) else { return Ok(None) };
        match item.as_str().map(str::trim) {
            Some("") => self.wrong(item.span(), format!("`{key}` is empty")),
            Some(words) => Ok(Some(words.to_owned())),
            None => self.wrong(item.span(), format!("`{key}` takes a text in quotes")),
        }
    }

    fn logins(&self, table: &dyn TableLike) -> Result<Vec<String>, Wrong> {
        let Some(item) = table.get("allow") else { return Ok(Vec::new()) };
        let Some(list) = item.as_array() else {
            return self.wrong(item.span(), "`allow` takes a list of login names");
        };
        let login = |value: &toml_edit::Value| match value.as_str().map(str::trim) {
            Some(name) if name.contains('@') || name.starts_with("tag:") => Ok(name.to_lowercase()),
            _ => self.wrong(
                value.span(),
                "`allow` takes login names such as \"me@example.com\", and tags such as \"tag:server\"",
            ),
        };
        list.iter().map(login).collect()
    }

    fn peers(&self, item: &Item) -> Result<Vec<HostPeer>, Wrong> {
        let tables: Vec<(&dyn TableLike, Option<Range<usize>>)> = if let Some(all) = item.as_array_of_tables()
        {
            all.iter().map(|table| (table as &dyn TableLike, table.span())).collect()
        } else if let Some(list) = item.as_array() {
            let table = |value: &'_ toml_edit::Value| value.as_inline_table().is_some();
            if !list.iter().all(table) {
                return self.wrong(item.span(), "`peers` are tables: write [[peers]] above each");
            }
            let tables = list.iter().filter_map(|value| value.as_inline_table());
            tables.map(|table| (table as &dyn TableLike, table.span())).collect()
        } else {
            return self.wrong(item.span(), "`peers` are tables: write [[peers]] above each");
        };
        if tables.len() > PEERS_MAX {
            return self.wrong(item.span(), format!("more than {PEERS_MAX} peers"));
        }
        let mut peers: Vec<HostPeer> = Vec::new();
        for (table, span) in tables {
            let peer = self.peer(table, span.clone())?;
            if peers.iter().any(|other| other.name == peer.name) {
                return self.wrong(span, format!("there are two peers `{}`", peer.name));
            }
            peers.push(peer);
        }
        Ok(peers)
    }

    fn peer(&self, table: &dyn TableLike, span: Option<Range<usize>>) -> Result<HostPeer, Wrong> {
        self.keys(table, PEER, "peers.")?;
        let at = |key: &str| table.get(key).and_then(Item::span).or_else(|| span.clone());
        let Some(name) = self.words(table, "name")? else {
            return self.wrong(span, "a peer has no `name`");
        };
        if !is_peer_name(&name) {
            let shown: String = name.chars().take(80).collect();
            let what = format!(
                "`{}` is no name for a peer: 1 to 64 of a-z, 0-9, `_`, `.` and `-`, beginning with a letter or a digit",
                visible_line(&shown)
            );
            return self.wrong(at("name"), what);
        }
        let Some(url) = self.words(table, "url")? else {
            return self.wrong(span, format!("the peer `{name}` has no `url`"));
        };
        if !is_origin(&url) {
            let what = format!(
                "the `url` of `{name}` is none: write https://HOST or http://HOST:PORT and nothing more"
            );
            return self.wrong(at("url"), what);
        }
        let token = self.token(table, span.clone(), &name)?;
        let local = self.flag(table, "local")?.unwrap_or_default();
        Ok(HostPeer { name, url: url.trim_end_matches('/').to_owned(), token, local })
    }

    fn token(
        &self,
        table: &dyn TableLike,
        span: Option<Range<usize>>,
        name: &str,
    ) -> Result<TokenSource, Wrong> {
        let words = |key| self.words(table, key);
        let (given, file, command) = (words("token")?, words("token_file")?, words("token_command")?);
        match (given, file, command) {
            (None, None, None) => Ok(TokenSource::None),
            (Some(token), None, None) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(TokenSource::Given(Secret::new(token)))
            }
            (Some(_), None, None) => self.wrong(span, format!("the `token` of `{name}` is none")),
            (None, Some(file), None) => {
                let path = match (file.strip_prefix("~/"), self.home) {
                    (Some(rest), Some(home)) => home.join(rest),
                    _ => PathBuf::from(&file),
                };
                if path.is_absolute() {
                    return Ok(TokenSource::File(path));
                }
                let at = table.get("token_file").and_then(Item::span);
                self.wrong(at, "`token_file` takes an absolute path, or one that begins with ~/")
            }
            (None, None, Some(command)) => Ok(TokenSource::Command(command)),
            _ => self.wrong(
                span,
                format!("`{name}` has more than one of `token`, `token_file` and `token_command`"),
            ),
        }
    }
}

/// Whether it is `http` or `https` with a host and nothing behind it. A name and a password in it would be shown.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let bare = uri.query().is_none() && !text.contains('#') && matches!(uri.path(), "" | "/");
    let host = uri.authority().is_some_and(|at| !at.host().is_empty() && !at.as_str().contains('@'));
    matches!(uri.scheme_str(), Some("http" | "https")) && bare && host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HostConfig, String> {
        parse(text, Some(Path::new("/h"))).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_file_of_the_guide_is_read() {
        let text = "
[[peers]]
name = \"server\"
url = \"https://gmux-server.your-tailnet.ts.net/\"
token = \"the-spoke-auth-token\"

[[peers]]
name = \"dev\"
url = \"http://172.17.0.2:8790\"
token_file = \"~/dev.token\"
local = true

[discovery]
tailscale = false

[tailscale]
enabled = true
allow = [\"Me@Example.com\"]
";
        let host = read(text).unwrap();
        assert_eq!(host.peers[0].url, "https://gmux-server.your-tailnet.ts.net");
        assert_eq!(host.peers[0].token, TokenSource::Given(Secret::new("the-spoke-auth-token")));
        assert_eq!(host.peers[1].token, TokenSource::File("/h/dev.token".into()));
        assert!(host.peers[1].local && !host.peers[0].local);
        assert_eq!(host.discovery, DiscoveryConfig { tailscale: false, devcontainers: true });
        assert_eq!((host.tailscale.enabled, host.tailscale.allow), (true, vec!["me@example.com".to_owned()]));
        assert_eq!(read("").unwrap(), HostConfig::default());
        let inline = "peers = [{ name = \"a\", url = \"http://a\", token_command = \"pass show a\" }]";
        assert_eq!(read(inline).unwrap().peers[0].token, TokenSource::Command("pass show a".into()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let peer = "[[peers]]\nname = \"a\"\nurl = \"http://a\"\n";
        let two = |more: &str| format!("{peer}{more}");
        for (text, says) in [
            ("peer = 1".to_owned(), "line 1: unknown key `peer` (did you mean `peers`?)"),
            (two("tokn = \"x\""), "line 4: unknown key `peers.tokn` (did you mean `peers.token`?)"),
            (two("token = \"x\"\ntoken_file = \"/y\""), "more than one of"),
            (two(peer), "line 4: there are two peers `a`"),
            (two("local = 1"), "line 4: `local` takes true or false"),
            (two("token = \"\""), "line 4: `token` is empty"),
            (two("token_file = \"rel\""), "line 4: `token_file` takes an absolute path"),
            ("[[peers]]\nurl = \"http://a\"".to_owned(), "line 1: a peer has no `name`"),
            ("[[peers]]\nname = \"a\"".to_owned(), "line 1: the peer `a` has no `url`"),
            ("[[peers]]\nname = \"a@b\"\nurl = \"http://a\"".to_owned(), "line 2: `a@b` is no name"),
            ("[[peers]]\nname = \"a\"\nurl = \"ftp://a\"".to_owned(), "line 3: the `url` of `a` is none"),
            ("[[peers]]\nname = \"a\"\nurl = \"http://u:p@a\"".to_owned(), "is none"),
            ("[[peers]]\nname = \"a\"\nurl = \"http://a/x\"".to_owned(), "is none"),
            ("peers = 1".to_owned(), "write [[peers]]"),
            ("peers = [1]".to_owned(), "write [[peers]]"),
            ("port = 1".to_owned(), "serve.port"),
            ("[discovery]\ntailscale = \"no\"".to_owned(), "line 2: `tailscale` takes true or false"),
            ("discovery = 1".to_owned(), "write [discovery]"),
            ("[tailscale]\nallow = [\"me\"]".to_owned(), "line 2: `allow` takes login names"),
            ("[[peers]\n".to_owned(), "line 1"),
        ] {
            let said = read(&text).unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
