//! How commands of the built-in agent are confined on this machine.

use std::path::Path;

use super::{Check, Finding, Machine};
use crate::agent::tools::Confinement;
use crate::agent::tools::confine::Rules;

/// The sandbox.
pub struct Sandbox;

impl Check for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let confinement = Confinement::of_system(Rules::of(&machine.config));
        let keys = machine.config.paths.socket_key();
        // In a folder of their own, which is none of these.
        let opens_keys = confinement.reaches(Path::new("/nowhere"), &keys);
        judge(&confinement, opens_keys)
    }
}

fn judge(confinement: &Confinement, opens_keys: bool) -> Finding {
    let gaps = confinement.gaps().into_iter().map(str::to_owned).collect();
    let finding = confinement.to_string();
    match confinement {
        Confinement::Missing { .. } => Finding::warn(
            finding,
            "the built-in agent can read and change files here, but run nothing",
            "use a kernel with Landlock (Linux 5.13 or later; 6.7 or later to close the network), or dispatch with --image",
        ),
        _ if opens_keys => Finding::warn(
            finding,
            "sandbox.read or sandbox.write opens darkmux's own folder: commands can read its keys, and so act for you",
            "name the folders that commands need, and none that darkmux's own lies in",
        ),
        _ => Finding::pass(finding),
    }
    .details(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_sandbox_is_named_with_its_gaps_and_one_that_is_missing_warns() {
        let old = judge(&Confinement::Landlock { abi: 2, rules: Rules::default() }, false);
        assert_eq!(old.state, State::Pass);
        assert!(
            old.finding.contains("Landlock (ABI 2)")
                && old.finding.contains("lets files elsewhere be emptied")
        );
        let rules = Rules { read: vec!["/home/ada".into()], ..Rules::default() };
        let open = Confinement::Landlock { abi: 9, rules };
        let key = Path::new("/home/ada/.darkmux/socket-key");
        assert!(
            open.reaches(Path::new("/srv"), key)
                && !open.reaches(Path::new("/srv"), Path::new("/home/adam/x"))
        );
        let open = judge(&open, true);
        assert!(
            open.state == State::Warn && open.why.as_ref().is_some_and(|why| why.contains("act for you"))
        );
        let missing = judge(&Confinement::Missing { why: "it is switched off".into() }, false);
        assert_eq!(missing.state, State::Warn);
        assert!(missing.finding.contains("refused") && missing.finding.contains("it is switched off"));
    }
}
