//! What git in a folder reads outside of it: objects that a job's repository borrows, and the repository of a linked work tree.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::mirror::borrowed_by;
use crate::store::open_in;

/// Longest of git's files that name a folder, in bytes.
const NAME_MAX: u64 = 4096;

/// What git in `folder` needs to read elsewhere. A job may write anything into its folder, so nothing counts that is
/// not said where it cannot write, too: below `mirrors`, or in the repository that the work tree belongs to.
pub fn borrowed(mirrors: &Path, folder: &Path) -> Vec<PathBuf> {
    if folder.join(".git").is_file() { of_work_tree(folder) } else { of_job(mirrors, folder) }
}

/// The objects of a job's mirror, and those that the mirror borrows.
fn of_job(mirrors: &Path, folder: &Path) -> Vec<PathBuf> {
    let own = borrowed_by(&folder.join(".git/objects"));
    let mirror = own.into_iter().find(|objects| {
        objects.file_name().is_some_and(|name| name == "objects")
            && objects.parent().and_then(Path::parent) == Some(mirrors)
    });
    let Some(mirror) = mirror else { return Vec::new() };
    let further = borrowed_by(&mirror);
    [mirror].into_iter().chain(further).collect()
}

/// The repository of a linked work tree (`git worktree add`), where that knows this folder.
fn of_work_tree(folder: &Path) -> Vec<PathBuf> {
    let found = || {
        let folder = folder.canonicalize().ok()?;
        let link = line(&folder, ".git")?;
        let own = folder.join(link.strip_prefix("gitdir: ")?).canonicalize().ok()?;
        if own.starts_with(&folder) {
            return None;
        }
        let repository = own.parent().filter(|dir| dir.ends_with("worktrees"))?.parent()?;
        let is_one = repository.join("HEAD").is_file() && repository.join("objects").is_dir();
        let back = own.join(line(&own, "gitdir")?).canonicalize().ok()?;
        (is_one && back == folder.join(".git")).then(|| repository.to_owned())
    };
    found().into_iter().collect()
}

/// The first line of a small file in a folder.
fn line(folder: &Path, name: &str) -> Option<String> {
    let mut text = String::new();
    open_in(folder, name).ok()?.take(NAME_MAX).read_to_string(&mut text).ok()?;
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_borrows_what_its_mirror_has_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let (mirrors, folder) = (root.path().join("mirrors"), root.path().join("job"));
        let write = |objects: &Path, lines: &str| {
            fs::create_dir_all(objects.join("info")).unwrap();
            fs::write(objects.join("info/alternates"), lines).unwrap();
        };
        let mirror = mirrors.join("a.git/objects");
        let own = folder.join(".git/objects");
        assert!(borrowed(&mirrors, &folder).is_empty());
        write(&mirror, "/home/ada/repo/.git/objects\n");
        write(&own, &format!("/home/ada/.ssh\n{}\n", mirror.display()));
        let expected = vec![mirror.clone(), PathBuf::from("/home/ada/repo/.git/objects")];
        assert_eq!(borrowed(&mirrors, &folder), expected);
        for stranger in ["/home/ada/.ssh\n", "/other/a.git/objects\n", "mirrors/a.git/objects\n"] {
            write(&own, stranger);
            assert!(borrowed(&mirrors, &folder).is_empty(), "{stranger}");
        }
        write(&own, &format!("{}/../../../secret/objects\n", mirror.display()));
        assert!(borrowed(&mirrors, &folder).is_empty());
    }

    #[test]
    fn a_work_tree_reads_the_repository_that_knows_it_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (mirrors, folder, repository) = (root.join("mirrors"), root.join("tree"), root.join("repo/.git"));
        let own = repository.join("worktrees/tree");
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(repository.join("objects")).unwrap();
        fs::write(repository.join("HEAD"), "").unwrap();
        fs::create_dir_all(&folder).unwrap();
        let link = |to: &Path| fs::write(folder.join(".git"), format!("gitdir: {}\n", to.display())).unwrap();
        link(&own);
        assert!(borrowed(&mirrors, &folder).is_empty(), "it does not know the folder");
        fs::write(own.join("gitdir"), format!("{}\n", folder.join(".git").display())).unwrap();
        assert_eq!(borrowed(&mirrors, &folder), std::slice::from_ref(&repository));
        fs::write(own.join("gitdir"), "../../../../tree/.git\n").unwrap();
        assert_eq!(borrowed(&mirrors, &folder), [repository], "newer versions of git may name it so");
        for stranger in ["/etc", "/home/ada/.ssh", "../repo", "\0"] {
            link(Path::new(stranger));
            assert!(borrowed(&mirrors, &folder).is_empty(), "{stranger}");
        }
        // Another one's folder, which a job may name, does not know this one.
        fs::write(own.join("gitdir"), "/srv/other/.git\n").unwrap();
        link(&own);
        assert!(borrowed(&mirrors, &folder).is_empty());
    }

    #[test]
    fn a_job_does_not_make_its_own_folder_lead_to_what_holds_it() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let folder = home.join("worktrees/job");
        for name in ["HEAD", "fleet-key"] {
            fs::write(home.join(name), "").unwrap();
        }
        fs::create_dir_all(home.join("objects")).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("gitdir"), folder.join(".git").to_str().unwrap()).unwrap();
        for to in [".", "../job"] {
            fs::write(folder.join(".git"), format!("gitdir: {to}\n")).unwrap();
            assert!(borrowed(&home.join("mirrors"), &folder).is_empty(), "{to}");
        }
    }
}
