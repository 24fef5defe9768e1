//! The styles that `vt100` has no place for: a cell carries a number as the colour of its text, and what stands behind
//! the number is here.
//!
//! Invariant: whatever leaves the model is [written](Styles::write) first; a number never leaves it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use memchr::{memchr, memmem};

use super::Screen;
use super::beyond::unmarked;
use super::style::{BOLD, Color, INVERSE, ITALIC, Style, is_common};

/// Most styles that are kept.
const STYLES_MAX: usize = 16 * 1024;

/// Most bytes of links that are kept.
const LINKS_MAX: usize = 1024 * 1024;

/// Most bytes of a link; a longer one is none.
const LINK_MAX: usize = 2048;

/// Bytes written after which text looks as `vt100` has it: a screen whose cells are a long link each has no end else.
const BEYOND_MAX: usize = 2 * 1024 * 1024;

/// New styles before it is looked again which of them are still in use.
const LOOK_AFTER: usize = 1024;

/// The red of the colours that are numbers. A program's own colour with it is kept here as well.
const RED: u8 = 1;

/// How `vt100` writes one.
const NUMBER: &[u8] = b"38;2;1;";

/// Closes the link that is open.
pub(super) const END_LINK: &str = "\x1b]8;;\x1b\\";

/// The styles that cells refer to.
#[derive(Debug, Default)]
pub(super) struct Styles {
    known: HashMap<Style, u16>,
    numbered: BTreeMap<u16, Style>,
    next: u16,
    links: usize,
    /// How many were to be added since it was looked which are in use.
    asked: usize,
}

/// The number that a colour carries.
fn carried(color: Color) -> Option<u16> {
    match color {
        Color::Rgb(RED, high, low) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// The style that the next character gets, as `vt100` has it.
fn drawn_with(cells: &vt100::Screen) -> Style {
    let flags = [(cells.bold(), BOLD), (cells.italic(), ITALIC), (cells.inverse(), INVERSE)];
    Style::common(flags, cells.underline(), (cells.fgcolor(), cells.bgcolor()))
}

/// The style of a cell, as `vt100` has it.
pub(super) fn of_cell(cell: &vt100::Cell) -> Style {
    let flags = [(cell.bold(), BOLD), (cell.italic(), ITALIC), (cell.inverse(), INVERSE)];
    Style::common(flags, cell.underline(), (cell.fgcolor(), cell.bgcolor()))
}

impl Styles {
    /// Whether these parameters can go to `vt100` as they are.
    pub fn passes(cells: &vt100::Screen, parameters: &[u8]) -> bool {
        carried(cells.fgcolor().into()).is_none() && is_common(parameters)
    }

    /// The style that the next character gets.
    pub fn current(&self, cells: &vt100::Screen) -> Style {
        self.shown(drawn_with(cells))
    }

    /// A style of `vt100` as it is meant.
    pub fn shown(&self, drawn: Style) -> Style {
        match carried(drawn.front) {
            None => drawn,
            Some(number) => match self.numbered.get(&number) {
                Some(beyond) => drawn.with(beyond),
                None => Style { front: Color::Default, ..drawn },
            },
        }
    }

    /// The sequence that makes `vt100` draw with a style.
    pub fn draw(&mut self, style: &Style) -> String {
        let needs_number = style
            .beyond()
            .or_else(|| carried(style.front).map(|_| Style { front: style.front, ..Style::default() }));
        let front = match needs_number {
            None => style.front,
            Some(beyond) => match self.number(beyond) {
                Some(number) => {
                    let [high, low] = number.to_be_bytes();
                    Color::Rgb(RED, high, low)
                }
                // Full: what `vt100` has is left of it.
                None if carried(style.front).is_some() => Color::Default,
                None => style.front,
            },
        };
        let mut out = String::new();
        style.write_common(&mut out, front);
        out
    }

    fn number(&mut self, style: Style) -> Option<u16> {
        if let Some(number) = self.known.get(&style) {
            return Some(*number);
        }
        self.asked += 1;
        if self.is_full() {
            return None;
        }
        while self.numbered.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.links += style.link.as_ref().map_or(0, |link| link.len());
        self.known.insert(style.clone(), number);
        self.numbered.insert(number, style);
        Some(number)
    }

    fn is_full(&self) -> bool {
        self.numbered.len() >= STYLES_MAX || self.links >= LINKS_MAX
    }

    /// Whether it is time to [`keep`](Self::keep) only what is in use.
    pub fn wants_look(&self) -> bool {
        self.is_full() && self.asked >= LOOK_AFTER
    }

    /// Forgets the styles that do not stand in what `vt100` wrote.
    pub fn keep(&mut self, written: &str) {
        let mut used = BTreeSet::new();
        let mut drawn = Style::default();
        for (_, sequence) in sequences(written) {
            if let Sequence::Attributes(parameters) = sequence {
                drawn.apply(parameters);
                used.extend(carried(drawn.front));
            }
        }
        self.numbered.retain(|number, _| used.contains(number));
        self.known.retain(|_, number| used.contains(number));
        self.links =
            self.numbered.values().filter_map(|style| style.link.as_ref()).map(|link| link.len()).sum();
        self.asked = 0;
    }

    /// What `vt100` wrote as it is meant. After a sequence that clears all attributes no link is open.
    pub fn write<'t>(&self, written: &'t str) -> Cow<'t, str> {
        unmarked(self.styled(written))
    }

    fn styled<'t>(&self, written: &'t str) -> Cow<'t, str> {
        if memmem::find(written.as_bytes(), NUMBER).is_none() {
            return Cow::Borrowed(written);
        }
        let mut out = String::with_capacity(written.len() + written.len() / 4);
        let mut drawn = Style::default();
        // What is known of the link that is open.
        let mut link: Option<Option<Arc<str>>> = Some(None);
        let mut is_beyond = false;
        let mut copied = 0;
        for (at, sequence) in sequences(written) {
            let Sequence::Attributes(parameters) = sequence else {
                link = None;
                continue;
            };
            out.push_str(&written[copied..at]);
            copied = at + b"\x1b[m".len() + parameters.len();
            drawn.apply(parameters);
            let mut shown = self.shown(drawn.clone());
            let was_beyond = std::mem::replace(&mut is_beyond, carried(drawn.front).is_some());
            let is_full = out.len() > BEYOND_MAX;
            if is_full && carried(drawn.front).is_some() {
                shown = Style { link: None, ..shown };
                shown.write_common(&mut out, shown.front);
            } else if is_beyond || was_beyond {
                shown.write(&mut out);
            } else {
                out.push_str(&written[at..copied]);
            }
            if link.as_ref() != Some(&shown.link) {
                match &shown.link {
                    None => out.push_str(END_LINK),
                    Some(link) => out.extend(["\x1b]8;", link, "\x1b\\"]),
                }
                link = Some(shown.link);
            }
        }
        out.push_str(&written[copied..]);
        Cow::Owned(out)
    }
}

