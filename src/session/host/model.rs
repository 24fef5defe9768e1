//! The screen of the session, kept beside the output: it lags behind while much is put out, and catches up when output
//! pauses or somebody looks.
//!
//! Invariants: the terminal's bytes are never kept waiting for the model, except where it could no longer find what it
//! has not seen ([`Output::room`]); the model is never asked on the runtime's own thread; without output nothing wakes
//! up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Host;
use crate::session::output::{Chunk, Output, OutputReader};
use crate::session::screen::{Plain, Said, Screen};
use crate::wire::WindowSize;

/// How long output must pause before the model catches up.
const PAUSE: Duration = Duration::from_millis(8);

/// The same after more than a little: a burst pauses where the machine is busy, and each catching up would draw a
/// history's worth of lines that are gone a moment later.
const PAUSE_OF_BURST: Duration = Duration::from_millis(50);

/// How long little output may go on before the model catches up all the same.
const AT_LEAST: Duration = Duration::from_millis(50);

/// How much output is little, in bytes.
const LITTLE: u64 = 128 * 1024;

/// From this much on a run of plain lines is looked for first, in bytes.
const SKIP_FROM: u64 = 128 * 1024;

/// Changes of size that wait for the model; of more, the newest counts.
const RESIZES_MAX: usize = 256;

/// The model, and where it is in the output.
#[derive(Debug)]
struct Behind {
    screen: Screen,
    reader: OutputReader,
    /// A run of plain lines from there on that was looked over and not drawn: most of it need never be.
    passed: Option<Plain>,
}

impl Behind {
    /// Looks over the run of plain lines at hand, up to `until` or its end; the reader stays where it is.
    fn look_over(&mut self, until: u64) -> Plain {
        let from = self.reader.at();
        let begun = self.passed.take();
        let mut plain = begun.unwrap_or_else(|| Plain::new(from, self.screen.size().rows));
        self.reader.seek(plain.at());
        while plain.at() < until {
            let Some(Chunk::Bytes(bytes)) = self.reader.next_at_hand() else { break };
            let count = usize::try_from(until - plain.at()).unwrap_or(usize::MAX).min(bytes.len());
            if !plain.look(&bytes[..count]) {
                break;
            }
        }
        self.reader.seek(from);
        plain
    }

    /// Passes over the lines of a long plain run that leave no trace; returns where the run ends.
    fn skip(&mut self, until: u64) -> u64 {
        let plain = self.look_over(until);
        if let Some((begin, attributes)) = plain.begin() {
            self.screen.skip(attributes);
            self.reader.seek(begin);
        }
        plain.at()
    }
}

/// The screen of one session.
#[derive(Debug)]
pub(super) struct Model {
    behind: Mutex<Behind>,
    /// Who looks has a thread meanwhile. One after another they have the same one: of a crowd each would bring a thread,
    /// and its own part of the heap, which stays, to wait for the lock.
    turn: tokio::sync::Mutex<()>,
    /// Sizes the terminal got, with the offset of the first byte that was put out after.
    resizes: Mutex<VecDeque<(u64, WindowSize)>>,
    output: Arc<Output>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    /// The screen at the beginning of this run's output.
    pub fn new(output: Arc<Output>, screen: Screen) -> Self {
        let reader = output.reader(None, false);
        output.screen_is_at(reader.at());
        Self {
            behind: Mutex::new(Behind { screen, reader, passed: None }),
            turn: tokio::sync::Mutex::default(),
            resizes: Mutex::default(),
            output,
        }
    }

    /// From the output's end on the terminal has this size.
    pub fn resized(&self, size: WindowSize) {
        let mut resizes = lock(&self.resizes);
        let end = self.output.end();
        if resizes.back().is_some_and(|(at, _)| *at == end) || resizes.len() == RESIZES_MAX {
            resizes.pop_back();
        }
        resizes.push_back((end, size));
    }

    /// Brings the screen up to the output's end and looks at it there, with the offset of the output that follows.
    fn with<T>(&self, look: impl FnOnce(&mut Screen, u64) -> T) -> T {
        let mut behind = lock(&self.behind);
        let behind = &mut *behind;
        let end = self.output.end();
        loop {
            let next = lock(&self.resizes).front().copied().filter(|(at, _)| *at <= end);
            let until = next.map_or(end, |(at, _)| at);
            self.catch_up(behind, until);
            let Some((_, size)) = next else { break };
            lock(&self.resizes).pop_front();
            behind.screen.resize(size);
        }
        look(&mut behind.screen, behind.reader.at())
    }

