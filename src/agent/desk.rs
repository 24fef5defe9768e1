//! Where a person sits while the agent works: the transcript, what is typed, and the signal that ends it all.
//!
//! Invariant: nobody has to sit there. Without keys nothing is ever waited for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::transcript::{Look, Transcript};
use super::typing::{LINE_MAX, Typed, Typing};
use crate::util::human;

/// How long an Esc waits for what would make it another key.
const ESCAPE_PATIENCE: Duration = Duration::from_millis(50);

/// Lines that wait until the model can be told; further ones are refused.
const QUEUE: usize = 16;

/// What breaks off what is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A person stopped it, to say something else.
    Stopped,
    /// A person ended it.
    Ended,
    /// The session is ended from outside.
    Terminated,
}

/// The desk.
pub struct Desk {
    transcript: Rc<RefCell<Transcript>>,
    typing: Typing,
    keys: Option<mpsc::Receiver<Vec<u8>>>,
    terminated: CancellationToken,
    /// What was typed and is not looked at yet.
    typed: VecDeque<Typed>,
    said: VecDeque<String>,
    /// Stops in a row.
    stops: u32,
}

/// What happens at the desk.
enum Event {
    Line(String),
    Stop,
    End,
    Terminated,
}

impl Desk {
    /// With these keys; `terminated` is the signal from outside.
    pub fn new(
        transcript: Transcript,
        keys: Option<mpsc::Receiver<Vec<u8>>>,
        terminated: CancellationToken,
    ) -> Self {
        let transcript = Rc::new(RefCell::new(transcript));
        Self {
            transcript,
            typing: Typing::default(),
            keys,
            terminated,
            typed: VecDeque::new(),
            said: VecDeque::new(),
            stops: 0,
        }
    }

    /// The transcript, for who writes to it while something is going on.
    pub fn transcript(&self) -> Rc<RefCell<Transcript>> {
        Rc::clone(&self.transcript)
    }

    /// Shows a line.
    pub fn line(&self, look: Look, text: &str) {
        self.transcript.borrow_mut().line(look, text);
    }

    /// What a person said meanwhile, the oldest first.
    pub fn said(&mut self) -> Option<String> {
        self.said.pop_front()
    }

    /// Whether a person said something that nobody has taken.
    pub fn has_said(&self) -> bool {
        !self.said.is_empty()
    }

    /// Does something while a person may type. What is done must end soon after `cancel`; then it says why it was
    /// cancelled.
    pub async fn during<F: Future>(
        &mut self,
        cancel: &CancellationToken,
        doing: F,
    ) -> (F::Output, Option<Break>) {
        tokio::pin!(doing);
        let mut broken = None;
        loop {
            let event = tokio::select! {
                biased;
                done = &mut doing => return (done, broken),
                event = self.event() => event,
            };
            match event {
                Event::Line(line) if self.said.len() < QUEUE => {
                    self.line(Look::Person, &format!("› {line}"));
                    self.said.push_back(line);
                }
                Event::Line(_) => self.line(Look::Bad, "too much was said already; it is told first"),
                Event::Stop if broken.is_none() => {
                    self.stops += 1;
                    broken = Some(if self.stops > 1 { Break::Ended } else { Break::Stopped });
                    self.line(Look::Person, "stopping; once more ends the session");
                    cancel.cancel();
                }
                Event::Stop => broken = Some(Break::Ended),
                Event::End => {}
                // It stays so: looking for it again would leave no time for what is done to end.
                Event::Terminated => {
                    cancel.cancel();
                    return (doing.await, Some(Break::Terminated));
                }
            }
        }
    }

    /// Waits for a person to say something. `None` is the end, with what it came by.
    pub async fn wait(&mut self) -> Result<String, Break> {
        loop {
            if let Some(line) = self.said.pop_front() {
                return Ok(line);
            }
            if self.keys.is_none() {
                return Err(Break::Ended);
            }
            match self.event().await {
                Event::Line(line) => {
                    self.stops = 0;
                    self.line(Look::Person, &format!("› {line}"));
                    return Ok(line);
                }
                Event::Stop if self.stops == 0 => {
                    self.stops += 1;
                    self.line(Look::Person, "once more ends the session");
                }
                Event::Stop | Event::End => return Err(Break::Ended),
                Event::Terminated => return Err(Break::Terminated),
            }
        }
    }

