//! Landlock, Linux' sandbox that a process puts itself into.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::Rules;

/// The newest interface that is used; an older kernel refuses less.
const NEWEST: ABI = ABI::V9;

/// The first interface that closes a network.
const CLOSES_NETWORK: ABI = ABI::V4;

/// Which version of Landlock this kernel has, found by confining a thread that ends at once.
pub fn probe() -> Result<u32, String> {
    // What can be had, whatever is asked for: an open network asks for nothing that an old kernel lacks.
    let tried = std::thread::spawn(|| restrict(&Rules { network: true, ..Rules::default() }));
    match tried.join().map_err(|_| "Landlock can't be tried out".to_owned())? {
        Ok(RestrictionStatus {
            landlock: LandlockStatus::Available { effective_abi, .. }, ruleset, ..
        }) if ruleset != RulesetStatus::NotEnforced => Ok(effective_abi as u32),
        Ok(RestrictionStatus { landlock: LandlockStatus::NotEnabled, .. }) => {
            Err("Landlock is switched off in this kernel (boot with `lsm=landlock,…`)".into())
        }
        Ok(_) => Err("this kernel has no Landlock (it is in Linux from 5.13 on)".into()),
        Err(error) => Err(format!("Landlock does not work here: {error}")),
    }
}

/// Confines the calling thread, for good, and all that it starts. Fails where the kernel would not do it, and where it
/// can't close a network that is to be closed.
pub fn close(rules: &Rules) -> Result<(), String> {
    let status = restrict(rules).map_err(|error| format!("Landlock: {error}"))?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("this kernel does not confine commands".into());
    }
    drop_capabilities().map_err(|error| format!("the superuser's rights can't be dropped: {error}"))
}

/// What the superuser keeps: what it takes to work with files of several owners. With the others it could read
/// other processes' environment and memory, which Landlock leaves to them.
fn drop_capabilities() -> std::io::Result<()> {
    let kept =
        CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER | CapabilitySet::FSETID;
    let CapabilitySets { permitted, .. } = capabilities(None)?;
    let left = permitted & kept;
    let sets = CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() };
    // A program that is executed regains nothing: the thread may get no new rights any more.
    Ok(set_capabilities(None, sets)?)
}

fn restrict(rules: &Rules) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if !rules.network {
        // What this version brought must be had; what came later, as far as it can be.
        ruleset = ruleset
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessNet::from_all(CLOSES_NETWORK))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessNet::from_all(NEWEST))?;
    }
    ruleset
        .create()?
        .add_rules(path_beneath_rules(&rules.read, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(&rules.write, AccessFs::from_all(NEWEST)))?
        .restrict_self()
}
