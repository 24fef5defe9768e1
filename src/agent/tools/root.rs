//! The work directory, and opening what lies in it.
//!
//! Invariant: what is opened here lay below the root when it was opened, whatever links and `..` its path holds and
//! whoever changes them meanwhile. The kernel resolves the path (`openat2`), or [`walk`] does where it can't; no
//! path is checked first and used later.
//!
//! Not here: what the tools do with a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{Refusal, walk};
use crate::store::read_open;
use crate::util::{closest, visible_line};

/// Longest path that is looked at, in bytes.
const PATH_MAX: usize = 4096;

/// How many links a path may hold, as the kernel counts.
const LINKS_MAX: usize = 40;

/// How often the kernel is asked again after something was renamed while it looked.
#[cfg(target_os = "linux")]
const TRIES: usize = 16;

/// Names of a folder that are looked through for the one that was meant.
const NAMES_MAX: usize = 2000;

/// The folder that a role works in.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    given: PathBuf,
    dir: OwnedFd,
    kernel: bool,
}

/// A name in an open folder below the root: where a file is, or will be. The name is no link.
#[derive(Debug)]
pub struct Slot {
    dir: OwnedFd,
    name: OsString,
    /// The path from the root, links at its end followed.
    pub at: PathBuf,
}

impl Root {
    /// Opens the folder at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let real = path.canonicalize()?;
        let dir = rustix::fs::openat(CWD, &real, flags, Mode::empty())?;
        let mut root = Self { path: real, given: path.to_owned(), dir, kernel: cfg!(target_os = "linux") };
        root.kernel = root.kernel && root.resolve(Path::new("."), flags).is_ok();
        Ok(root)
    }

    /// Its path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path from the root that a model's words mean. It may still lead out: opening it tells.
    pub fn place(&self, given: &str) -> Result<PathBuf, Refusal> {
        let shown = || visible_line(&given.chars().take(200).collect::<String>()).into_owned();
        if given.contains('\0') || given.len() > PATH_MAX {
            return Err(Refusal::new(format!("`{}` is no path: it holds a NUL or is too long", shown())));
        }
        let path = Path::new(given);
        let relative = if path.is_absolute() {
            path.strip_prefix(&self.path).or_else(|_| path.strip_prefix(&self.given)).map_err(|_| {
                let root = self.path.display();
                Refusal::new(format!(
                    "`{}` is outside of the work directory `{root}`; use a path relative to it",
                    shown()
                ))
            })?
        } else {
            path
        };
        let plain: PathBuf = relative.components().collect();
        Ok(if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain })
    }

    /// Opens a file or folder for reading. It never waits for a pipe's other end.
    pub fn read(&self, place: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(self.resolve(place, flags)?))
    }

    /// Opens a folder; with `make`, what is missing of it is made.
    pub fn folder(&self, place: &Path, make: bool) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match self.resolve(place, flags) {
            Err(error) if make && error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        let name = place.file_name().ok_or(io::ErrorKind::NotFound)?;
        let above = self.folder(parent(place), true)?;
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
            // EXIST: somebody was quicker, or it is a link that leads nowhere; opening it tells.
            Ok(()) | Err(Errno::EXIST) => self.resolve(place, flags),
            Err(error) => Err(error.into()),
        }
    }

    /// Where a file is or will be, a link at the end of its path followed; with `make`, its folder is made.
    pub fn slot(&self, place: &Path, make: bool) -> io::Result<Slot> {
        let mut at = place.to_owned();
        for _ in 0..LINKS_MAX {
            let name = at.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
            let dir = self.folder(parent(&at), make)?;
            match rustix::fs::readlinkat(&dir, &name, Vec::new()) {
                Ok(target) => {
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        return Err(Errno::XDEV.into());
                    }
                    at = at.parent().unwrap_or(Path::new("")).join(target);
                }
                Err(Errno::INVAL | Errno::NOENT) => {
                    return Ok(Slot { dir, name, at: at.components().collect() });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::LOOP.into())
    }

    /// Whether a file lies in git's own folder, whatever links led there.
    pub fn is_git_own(&self, slot: &Slot) -> bool {
        let real = || Some(path_of(&slot.dir)?.strip_prefix(path_of(&self.dir)?).ok()?.join(&slot.name));
        is_git_own(&slot.at) || real().is_some_and(|place| is_git_own(&place))
    }

    /// What went wrong with `place`, in words that say what to do.
    pub fn refusal(&self, place: &Path, error: &io::Error) -> Refusal {
        let shown = show(place);
        let text = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::XDEV) => {
                format!(
                    "`{shown}` leads out of the work directory, by `..` or by a link; only files in it can be used"
                )
            }
            Some(Errno::LOOP) => format!("`{shown}`: its links lead in a circle"),
            Some(Errno::NOENT) => return self.missing(place),
            Some(Errno::NOTDIR) => format!("`{shown}`: a part of the path is a file and no folder"),
            Some(Errno::ACCESS | Errno::PERM) => format!("`{shown}`: permission denied"),
            _ if error.kind() == io::ErrorKind::IsADirectory => format!("`{shown}` is a folder"),
            _ => format!("`{shown}`: {error}"),
        };
        Refusal::new(text)
    }

    fn missing(&self, place: &Path) -> Refusal {
        let near = || {
            let name = place.file_name()?.to_str()?;
            let names = names(&self.folder(parent(place), false).ok()?);
            closest(name, names.iter().filter_map(|name| name.to_str())).map(str::to_owned)
        };
        let hint = match near() {
            Some(near) => {
                format!("; did you mean `{}`?", show(&parent(place).join(near)).trim_start_matches("./"))
            }
            None => "; `search` with a `glob` and no `pattern` lists files".to_owned(),
        };
        Refusal::new(format!("there is no `{}`{hint}", show(place)))
    }

    fn resolve(&self, place: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        #[cfg(target_os = "linux")]
        if self.kernel {
            use rustix::fs::{ResolveFlags, openat2};
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            for _ in 0..TRIES {
                match openat2(&self.dir, place, flags, Mode::empty(), beneath) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    opened => return Ok(opened?),
                }
            }
        }
        Ok(walk::open(&self.dir, place, flags, LINKS_MAX)?)
    }
}