    /// The next thing that happens; never, where nobody can type and nothing ends it.
    async fn event(&mut self) -> Event {
        loop {
            while let Some(one) = self.typed.pop_front() {
                let event = match one {
                    Typed::Changed => {
                        self.transcript.borrow_mut().typing(self.typing.line());
                        // Who types stays: a stop after this is a first one.
                        self.stops = 0;
                        continue;
                    }
                    Typed::TooLong => {
                        let most = human::bytes(LINE_MAX as u64);
                        let words =
                            format!("the line is longer than {most} and is not sent; put it into a file");
                        self.line(Look::Bad, &words);
                        continue;
                    }
                    Typed::Line(line) => Event::Line(line),
                    Typed::Stop => Event::Stop,
                    Typed::End => Event::End,
                };
                self.transcript.borrow_mut().typing(None);
                return event;
            }
            let unsure = self.typing.is_unsure();
            let key = async {
                match &mut self.keys {
                    Some(keys) => keys.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.terminated.cancelled() => return Event::Terminated,
                () = tokio::time::sleep(ESCAPE_PATIENCE), if unsure => self.typed.extend(self.typing.settle()),
                key = key => match key {
                    Some(bytes) => self.typed.extend(self.typing.feed(&bytes)),
                    // The terminal is gone; the work is not.
                    None => self.keys = None,
                },
            }
        }
    }

    /// A person's stop was answered, and work goes on.
    pub fn goes_on(&mut self) {
        self.stops = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::transcript::tests::transcript;
    use super::*;

    #[tokio::test]
    async fn only_two_stops_in_a_row_end_it() {
        let (type_in, keys) = mpsc::channel(8);
        let (transcript, paper) = transcript();
        let mut desk = Desk::new(transcript, Some(keys), CancellationToken::new());
        for keys in ["\x03", "a slip\x03", "another\x03", "said\r"] {
            type_in.try_send(keys.as_bytes().to_vec()).unwrap();
        }
        assert_eq!(desk.wait().await, Ok("said".to_owned()));
        let shown = paper.text().replace('\n', " ");
        assert_eq!(shown.matches("once more ends the session").count(), 3, "{shown}");
        type_in.try_send(b"\x03\x03".to_vec()).unwrap();
        assert_eq!(desk.wait().await, Err(Break::Ended));
    }

    #[tokio::test]
    async fn two_stops_while_it_works_end_it() {
        for (keys, end) in [("\x03", Break::Stopped), ("\x03\x03", Break::Ended)] {
            let (type_in, taken) = mpsc::channel(8);
            let mut desk = Desk::new(transcript().0, Some(taken), CancellationToken::new());
            type_in.try_send(keys.as_bytes().to_vec()).unwrap();
            let cancel = CancellationToken::new();
            let works = async {
                cancel.cancelled().await;
                // It takes a moment to end.
                while type_in.capacity() < type_in.max_capacity() {
                    tokio::task::yield_now().await;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(desk.during(&cancel, works).await.1, Some(end), "{keys:?}");
        }
    }

    #[tokio::test]
    async fn what_is_said_while_it_works_has_a_bound() {
        let (type_in, keys) = mpsc::channel(8);
        let (transcript, paper) = transcript();
        let mut desk = Desk::new(transcript, Some(keys), CancellationToken::new());
        type_in.try_send("more\r".repeat(QUEUE + 3).into_bytes()).unwrap();
        drop(type_in);
        let works = async {
            while paper.text().matches("too much was said").count() < 3 {
                tokio::task::yield_now().await;
            }
        };
        let ((), broken) = desk.during(&CancellationToken::new(), works).await;
        assert_eq!((broken, desk.said.len()), (None, QUEUE));
    }
}