impl Screen {
    /// What follows looks otherwise.
    pub(super) fn attributes(&mut self, parameters: &[u8]) {
        let cells = self.parser.screen();
        if Styles::passes(cells, parameters) {
            return self.draw(&[b"\x1b[", parameters, b"m"].concat());
        }
        let mut style = self.parser.callbacks().styles.current(cells);
        style.apply(parameters);
        self.draw_with(&style);
    }

    /// Gives the cells that come a style.
    fn draw_with(&mut self, style: &Style) {
        if self.parser.callbacks().styles.wants_look() {
            let written = self.written();
            self.parser.callbacks_mut().styles.keep(&written);
        }
        let sequence = self.parser.callbacks_mut().styles.draw(style);
        self.draw(sequence.as_bytes());
    }

    /// Nothing but the colour behind it is left where something was erased; `vt100` would keep the whole style.
    pub(super) fn erase(&mut self, sequence: &[u8]) {
        let style = self.parser.callbacks().styles.current(self.parser.screen());
        let blank = Style { back: style.back, ..Style::default() };
        if style == blank {
            return self.draw(sequence);
        }
        self.draw_with(&blank);
        self.draw(sequence);
        self.draw_with(&style);
    }

    /// What stands after `ESC ] 8 ;`: what follows is a link, or none any more.
    pub(super) fn link(&mut self, text: &[u8]) {
        let style = self.parser.callbacks().styles.current(self.parser.screen());
        self.draw_with(&Style { link: link(text), ..style });
    }
}

/// What of a text that `vt100` wrote touches attributes.
enum Sequence<'t> {
    /// Parameters between `ESC [` and `m`.
    Attributes(&'t [u8]),
    /// They are as they were kept with the cursor.
    Restored,
}

/// Those of a text, and where they begin.
fn sequences(text: &str) -> impl Iterator<Item = (usize, Sequence<'_>)> {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(found) = memchr(0x1b, &bytes[from..]) {
            let at = from + found;
            from = at + 1;
            match bytes.get(from) {
                Some(b'8') => return Some((at, Sequence::Restored)),
                Some(b'[') => {
                    let rest = &bytes[from + 1..];
                    let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'));
                    if let Some(end) = end.filter(|end| rest[*end] == b'm') {
                        return Some((at, Sequence::Attributes(&rest[..end])));
                    }
                }
                _ => {}
            }
        }
        None
    })
}

/// The link that `ESC ] 8 ;` and this text open; `None` where it closes one, or is none that can be kept.
fn link(text: &[u8]) -> Option<Arc<str>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LINK_MAX)?;
    let (_, address) = text.split_once(';')?;
    (!address.is_empty() && !text.chars().any(char::is_control)).then(|| text.into())
}
