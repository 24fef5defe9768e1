//! The cookie of a browser that signed in: `<scope>.<expires>.<salt>.<mac>`.
//!
//! The daemon keeps no list of them: the mac is made with the hash of the token, so a cookie is valid as long as its
//! token is, on this port, across restarts.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use uuid::Uuid;

use super::caller::Scope;
use super::{Key, Keyring};

/// How long a browser stays signed in.
pub const COOKIE_LIFE: Duration = Duration::from_hours(90 * 24);

/// Values of one name that are looked at in a request.
const VALUES_MAX: usize = 4;

/// What the mac's key is derived for.
const CONTEXT: &str = "darkmux 2026-11-22 viewer cookie";

fn mac(key: &Key, signed: &str) -> blake3::Hash {
    let key = blake3::derive_key(CONTEXT, key.id.as_bytes());
    blake3::keyed_hash(&key, signed.as_bytes())
}

fn name_of(scope: Scope) -> &'static str {
    if scope >= Scope::Act { "act" } else { "watch" }
}

/// `Set-Cookie` for somebody who showed this key.
pub fn set(name: &str, key: &Key, scope: Scope, now: Timestamp, is_tls: bool) -> String {
    let expires = now.as_second().saturating_add_unsigned(COOKIE_LIFE.as_secs());
    let signed = format!("{}.{expires}.{}", name_of(scope), Uuid::new_v4().simple());
    let secure = if is_tls { "; Secure" } else { "" };
    let (mac, seconds) = (mac(key, &signed), COOKIE_LIFE.as_secs());
    format!("{name}={signed}.{mac}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// `Set-Cookie` that takes the cookie away.
pub fn unset(name: &str) -> String {
    format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}

/// The values of the cookie of this name.
pub fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).take(VALUES_MAX).collect()
}

/// What a cookie lets one do, and the key it was given for.
pub fn check(value: &str, keyring: &Keyring, now: Timestamp) -> Option<(Scope, Key)> {
    let (signed, given) = value.rsplit_once('.')?;
    let given = blake3::Hash::from_hex(given).ok()?;
    // Compared in constant time, as hashes are.
    let keys = keyring.keys();
    let key =
        keys.iter().fold(None, |found, key| if mac(key, signed) == given { Some(*key) } else { found })?;
    let mut parts = signed.split('.');
    let scope = match parts.next()? {
        "act" => Scope::Act,
        "watch" => Scope::Watch,
        _ => return None,
    };
    let expires: i64 = parts.next()?.parse().ok()?;
    (now.as_second() < expires).then_some((scope.min(key.scope), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Paths};
    use crate::serve::auth::TokenFile;

    #[test]
    fn a_cookie_is_worth_its_scope_its_time_and_its_token() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(&Environment::of([("DARKMUX_HOME", home.path())])).unwrap();
        let file = TokenFile::new(paths.auth_token());
        file.ensure().unwrap();
        let keyring = Keyring::new(&paths, None);
        let key = keyring.primary().unwrap();
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let given = |scope| {
            let set = set("darkmux-1", &key, scope, now, false);
            set.strip_prefix("darkmux-1=").unwrap().split(';').next().unwrap().to_owned()
        };
        let (act, watch) = (given(Scope::Act), given(Scope::Watch));
        let worth = |value: &str, now| check(value, &keyring, now).map(|(scope, _)| scope);
        assert_eq!(worth(&act, now), Some(Scope::Act));
        assert_eq!(worth(&watch, now), Some(Scope::Watch));
        assert_eq!(worth(&watch.replacen("watch", "act", 1), now), None);
        assert_eq!(worth(&act.replacen('1', "9", 1), now), None);
        assert_eq!(worth(&act[..act.len() - 1], now), None);
        assert_eq!(worth("", now), None);
        let later = now + Duration::from_secs(COOKIE_LIFE.as_secs() - 1);
        assert_eq!(worth(&act, later), Some(Scope::Act));
        assert_eq!(worth(&act, later + Duration::from_secs(1)), None);
        file.rotate().unwrap();
        assert_eq!((worth(&act, now), worth(&watch, now)), (None, None));
    }

    #[test]
    fn values_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; darkmux-8=x.y; darkmux-80=z".parse().unwrap());
        headers.append(header::COOKIE, "darkmux-8=w".parse().unwrap());
        assert_eq!(values(&headers, "darkmux-8"), ["x.y", "w"]);
        assert_eq!(values(&headers, "b"), [""; 0]);
    }
}
