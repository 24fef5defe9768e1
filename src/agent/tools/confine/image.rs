//! A container of Docker or Podman as the place where commands run.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Longest name of an image, in bytes.
const IMAGE_MAX: usize = 255;

/// What a container may take.
const MEMORY: &str = "--memory=4g";
const PROCESSES: &str = "--pids-limit=512";

/// Variables that a container gets from the environment of commands; the others name places of this machine.
const PASSED: &[&str] = &["LANG", "TERM", "TZ", "DARKMUX_JOB_ID", "DARKMUX_ATTEMPT_TOKEN"];

/// Why an image can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The name is none.
    #[error("`{0}` is no name of an image; write it as `rust:1.95` or `ghcr.io/owner/name:tag`")]
    Name(String),
    /// No engine.
    #[error("neither docker nor podman is on PATH; install one, or leave --image out")]
    NoEngine,
}

/// A container engine with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    engine: PathBuf,
    is_podman: bool,
    name: String,
    network: bool,
    read: Vec<PathBuf>,
}

/// The folders that a container sees, under the paths that they have outside.
#[derive(Debug, Clone, Copy)]
pub struct Mounts<'a> {
    /// The work directory.
    pub root: &'a Path,
    /// Where the command starts.
    pub cwd: &'a Path,
    /// The commands' temporary folder.
    pub temp: &'a Path,
    /// Whole outputs, to read.
    pub overflow: &'a Path,
}

impl Image {
    /// An image, with the first engine in the folders of `path`.
    pub fn new(image: &str, network: bool, path: &[PathBuf]) -> Result<Self, ImageError> {
        let is_name = image.len() <= IMAGE_MAX
            && image.starts_with(|c: char| c.is_ascii_alphanumeric())
            && image.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c));
        if !is_name {
            return Err(ImageError::Name(crate::util::visible_line(image).chars().take(80).collect()));
        }
        let found = ["docker", "podman"].iter().find_map(|name| {
            let program = path.iter().map(|dir| dir.join(name)).find(|program| program.is_file())?;
            Some((program, *name == "podman"))
        });
        let (engine, is_podman) = found.ok_or(ImageError::NoEngine)?;
        Ok(Self { engine, is_podman, name: image.to_owned(), network, read: Vec::new() })
    }

    /// Lets containers see these as well, to read.
    pub(super) fn read(&mut self, paths: Vec<PathBuf>) {
        self.read.extend(paths);
    }

    /// Whether a container sees this path beside its work directory.
    pub(super) fn reaches(&self, path: &Path) -> bool {
        self.read.iter().any(|seen| path.starts_with(seen))
    }

    /// Whether the container has a network.
    pub fn network(&self) -> bool {
        self.network
    }

    /// The command line that runs `script` with `command` in a new container called `name`.
    pub fn run(
        &self,
        name: &str,
        mounts: Mounts<'_>,
        env: &[(OsString, OsString)],
        script: [&str; 2],
    ) -> Result<Vec<OsString>, String> {
        let mut argv: Vec<OsString> = vec![self.engine.clone().into()];
        argv.extend(["run", "--rm", "--init", "--name", name, "--cap-drop=ALL"].map(OsString::from));
        argv.extend(["--security-opt=no-new-privileges", PROCESSES, MEMORY].map(OsString::from));
        if !self.network {
            argv.push("--network=none".into());
        }
        if self.is_podman {
            argv.push("--userns=keep-id".into());
        }
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        argv.push(format!("--user={user}:{group}").into());
        let own = [(mounts.root, ""), (mounts.temp, ""), (mounts.overflow, ",readonly")];
        // An engine refuses to mount what is not there.
        let further = self.read.iter().filter(|path| !path.starts_with(mounts.root) && path.exists());
        for (path, mode) in own.into_iter().chain(further.map(|path| (path.as_path(), ",readonly"))) {
            let text = plain(path)?;
            argv.push(format!("--mount=type=bind,source={text},target={text}{mode}").into());
        }
        argv.push(format!("--workdir={}", plain(mounts.cwd)?).into());
        let temp = plain(mounts.temp)?;
        argv.extend(["HOME", "TMPDIR"].map(|name| format!("--env={name}={temp}").into()));
        let passed = env
            .iter()
            .filter_map(|(name, _)| name.to_str())
            .filter(|name| PASSED.contains(name) || name.starts_with("LC_"));
        argv.extend(passed.map(|name| format!("--env={name}").into()));
        argv.extend(
            ["--entrypoint=/bin/sh", "--", &self.name, "-c", script[0], "sh", script[1]].map(OsString::from),
        );
        Ok(argv)
    }

    /// The command line that ends the container called `name`.
    pub fn kill(&self, name: &str) -> Vec<OsString> {
        [self.engine.clone().into(), "kill".into(), name.into()].into()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a container of `{}` ({})", self.name, if self.is_podman { "podman" } else { "docker" })
    }
}

