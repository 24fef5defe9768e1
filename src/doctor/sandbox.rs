//! How commands of the built-in agent are confined on this machine.

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
        judge(&Confinement::of_system(Rules::of(&machine.config)))
    }
}

fn judge(confinement: &Confinement) -> Finding {
    let gaps = confinement.gaps().into_iter().map(str::to_owned).collect();
    let finding = confinement.to_string();
    match confinement {
        Confinement::Missing { .. } => Finding::warn(
            finding,
            "the built-in agent can read and change files here, but run nothing",
            "use a kernel with Landlock (Linux 5.13 or later), or dispatch with --image",
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
        let old = judge(&Confinement::Landlock { abi: 2, rules: Rules::default() });
        assert_eq!(old.state, State::Pass);
        assert!(
            old.finding.contains("Landlock (ABI 2)")
                && old.finding.contains("lets files elsewhere be emptied")
        );
        let missing = judge(&Confinement::Missing { why: "it is switched off".into() });
        assert_eq!(missing.state, State::Warn);
        assert!(missing.finding.contains("refused") && missing.finding.contains("it is switched off"));
    }
}
