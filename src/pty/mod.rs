//! Pseudo-terminals, process groups and terminal modes: everything that speaks to the kernel about
//! terminals.
//!
//! Invariant: what is changed on a terminal is undone by a guard, and a process started here leads its own
//! kernel session, so that all of its offspring can be signalled together.
//!
//! Not here: what runs in a terminal and who looks at it.

mod birth;
mod group;
mod offspring;
mod process;
mod tty;

pub use birth::birth;
pub use group::{ProcessTree, signal_named, signal_names};
pub use offspring::{Offspring, bound_processes};
pub use process::{Child, Command, KeptOpen, Reader, Started, Window, Writer};
pub use rustix::process::Signal;
pub use tty::{RawMode, Signals, window_size};

/// Makes this process the leader of a kernel session without a terminal, so that the end of the terminal it
/// was started from does not reach it. An error means that it leads one already.
pub fn detach() -> std::io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Keeps the descriptors that this process got from its starter, beside the standard three, from what it starts:
/// a lock or a pipe of the caller's shell must not live as long as a session.
pub fn keep_descriptors_here() {
    close_fds::set_fds_cloexec(FIRST_AFTER_STDERR, &[]);
}

/// The first descriptor after stdin, stdout and stderr.
const FIRST_AFTER_STDERR: i32 = 3;

/// Points stdout at nothing, which ends the pipe that stdout was.
pub fn close_stdout() -> std::io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Points stdin at nothing, which ends the pipe that stdin was.
pub fn close_stdin() -> std::io::Result<()> {
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(())
}

/// Whether what this process writes to stderr goes to the file at `path`.
pub fn stderr_goes_to(path: &std::path::Path) -> bool {
    let ours = rustix::fs::fstat(rustix::stdio::stderr());
    let there = rustix::fs::stat(path);
    matches!((ours, there), (Ok(ours), Ok(there)) if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino))
}

/// Makes `file` what stdout and stderr write to.
pub fn point_output_at(file: &std::fs::File) -> std::io::Result<()> {
    rustix::stdio::dup2_stdout(file)?;
    rustix::stdio::dup2_stderr(file)?;
    Ok(())
}

/// Makes `file` what stderr writes to.
pub fn point_stderr_at(file: &std::fs::File) -> std::io::Result<()> {
    rustix::stdio::dup2_stderr(file)?;
    Ok(())
}
