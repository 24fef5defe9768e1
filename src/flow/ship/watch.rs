//! Waiting for the day files to grow, without asking all the time.
//!
//! On Linux the folder is watched by inotify, with a slow look beside it for file systems that tell nothing. On
//! macOS the folder is looked at five times a second: its own notices come late and cost a thread.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks where nothing tells of a change.
#[cfg(not(target_os = "linux"))]
const LOOK: Duration = Duration::from_millis(200);
#[cfg(target_os = "linux")]
const LOOK: Duration = Duration::from_secs(1);

/// Time between two looks beside the notices; as seldom as Redis is asked whether it has everything, and then at the
/// same moment.
#[cfg(target_os = "linux")]
const SLOW_LOOK: Duration = Duration::from_secs(15);

/// Watches one folder.
#[derive(Debug)]
pub struct Watcher {
    dir: PathBuf,
    #[cfg(target_os = "linux")]
    notices: Option<notices::Notices>,
}

impl Watcher {
    /// Notices what changes from now on.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            #[cfg(target_os = "linux")]
            notices: notices::Notices::of(dir).ok(),
        }
    }

    /// Resolves when something may have changed since the last time, and after some seconds in any case.
    pub async fn changed(&mut self) {
        #[cfg(target_os = "linux")]
        {
            if let Some(notices) = &self.notices {
                let noticed = tokio::time::timeout(SLOW_LOOK, notices.changed()).await;
                let is_well = matches!(noticed, Err(_) | Ok(Ok(()))) && notices.is_of(&self.dir);
                if is_well {
                    return;
                }
            }
            // There is no folder yet, or another one. Beside it, and before it is looked for again, so that it is noticed
            // whenever it is made.
            let beside = self.dir.parent().and_then(|dir| notices::Notices::of(dir).ok());
            self.notices = notices::Notices::of(&self.dir).ok().or(beside);
            if self.notices.is_some() {
                return;
            }
        }
        let _ = &self.dir;
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(target_os = "linux")]
mod notices {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use rustix::fs::inotify;
    use tokio::io::unix::AsyncFd;

    /// Notices of one folder.
    #[derive(Debug)]
    pub struct Notices {
        fd: AsyncFd<OwnedFd>,
        folder: (u64, u64),
    }

    impl Notices {
        pub fn of(dir: &Path) -> io::Result<Self> {
            use inotify::WatchFlags as On;
            let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            inotify::add_watch(&fd, dir, On::MODIFY | On::CREATE | On::MOVED_TO | On::ONLYDIR)?;
            // Safe with a descriptor that it owns; its successor is marked unsafe for those that lend theirs.
            #[allow(deprecated)]
            let fd = AsyncFd::new(fd)?;
            Ok(Self { fd, folder: folder(dir)? })
        }

        pub fn is_of(&self, dir: &Path) -> bool {
            folder(dir).is_ok_and(|folder| folder == self.folder)
        }

        /// Resolves when there was a notice; takes all that are there.
        pub async fn changed(&self) -> io::Result<()> {
            let mut buffer = [0; 4096];
            loop {
                let mut ready = self.fd.readable().await?;
                let mut any = false;
                loop {
                    match rustix::io::read(self.fd.get_ref(), &mut buffer[..]) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(_) => any = true,
                        Err(rustix::io::Errno::AGAIN) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                ready.clear_ready();
                if any {
                    return Ok(());
                }
            }
        }
    }

    fn folder(dir: &Path) -> io::Result<(u64, u64)> {
        let meta = std::fs::metadata(dir)?;
        Ok((meta.dev(), meta.ino()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn growth_is_noticed_also_in_a_folder_that_comes_later() {
        let dir = tempfile::tempdir().unwrap();
        let flows = dir.path().join("flows");
        let mut watcher = Watcher::new(&flows);
        std::fs::create_dir(&flows).unwrap();
        watcher.changed().await;
        for _ in 0..3 {
            let began = Instant::now();
            std::fs::write(flows.join("x"), "y").unwrap();
            watcher.changed().await;
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_missing_is_not_looked_for_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let flows = dir.path().join("flows");
        let mut watcher = Watcher::new(&flows);
        watcher.changed().await;
        let looked = tokio::time::timeout(LOOK * 10, watcher.changed()).await;
        assert!(looked.is_err(), "nothing has happened");
        std::fs::create_dir(&flows).unwrap();
        tokio::time::timeout(LOOK, watcher.changed()).await.expect("it is noticed when it is made");
    }
}