    fn catch_up(&self, behind: &mut Behind, until: u64) {
        let mut plain_until = 0;
        while behind.reader.at() < until {
            let at = behind.reader.at();
            let is_long = until - at > SKIP_FROM && at >= plain_until && behind.screen.scrolls_whole();
            if is_long || behind.passed.is_some() {
                plain_until = behind.skip(until);
            }
            let at = behind.reader.at();
            match behind.reader.next_at_hand() {
                Some(Chunk::Bytes(bytes)) => {
                    let count = usize::try_from(until - at).unwrap_or(usize::MAX).min(bytes.len());
                    behind.screen.feed(&bytes[..count]);
                    behind.reader.seek(at + count as u64);
                }
                // What is no longer held was never shown; what follows draws on what is there.
                Some(Chunk::Gap(_, to)) => behind.reader.seek(to.min(until).max(at)),
                Some(Chunk::End) | None => return,
            }
            self.output.screen_is_at(behind.reader.at());
        }
    }

    /// Looks over what was just put out, the last `bytes` of the output, while it is in the processor's cache: read from
    /// the disk again, later, it costs more. Only in a long run, and never waiting for who looks at the screen.
    pub fn saw(&self, bytes: &[u8]) {
        let Ok(mut behind) = self.behind.try_lock() else { return };
        let behind = &mut *behind;
        let end = self.output.end();
        let begun = end - bytes.len() as u64;
        match &mut behind.passed {
            Some(plain) if plain.at() == begun => {
                plain.look(bytes);
            }
            // What was put out before is still in memory then.
            None if (SKIP_FROM..2 * SKIP_FROM).contains(&(end - behind.reader.at())) => {
                self.pass(behind, end);
            }
            _ => {}
        }
    }

    /// Looks over what was put out since, where those are plain lines of which most need never be drawn. `None` where
    /// they have to be drawn; else the output's end.
    async fn pass_over(self: &Arc<Self>) -> Option<u64> {
        let _turn = self.turn.lock().await;
        let model = Arc::clone(self);
        tokio::task::spawn_blocking(move || model.passed_over()).await.ok().flatten()
    }

    /// The run of plain lines at hand, looked over up to its end or `end`. `None` where there is none.
    fn pass<'a>(&self, behind: &'a mut Behind, end: u64) -> Option<&'a Plain> {
        // A size that comes later is at the end of then.
        if !lock(&self.resizes).is_empty() || (behind.passed.is_none() && !behind.screen.scrolls_whole()) {
            return None;
        }
        let plain = behind.look_over(end);
        Some(behind.passed.insert(plain))
    }

    fn passed_over(&self) -> Option<u64> {
        let mut behind = lock(&self.behind);
        let end = self.output.end();
        let plain = self.pass(&mut behind, end)?;
        let begin = plain.begin().map(|(begin, _)| begin).filter(|_| plain.at() == end);
        let begin = begin.filter(|begin| end - begin < self.output.screen_lag_max() / 2)?;
        self.output.screen_is_at(begin);
        Some(end)
    }

    /// The bytes that draw the screen, and the offset of the output that follows.
    pub async fn snapshot(self: &Arc<Self>) -> (u64, Vec<u8>) {
        self.look(|screen, at| (at, screen.snapshot())).await.unwrap_or_default()
    }

    /// Looks at the screen as it is now; `None` when the host is ending.
    pub async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&mut Screen, u64) -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.turn.lock().await;
        let model = Arc::clone(self);
        tokio::task::spawn_blocking(move || model.with(look)).await.ok()
    }
}

/// Lets the model follow the output until that ends, and passes on what the program said.
pub(super) async fn follow(host: Arc<Host>) {
    let output = Arc::clone(&host.output);
    let mut seen = output.end();
    while output.grown(seen).await {
        let mut begun = Instant::now();
        let mut end = output.end();
        loop {
            tokio::time::sleep(if end.saturating_sub(seen) < LITTLE { PAUSE } else { PAUSE_OF_BURST }).await;
            let now = output.end();
            let little = now - seen < LITTLE && begun.elapsed() >= AT_LEAST;
            if now == end || little {
                break;
            }
            end = now;
            if now - seen > output.screen_lag_max() / 2 {
                let Some(passed) = host.model.pass_over().await else { break };
                (seen, begun) = (passed, Instant::now());
            }
        }
        // A terminal that was there when the question came has answered it.
        let answered = host.viewers.answered();
        let Some((at, said)) = host.model.look(|screen, at| (at, screen.take_said())).await else { return };
        seen = at;
        pass_on(&host, said, answered);
    }
}

/// How long the model may take for what was put out last.
const SETTLE: Duration = Duration::from_secs(1);

/// Takes in what came before the end, so that the last title is in the final state.
pub(super) async fn settle(host: &Arc<Host>) {
    let last = host.model.look(|screen, _| screen.take_said());
    if let Ok(Some(said)) = tokio::time::timeout(SETTLE, last).await {
        pass_on(host, said, true);
    }
}

