//! The tokens: whether others may read them, how old they are, and who can reach the daemon.

use std::fs;
use std::time::Duration;

use super::{Check, Finding, Machine};
use crate::config::Paths;
use crate::serve::auth::{NamedTokens, TokenError, TokenFile};
use crate::serve::reach;
use crate::util::human;

/// Age at which a token is worth a new one.
const OLD: Duration = Duration::from_hours(365 * 24);

/// The tokens of this home.
pub struct Tokens;

impl Check for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let bind = machine.config.serve().bind;
        let found = match look(&machine.config.paths) {
            Ok(found) => found,
            Err(error) => {
                let why =
                    "whoever has the token can do on this machine what you can; the daemon does not take it";
                return Finding::fail(error.to_string(), why, "darkmux auth rotate");
            }
        };
        if !reach::is_safe(bind) {
            let why = "the daemon speaks plain HTTP: whoever is on the way can read terminals and the token";
            let fix = "darkmux config set serve.bind 127.0.0.1   # and ssh or a tailnet from elsewhere";
            return Finding::warn(format!("{found}; the daemon listens on {bind}"), why, fix);
        }
        let now =
            std::time::UNIX_EPOCH + Duration::from_millis(crate::util::clock::unix_ms(machine.clock.now()));
        match age(&machine.config.paths, now) {
            Some(age) if age > OLD => Finding::warn(
                format!("{found}, and {} old", human::duration(age)),
                "what was copied long ago may lie in places that nobody remembers",
                "darkmux auth rotate   # signs every browser out",
            ),
            Some(age) => Finding::pass(format!("{found}, {} old", human::duration(age))),
            None => Finding::pass(found),
        }
    }
}

fn look(paths: &Paths) -> Result<String, TokenError> {
    let token = TokenFile::new(paths.auth_token()).read()?;
    TokenFile::new(paths.fleet_token()).read()?;
    let further = NamedTokens::new(paths.read_only_tokens()).read()?.len();
    let machines = NamedTokens::new(paths.machine_tokens()).read()?.len();
    let Some(_) = token else { return Ok("none yet; the daemon makes one at its first start".to_owned()) };
    let further = if further == 0 { String::new() } else { format!(", {further} read-only") };
    let machines = if machines == 0 { String::new() } else { format!(", {machines} of joined machines") };
    Ok(format!("yours alone{further}{machines}"))
}

fn age(paths: &Paths, now: std::time::SystemTime) -> Option<Duration> {
    let modified = fs::symlink_metadata(paths.auth_token()).ok()?.modified().ok()?;
    now.duration_since(modified).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::doctor::State;
    use crate::util::Clock;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_that_others_may_read_fails_and_an_old_one_warns() {
        let home = tempfile::tempdir().unwrap();
        let found = |clock: Clock, bind: &str| {
            let home = home.path().to_str().unwrap();
            let env = Environment::of([("DARKMUX_HOME", home), ("DARKMUX_SERVE_BIND", bind)]);
            Tokens.run(&Machine::of(env, clock).unwrap())
        };
        let near = "127.0.0.1";
        assert!(found(Clock::System, near).finding.contains("none yet"));
        let file = TokenFile::new(home.path().join("auth-token"));
        let token = file.ensure().unwrap();
        let passed = found(Clock::System, near);
        assert!(passed.state == State::Pass && passed.finding.starts_with("yours alone"), "{passed:?}");
        let later = Clock::manual("2999-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(found(later, near).state, State::Warn);
        assert!(found(Clock::System, "192.168.1.7").finding.contains("192.168.1.7"));
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let open = found(Clock::System, near);
        assert!(open.state == State::Fail && open.finding.contains("644"), "{open:?}");
        assert!(!format!("{open:?}").contains(token.expose()));
    }
}