impl Slot {
    /// Opens the file that is there.
    pub fn read(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?))
    }

    /// Puts a file with these bytes there as one step: who looks sees the old one or the new one. `mode` is the
    /// old one's; without it the file is new.
    pub fn replace(&self, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
        let beside = format!(".darkmux-{:016x}", getrandom::u64().map_err(io::Error::other)?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let first = Mode::from_bits_truncate(if mode.is_some() { 0o600 } else { 0o666 });
        let mut file = File::from(rustix::fs::openat(&self.dir, &beside, flags, first)?);
        let written = file.write_all(bytes).and_then(|()| {
            if let Some(mode) = mode {
                use std::os::unix::fs::PermissionsExt;
                file.set_permissions(std::fs::Permissions::from_mode(mode & 0o7777))?;
            }
            Ok(rustix::fs::renameat(&self.dir, &beside, &self.dir, &self.name)?)
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.dir, &beside, AtFlags::empty());
        }
        written
    }
}

/// Reads at most `bound` bytes; `None` when there are more.
pub fn read_whole(file: &File, bound: usize) -> io::Result<Option<Vec<u8>>> {
    match read_open(file, bound as u64) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where an open folder lies.
#[cfg(target_os = "linux")]
fn path_of(dir: &OwnedFd) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).ok()
}

