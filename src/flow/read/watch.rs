//! Waiting for the flow to grow.
//!
//! On Linux the system tells of every change in the folder (inotify); elsewhere, and where it refuses to, the caller's own pause
//! is kept. What is told is a hint: who waits looks at the files in any case, and at least every [`SURE`], because
//! a day ends by the clock and some file systems tell nothing.
//!
//! Not here: what there is to read (`tail`).

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longest time between two looks.
const SURE: Duration = Duration::from_secs(1);

/// Ends a wait from elsewhere. Clones are the same bell.
#[derive(Debug, Clone)]
pub struct Bell(Arc<PipeWriter>);

impl Bell {
    /// Ends the wait that goes on, or the next.
    pub fn ring(&self) {
        // A full pipe rings, too.
        let _ = (&*self.0).write(&[1]);
    }
}

/// What a reader of the flow waits with.
#[derive(Debug)]
pub struct Watch {
    rung: PipeReader,
    dir: PathBuf,
    teller: Option<Teller>,
}

impl Watch {
    /// Watches the folder of the flow from now on, if the system allows it, and it need not exist yet.
    pub fn new(dir: &Path) -> io::Result<(Self, Bell)> {
        let (rung, bell) = io::pipe()?;
        rustix::io::ioctl_fionbio(&rung, true)?;
        rustix::io::ioctl_fionbio(&bell, true)?;
        let mut watch = Self { rung, dir: dir.to_owned(), teller: None };
        watch.arm();
        Ok((watch, Bell(Arc::new(bell))))
    }

    /// Waits for a change of the flow: until the system tells of one, or for `pause` where it does not.
    pub fn wait(&mut self, pause: Duration) {
        // What changed until now was not told.
        if self.teller.is_none() && self.arm() {
            return;
        }
        let deadline = Instant::now() + if self.teller.is_some() { SURE } else { pause };
        while !self.until(deadline, true) {}
    }

    /// Waits for the bell alone.
    pub fn pause(&mut self, pause: Duration) {
        self.until(Instant::now() + pause, false);
    }

    fn arm(&mut self) -> bool {
        self.teller = Teller::new(&self.dir);
        self.teller.is_some()
    }

    /// `false` when what happened was nothing to end a wait for.
    fn until(&mut self, deadline: Instant, told: bool) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut fds = vec![PollFd::new(&self.rung, PollFlags::IN)];
        fds.extend(self.teller.iter().filter(|_| told).map(|teller| PollFd::new(teller, PollFlags::IN)));
        // Interrupted, or refused: the caller looks.
        if !poll(&mut fds, left.as_ref()).is_ok_and(|count| count > 0) {
            return true;
        }
        let (has_rung, has_told) =
            (!fds[0].revents().is_empty(), fds.len() > 1 && !fds[1].revents().is_empty());
        if has_rung {
            // Emptied as far as it matters: what is left ends the next wait at once.
            let _ = self.rung.read(&mut [0; 64]);
        }
        let heard =
            if has_told { self.teller.as_mut().map_or(Heard::Lost, Teller::hear) } else { Heard::Other };
        if matches!(heard, Heard::Lost) {
            self.teller = None;
        }
        has_rung || !matches!(heard, Heard::Other)
    }
}

/// What the system told.
enum Heard {
    /// A day's file changed, or some may have.
    Flow,
    /// The folder is no longer the one that is watched.
    Lost,
    /// Something else.
    Other,
}

#[cfg(target_os = "linux")]
use linux::Teller;

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::path::Path;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

    use super::Heard;

    /// Room for a few events; further ones are read at the next look.
    const EVENTS: usize = 4096;

    /// inotify of one folder.
    #[derive(Debug)]
    pub struct Teller(OwnedFd);

    impl Teller {
        /// `None` where the system refuses, such as for a folder that is not there.
        pub fn new(dir: &Path) -> Option<Self> {
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
            let files = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
            let folder = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
            inotify::add_watch(&inotify, dir, files | folder).ok()?;
            Some(Self(inotify))
        }

        /// Reads what was told.
        pub fn hear(&mut self) -> Heard {
            let mut buffer = [MaybeUninit::uninit(); EVENTS];
            let mut reader = inotify::Reader::new(&self.0, &mut buffer);
            let mut heard = Heard::Other;
            while let Ok(event) = reader.next() {
                let flags = event.events();
                let is_lost =
                    ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
                if flags.intersects(is_lost) {
                    return Heard::Lost;
                }
                let is_day = event.file_name().is_none_or(|name| name.to_bytes().ends_with(b".jsonl"));
                if is_day {
                    heard = Heard::Flow;
                }
                if reader.is_buffer_empty() {
                    break;
                }
            }
            heard
        }
    }

    impl AsFd for Teller {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
use elsewhere::Teller;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    use super::Heard;

    /// There is none here.
    #[derive(Debug)]
    pub enum Teller {}

    impl Teller {
        /// The caller's own pauses are kept.
        pub fn new(_: &Path) -> Option<Self> {
            None
        }

        /// Never comes.
        pub fn hear(&mut self) -> Heard {
            match *self {}
        }
    }

    impl AsFd for Teller {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far above what a test waits for.
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_bell_ends_a_wait_that_goes_on_and_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watch, bell) = Watch::new(dir.path()).unwrap();
        bell.ring();
        let begun = Instant::now();
        watch.pause(LONG);
        let other = bell.clone();
        let ringing = std::thread::spawn(move || other.ring());
        watch.pause(LONG);
        ringing.join().unwrap();
        assert!(begun.elapsed() < LONG / 2);
        // However often it rang, nobody blocked and one wait is over.
        (0..100_000).for_each(|_| bell.ring());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_of_days_that_grow_come_and_go_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let flows = dir.path().join("flows");
        let (mut watch, _bell) = Watch::new(&flows).unwrap();
        assert!(watch.teller.is_none(), "there is no folder yet");
        std::fs::create_dir(&flows).unwrap();
        // It is found by the next wait, which looks at once because of what came before.
        watch.wait(LONG);
        assert!(watch.teller.is_some());
        let day = flows.join("2026-11-22.jsonl");
        let told = |watch: &mut Watch| {
            let begun = Instant::now();
            watch.wait(LONG);
            begun.elapsed() < SURE
        };
        std::fs::write(&day, "a\n").unwrap();
        assert!(told(&mut watch));
        std::fs::write(flows.join("other"), "a\n").unwrap();
        assert!(!told(&mut watch), "that is no day");
        std::fs::remove_file(&day).unwrap();
        assert!(told(&mut watch));
        std::fs::remove_file(flows.join("other")).unwrap();
        std::fs::remove_dir(&flows).unwrap();
        assert!(told(&mut watch) && watch.teller.is_none(), "the folder is gone");
        let begun = Instant::now();
        watch.wait(Duration::from_millis(5));
        assert!(begun.elapsed() < SURE, "the caller's pause is kept");
    }
}
