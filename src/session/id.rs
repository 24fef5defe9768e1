//! New session ids.

use crate::model::{IdError, RoleId, SessionId};

/// What ids of sessions that are no jobs begin with, as gmux makes them; people leave it out.
pub const GMUX: &str = "sess-";

/// Digits without look-alikes (Crockford's base 32, lower case).
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Random digits in an id: 50 bits, so that ids stay unique in a fleet that keeps a million of them.
const RANDOM_DIGITS: u32 = 10;

/// Longest part of a role's name in an id.
const ROLE_MAX: usize = 40;

/// A new id, `<role>-<10 random digits>`: it says what it is and can be typed by a short prefix.
pub fn new_id(role: &RoleId) -> Result<SessionId, IdError> {
    let (_, mut random) = uuid::Uuid::now_v7().as_u64_pair();
    let mut digits = String::new();
    for _ in 0..RANDOM_DIGITS {
        digits.push(char::from(DIGITS[(random & 31) as usize]));
        random >>= 5;
    }
    let name: String = role.as_str().chars().take(ROLE_MAX).collect();
    let name = name.trim_matches(['-', '_']);
    SessionId::new(if name.is_empty() { format!("job-{digits}") } else { format!("{name}-{digits}") })
}

/// A new id for a session that is no job, as gmux makes them: `sess-` and 8 digits of hex.
pub fn new_session_id() -> Result<SessionId, IdError> {
    let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
    SessionId::new(format!("{GMUX}{:08x}", random & 0xffff_ffff))
}

/// The id of the session that is asked for with this key: always the same one.
pub fn session_id_of(key: &str) -> Result<SessionId, IdError> {
    let hash = blake3::hash(key.as_bytes()).to_hex();
    SessionId::new(format!("{GMUX}{}", hash.split_at(16).0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_valid_and_differ() {
        let role = RoleId::new("coder").unwrap();
        let ids: HashSet<_> = (0..10_000).map(|_| new_id(&role).unwrap()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(new_id(&RoleId::new("_-_").unwrap()).unwrap().as_str().starts_with("job-"));
        assert!(new_id(&RoleId::new("x".repeat(64)).unwrap()).is_ok());
        assert_eq!(new_session_id().unwrap().as_str().len(), GMUX.len() + 8);
    }
}