/// Where an open folder lies.
#[cfg(not(target_os = "linux"))]
fn path_of(dir: &OwnedFd) -> Option<PathBuf> {
    let path = rustix::fs::getpath(dir).ok()?;
    Some(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

/// Whether a part of the path is git's own folder.
pub fn is_git_own(place: &Path) -> bool {
    place
        .components()
        .any(|part| matches!(part, Component::Normal(name) if name.eq_ignore_ascii_case(".git")))
}

/// The names in a folder, a bounded number of them, sorted.
pub fn names(dir: &OwnedFd) -> Vec<OsString> {
    let entries = rustix::fs::Dir::read_from(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_bytes().to_vec());
    let own = |name: &Vec<u8>| !matches!(name.as_slice(), b"." | b"..");
    let mut names: Vec<_> = names.filter(own).take(NAMES_MAX).map(OsString::from_vec).collect();
    names.sort();
    names
}

/// A path for a person or a model, on one line.
pub fn show(path: &Path) -> String {
    visible_line(&String::from_utf8_lossy(path.as_os_str().as_bytes())).into_owned()
}

fn parent(place: &Path) -> &Path {
    place.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    /// A work directory with a secret beside it, opened in both ways.
    fn roots() -> (tempfile::TempDir, Vec<Root>) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("file"), "file").unwrap();
        std::fs::write(root.join("sub/deep/file"), "deep").unwrap();
        let kernel = Root::open(&root).unwrap();
        let walked = Root { kernel: false, ..Root::open(&root).unwrap() };
        (dir, vec![kernel, walked])
    }

    fn text(file: &File) -> String {
        String::from_utf8(read_whole(file, 100).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn paths_and_links_lead_nowhere_else() {
        let (dir, roots) = roots();
        let root = dir.path().join("root");
        for (target, link) in [
            ("../secret", "out"),
            ("/etc/passwd", "etc"),
            ("/etc", "etcdir"),
            ("..", "up"),
            ("sub/deep", "in"),
            ("sub/../file", "around"),
            ("self", "self"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(dir.path().join("secret"), root.join("sub/absolute")).unwrap();
        for root in &roots {
            for path in [
                "../secret",
                "sub/../../secret",
                "out",
                "etc",
                "etcdir/passwd",
                "up/secret",
                "sub/absolute",
                "..",
            ] {
                let error = root.read(Path::new(path)).unwrap_err();
                assert_eq!(Errno::from_io_error(&error), Some(Errno::XDEV), "{path}: {error}");
                assert!(root.slot(Path::new(path), true).is_err() || path == "..", "{path}");
                let Refusal(words) = root.refusal(Path::new(path), &error);
                assert!(words.contains("leads out of the work directory"), "{words}");
            }
            for (path, inside) in [
                ("in/file", "deep"),
                ("around", "file"),
                ("sub/../file", "file"),
                ("./sub/./deep/file", "deep"),
            ] {
                assert_eq!(text(&root.read(Path::new(path)).unwrap()), inside, "{path}");
            }
            assert_eq!(Errno::from_io_error(&root.read(Path::new("self")).unwrap_err()), Some(Errno::LOOP));
            assert!(root.place("/etc/passwd").is_err() && root.place("a\0b").is_err());
            assert!(root.place(&"x".repeat(PATH_MAX + 1)).is_err());
            let inside = format!("{}/file", root.path().display());
            assert_eq!(root.place(&inside).unwrap(), Path::new("file"));
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("secret")).unwrap(), "secret");
    }

    #[test]
    fn a_file_is_replaced_as_one_step_where_its_link_leads_and_keeps_its_mode() {
        let (dir, roots) = roots();
        let file = dir.path().join("root/sub/deep/file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o750)).unwrap();
        symlink("sub/deep", dir.path().join("root/in")).unwrap();
        symlink("in/file", dir.path().join("root/link")).unwrap();
        for root in &roots {
            let slot = root.slot(Path::new("link"), false).unwrap();
            let old = slot.read().unwrap().metadata().unwrap();
            slot.replace(root.path().as_os_str().as_bytes(), Some(old.mode())).unwrap();
            let new = std::fs::metadata(&file).unwrap();
            assert_eq!((new.mode() & 0o7777, old.ino() == new.ino()), (0o750, false));
            assert_eq!(slot.at, Path::new("in/file"));
            let made = root.slot(Path::new("new/a/b"), true).unwrap();
            made.replace(b"x", None).unwrap();
            assert_eq!(std::fs::read(root.path().join("new/a/b")).unwrap(), b"x");
            std::fs::remove_dir_all(root.path().join("new")).unwrap();
        }
        assert!(std::fs::symlink_metadata(dir.path().join("root/link")).unwrap().is_symlink());
        assert_eq!(names(&roots[0].folder(Path::new("sub/deep"), false).unwrap()), ["file"]);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_may_be_meant() {
        let (_dir, roots) = roots();
        let place = Path::new("sub/deep/fiel");
        let Refusal(words) = roots[0].refusal(place, &roots[0].read(place).unwrap_err());
        assert_eq!(words, "there is no `sub/deep/fiel`; did you mean `sub/deep/file`?");
    }

    fn part() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["..", ".", "a", "b", "c", "file", "", "x"]).prop_map(str::to_owned)
    }

    fn path() -> impl Strategy<Value = String> {
        let parts = prop::collection::vec(part(), 1..7).prop_map(|parts| parts.join("/"));
        parts.prop_filter("no empty path", |path| !path.is_empty())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Trees full of links: both ways of resolving agree, and nothing outside is ever opened.
        #[test]
        fn both_ways_agree_and_stay_inside(
            links in prop::collection::vec((prop::sample::select(vec!["a/x", "a/b/x", "b/x", "x", "c"]), path()), 0..6),
            paths in prop::collection::vec(path(), 1..12),
        ) {
            let (dir, roots) = roots();
            let inside = roots[0].path().to_owned();
            std::fs::create_dir_all(inside.join("a/b")).unwrap();
            std::fs::create_dir_all(inside.join("b")).unwrap();
            std::fs::write(inside.join("a/file"), "").unwrap();
            for (link, target) in &links {
                let _ = symlink(target, inside.join(link));
            }
            for path in &paths {
                let Ok(place) = roots[0].place(path) else { continue };
                let opened: Vec<_> = roots.iter().map(|root| root.read(&place)).collect();
                let same = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).unwrap();
                match (&opened[0], &opened[1]) {
                    (Ok(one), Ok(other)) => {
                        prop_assert_eq!(same(one), same(other), "{}", path);
                        let real = inside.join(&place).canonicalize().unwrap();
                        prop_assert!(real.starts_with(&inside), "{} is {}", path, real.display());
                    }
                    (Err(_), Err(_)) => {}
                    _ => prop_assert!(false, "{path}: {opened:?}"),
                }
                if let Ok(slot) = roots[1].slot(&place, true) && slot.replace(b"new", None).is_ok() {
                    let folder = inside.join(parent(&slot.at)).canonicalize().unwrap();
                    prop_assert!(folder.starts_with(&inside), "{} is in {}", path, folder.display());
                }
            }
            let beside: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            prop_assert_eq!(beside.len(), 2, "{:?}", beside);
            prop_assert_eq!(std::fs::read_to_string(dir.path().join("secret")).unwrap(), "secret");
        }
    }
}
