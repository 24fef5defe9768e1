//! Bundles: packs of objects, made as small as the receiver allows, and taken in by what they say.

use super::git::{Git, Pieces, Printed};
use super::{Snapshot, WorkspaceError};
use crate::util::human;
use crate::wire::{BUNDLE_MAX, COMMITS_MAX, FETCH_MAX};

/// A repository with more in its packs is not tried whole, in KiB.
const WHOLE_MAX_KIB: u64 = 64 * 1024;

/// A bundle that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The pack.
    pub bytes: Vec<u8>,
    /// Commits that the receiver must have.
    pub needs: Vec<String>,
    /// Commits whose parents are left out.
    pub shallow: Vec<String>,
}

impl Packed {
    /// Everything that is needed for a snapshot, in the first of three forms that is small enough: with all history, with none,
    /// or only what no remote has, for a machine that has the rest.
    pub async fn of(git: &Git, snapshot: &Snapshot) -> Result<Self, WorkspaceError> {
        let Snapshot { base, state, shallow, .. } = snapshot;
        if shallow.len() <= COMMITS_MAX
            && size_kib(git).await? <= WHOLE_MAX_KIB
            && let Some(bytes) = pack(git, &format!("{state}\n"), false).await?
        {
            return Ok(Self { bytes, needs: Vec::new(), shallow: shallow.clone() });
        }
        if let Some(bytes) = pack(git, &format!("--shallow {base}\n{state}\n"), false).await? {
            return Ok(Self { bytes, needs: Vec::new(), shallow: vec![base.clone()] });
        }
        let needs = boundary(git, state).await?;
        if !needs.is_empty()
            && let Some(bytes) = pack(git, &without(state, &needs), true).await?
        {
            return Ok(Self { bytes, needs, shallow: Vec::new() });
        }
        let most = human::bytes(BUNDLE_MAX as u64);
        let why = if needs.is_empty() {
            format!("no remote has a part of it, and all of it has more than {most}")
        } else {
            format!("what no remote has yet, committed or not, has more than {most}")
        };
        Err(WorkspaceError::Refused(format!(
            "the repository is too large to travel: {why}; push, have git ignore what need not travel, or name a folder \
             of the other machine by --workdir"
        )))
    }

    /// What a commit adds to those that the receiver has; `None` when that is more than `most` bytes.
    pub async fn between(
        git: &Git,
        known: &[String],
        commit: &str,
        most: usize,
    ) -> Result<Option<Self>, WorkspaceError> {
        let bytes = pack_at_most(git, &without(commit, known), true, most).await?;
        Ok(bytes.map(|bytes| Self { bytes, needs: known.to_vec(), shallow: Vec::new() }))
    }
}

fn without(commit: &str, known: &[String]) -> String {
    let known = known.iter().map(|known| format!("^{known}\n"));
    std::iter::once(format!("{commit}\n")).chain(known).collect()
}

async fn pack(git: &Git, revs: &str, thin: bool) -> Result<Option<Vec<u8>>, WorkspaceError> {
    pack_at_most(git, revs, thin, BUNDLE_MAX).await
}

async fn pack_at_most(
    git: &Git,
    revs: &str,
    thin: bool,
    most: usize,
) -> Result<Option<Vec<u8>>, WorkspaceError> {
    let mut args = vec!["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"];
    if thin {
        args.push("--thin");
    }
    git.at_most(&args, revs.as_bytes(), most).await
}

/// What the repository's objects take, in KiB.
async fn size_kib(git: &Git) -> Result<u64, WorkspaceError> {
    let counted = git.text(&["count-objects", "-v"]).await?;
    let sizes = counted.lines().filter_map(|line| {
        let size = line.strip_prefix("size: ").or_else(|| line.strip_prefix("size-pack: "))?;
        size.parse::<u64>().ok()
    });
    Ok(sizes.sum())
}

/// The newest commits below `state` that a remote has.
async fn boundary(git: &Git, state: &str) -> Result<Vec<String>, WorkspaceError> {
    let listed = git.text(&["rev-list", "--boundary", state, "--not", "--remotes"]).await?;
    let needs = listed.lines().filter_map(|line| line.strip_prefix('-')).map(str::to_owned);
    Ok(needs.take(COMMITS_MAX).collect())
}

/// Takes a pack in, after its hashes were checked by git. Makes nothing lead to it.
pub async fn unpack(git: &Git, bytes: &[u8]) -> Result<(), WorkspaceError> {
    let most = format!("--max-input-size={BUNDLE_MAX}");
    git.bytes(&["index-pack", "--stdin", "--fix-thin", &most], bytes).await.map(|_| ())
}

/// As [`unpack`], of a pack of at most so many bytes that comes piece by piece.
pub async fn take_in(git: &Git, pieces: Pieces, most: u64) -> Result<(), WorkspaceError> {
    let most = format!("--max-input-size={most}");
    git.feed(&["index-pack", "--stdin", &most], pieces).await
}

/// A commit and everything that it leads to but the history before `base`, as a pack that comes piece by piece.
pub async fn without_history(git: &Git, base: &str, commit: &str) -> Result<Printed, WorkspaceError> {
    let args = ["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"];
    git.prints(&args, format!("--shallow {base}\n{commit}\n").as_bytes(), FETCH_MAX).await
}

/// What a commit adds to another one, as a pack that comes piece by piece and leans on nothing.
pub async fn upon(git: &Git, known: &str, commit: &str) -> Result<Printed, WorkspaceError> {
    let args = ["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"];
    git.prints(&args, without(commit, &[known.to_owned()]).as_bytes(), FETCH_MAX).await
}

/// Whether everything that a commit leads to is there.
pub async fn check_whole(git: &Git, commit: &str, known: &[String]) -> Result<(), WorkspaceError> {
    let revs = without(commit, known);
    let args = ["rev-list", "--objects", "--quiet", "--stdin"];
    let whole = git.says(&args, revs.as_bytes()).await?;
    whole.map_err(|_| WorkspaceError::Refused("its bundle is not whole: objects are missing".to_owned()))
}