/// A path that can stand in `--mount`, which separates by commas.
fn plain(path: &Path) -> Result<&str, String> {
    let text = path.to_str().filter(|text| !text.contains([',', '"']) && !text.chars().any(char::is_control));
    text.ok_or_else(|| {
        format!("`{}` can't be mounted in a container: it holds a comma or a quote", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("podman"), "").unwrap();
        let path = vec![dir.path().to_owned()];
        (dir, path)
    }

    #[test]
    fn a_name_that_is_an_option_or_worse_is_refused() {
        let (_dir, path) = engine();
        assert!(Image::new("rust:1.95-slim", true, &path).is_ok());
        assert!(Image::new("ghcr.io/a/b@sha256:00ff", true, &path).is_ok());
        for name in ["", "-v", "--privileged", "a b", "a;b", "a\nb", "ä", &"x".repeat(256)] {
            assert!(matches!(Image::new(name, true, &path), Err(ImageError::Name(_))), "{name}");
        }
        assert_eq!(Image::new("rust", true, &[]), Err(ImageError::NoEngine));
    }

    #[test]
    fn a_container_sees_the_work_directory_and_little_else() {
        let (_dir, path) = engine();
        let image = Image::new("rust:1.95", false, &path).unwrap();
        let (root, cwd) = (Path::new("/srv/w"), Path::new("/srv/w/sub"));
        let mounts = Mounts { root, cwd, temp: Path::new("/tmp/t"), overflow: Path::new("/srv/o") };
        let env = [("LANG", "C"), ("PATH", "/x"), ("HOME", "/home/ada")].map(|(k, v)| (k.into(), v.into()));
        let (borrowed, gone) = (path[0].clone(), path[0].join("gone"));
        let borrowed_mount = format!("--mount=type=bind,source={0},target={0},readonly", borrowed.display());
        let mut image = image;
        image.read(vec![borrowed.clone(), gone, root.join("sub")]);
        assert!(image.reaches(&borrowed.join("objects")) && !image.reaches(Path::new("/srv/w2")));
        let argv = image.run("darkmux-1", mounts, &env, ["eval \"$1\"", "ls"]).unwrap();
        let argv: Vec<_> = argv[1..].iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(argv[..5], ["run", "--rm", "--init", "--name", "darkmux-1"]);
        assert_eq!(argv.iter().filter(|word| word.starts_with("--mount=")).count(), 4, "{argv:?}");
        for word in [
            borrowed_mount.as_str(),
            "--cap-drop=ALL",
            "--network=none",
            "--userns=keep-id",
            "--mount=type=bind,source=/srv/w,target=/srv/w",
            "--mount=type=bind,source=/srv/o,target=/srv/o,readonly",
            "--workdir=/srv/w/sub",
            "--env=LANG",
            "--env=HOME=/tmp/t",
        ] {
            assert!(argv.contains(&word), "{word} in {argv:?}");
        }
        assert!(!argv.iter().any(|word| word.contains("/home/ada") || *word == "--env=PATH"));
        assert_eq!(argv[argv.len() - 6..], ["--", "rust:1.95", "-c", "eval \"$1\"", "sh", "ls"]);
        let comma = Mounts { root: Path::new("/a,b"), ..mounts };
        assert!(image.run("x", comma, &env, ["", ""]).is_err());
    }
}