/// Passes on what the program said. Its questions are answered only where no terminal saw them.
pub(super) fn pass_on(host: &Arc<Host>, said: Said, answered: bool) {
    if !answered && !said.answers.is_empty() {
        // A program that does not read what is typed waits for no answer.
        let _ = host.input.try_send(said.answers.into());
    }
    if let Some(title) = said.title {
        host.titled(title);
    }
    if let Some(working) = said.working {
        host.marked(working);
    }
    for notice in said.notices {
        host.notice(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: WindowSize = WindowSize { cols: 80, rows: 24 };

    /// So many lines, of which some change colours and some take that back.
    fn lines(count: usize) -> Vec<u8> {
        let line = |n: usize| {
            format!("{}{n} of a long run{}\r\n", ["", "\x1b[31m", "\x1b[1m"][n % 3], ["\x1b[m", ""][n % 2])
        };
        (0..count).flat_map(|n| line(n).into_bytes()).collect()
    }

    async fn push(output: &Output, screen: &mut Screen, bytes: &[u8]) {
        for piece in bytes.chunks(4000) {
            output.push(piece).await;
        }
        screen.feed(bytes);
    }

    #[tokio::test]
    async fn a_long_run_is_looked_over_while_it_is_at_hand() {
        let root = tempfile::tempdir().unwrap();
        let output = Arc::new(Output::create(root.path(), 256 * 1024, 16 << 20, 0).unwrap());
        let model = Model::new(Arc::clone(&output), Screen::new(SIZE));
        let passed = || lock(&model.behind).passed.as_ref().map(Plain::at);
        let show = async |bytes: &[u8]| {
            output.push(bytes).await;
            model.saw(bytes);
        };
        let all = lines(30_000);
        let mut pieces = all.chunks(4000);
        show(pieces.next().unwrap()).await;
        assert_eq!(passed(), None, "it is little yet");
        for piece in pieces.by_ref().take(50) {
            show(piece).await;
        }
        assert_eq!(passed(), Some(output.end()));
        // Who looks at the screen is not waited for; what came meanwhile is found again.
        let next = pieces.next().unwrap();
        output.push(next).await;
        {
            let _looks = lock(&model.behind);
            model.saw(next);
        }
        let until = passed();
        for piece in pieces {
            show(piece).await;
        }
        assert_eq!(passed(), until);
        let mut screen = Screen::new(SIZE);
        screen.feed(&all);
        assert!(model.with(|seen, at| (at, seen.snapshot())) == (output.end(), screen.snapshot()));
    }

    #[tokio::test]
    async fn a_long_run_is_looked_over_and_not_drawn_and_the_picture_is_the_same() {
        let root = tempfile::tempdir().unwrap();
        let output = Arc::new(Output::create(root.path(), 256 * 1024, 16 << 20, 0).unwrap());
        let model = Arc::new(Model::new(Arc::clone(&output), Screen::new(SIZE)));
        let mut screen = Screen::new(SIZE);
        push(&output, &mut screen, b"a title\x1b]2;t\x07\r\n").await;
        model.look(|_, _| ()).await.unwrap();
        let from = output.end();
        for _ in 0..3 {
            push(&output, &mut screen, &lines(60_000)).await;
            assert_eq!(model.pass_over().await, Some(output.end()));
            assert_eq!(lock(&model.behind).reader.at(), from, "it was drawn");
        }
        push(&output, &mut screen, b"and its \x1b[32mtail").await;
        assert!(model.snapshot().await == (output.end(), screen.snapshot()));
        // What is no plain line has to be drawn, in its place.
        push(&output, &mut screen, &lines(30_000)).await;
        assert!(model.pass_over().await.is_some());
        push(&output, &mut screen, b"\x1b[5;5Hhere\x1b[24;1H").await;
        push(&output, &mut screen, &lines(30_000)).await;
        assert_eq!(model.pass_over().await, None);
        assert!(model.snapshot().await == (output.end(), screen.snapshot()));
        // So has what is put out around a change of the size.
        push(&output, &mut screen, &lines(30_000)).await;
        assert!(model.pass_over().await.is_some());
        let size = WindowSize { cols: 40, rows: 50 };
        model.resized(size);
        screen.resize(size);
        push(&output, &mut screen, &lines(30_000)).await;
        assert_eq!(model.pass_over().await, None);
        assert!(model.snapshot().await == (output.end(), screen.snapshot()));
        // A few lines that fill more than the terminal may be ahead are drawn.
        push(&output, &mut screen, &"wide ".repeat(1 << 20).into_bytes()).await;
        assert_eq!(model.pass_over().await, None);
        assert!(model.snapshot().await == (output.end(), screen.snapshot()));
    }
}
