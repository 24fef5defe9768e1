//! How text looks: what the attributes of a terminal (`SGR`) and its links say, read and written.

use std::fmt::Write;
use std::sync::Arc;

use super::sequence::number;

/// A colour of a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Color {
    #[default]
    Default,
    Index(u8),
    Rgb(u8, u8, u8),
}

impl From<vt100::Color> for Color {
    fn from(color: vt100::Color) -> Self {
        match color {
            vt100::Color::Default => Self::Default,
            vt100::Color::Idx(index) => Self::Index(index),
            vt100::Color::Rgb(r, g, b) => Self::Rgb(r, g, b),
        }
    }
}

/// Attributes that are on or off, a bit each.
pub(super) type Flags = u16;

pub(super) const BOLD: Flags = 1;
const DIM: Flags = 1 << 1;
pub(super) const ITALIC: Flags = 1 << 2;
pub(super) const INVERSE: Flags = 1 << 3;
const BLINK: Flags = 1 << 4;
const RAPID: Flags = 1 << 5;
const HIDDEN: Flags = 1 << 6;
const STRUCK: Flags = 1 << 7;
const OVERLINED: Flags = 1 << 8;

/// The flags that are left to `vt100`; it knows dim as well, but not together with bold.
const COMMON: Flags = BOLD | ITALIC | INVERSE;

/// Each flag and the parameter that sets it.
const SET: [(Flags, u16); 9] = [
    (BOLD, 1),
    (DIM, 2),
    (ITALIC, 3),
    (BLINK, 5),
    (RAPID, 6),
    (INVERSE, 7),
    (HIDDEN, 8),
    (STRUCK, 9),
    (OVERLINED, 53),
];

/// Parameters that clear flags.
const CLEAR: [(Flags, u16); 6] =
    [(BOLD | DIM, 22), (ITALIC, 23), (BLINK | RAPID, 25), (INVERSE, 27), (HIDDEN, 28), (STRUCK, 29)];

/// How text looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Style {
    pub flags: Flags,
    /// Kind of the line below: 0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed.
    pub underline: u8,
    pub front: Color,
    pub back: Color,
    pub underline_color: Color,
    /// Parameters and address of the link, as they stand after `ESC ] 8 ;`.
    pub link: Option<Arc<str>>,
}

/// The low byte, as terminals take a part of a colour.
fn part(number: u16) -> u8 {
    (number & 0xff) as u8
}

/// The colour behind 38, 48 or 58: `5` and an index, or `2` and three parts.
fn color(mut numbers: impl Iterator<Item = u16>) -> Option<Color> {
    let kind = numbers.next()?;
    let mut next = || part(numbers.next().unwrap_or(0));
    match kind {
        5 => Some(Color::Index(next())),
        2 => Some(Color::Rgb(next(), next(), next())),
        _ => None,
    }
}

/// The same in one parameter, where a colour space may stand before three parts.
fn color_of(parameter: &[u8]) -> Option<Color> {
    let parts: Vec<u16> = parameter.split(|byte| *byte == b':').skip(1).map(number).collect();
    match parts[..] {
        [2, _, r, g, b, ..] => color([2, r, g, b].into_iter()),
        _ => color(parts.into_iter()),
    }
}

impl Style {
    /// What `vt100` has of one: flags, whether there is a line below, the colours of the text and behind it.
    pub fn common(
        flags: [(bool, Flags); 3],
        underline: bool,
        (front, back): (vt100::Color, vt100::Color),
    ) -> Self {
        Self {
            flags: flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum(),
            underline: u8::from(underline),
            front: front.into(),
            back: back.into(),
            ..Self::default()
        }
    }

    /// Takes the parameters between `ESC [` and `m`.
    pub fn apply(&mut self, parameters: &[u8]) {
        let mut rest = parameters.split(|byte| *byte == b';');
        while let Some(parameter) = rest.next() {
            let mut parts = parameter.split(|byte| *byte == b':');
            let first = number(parts.next().unwrap_or_default());
            let second = parts.next();
            match first {
                0 => *self = Self { link: self.link.take(), ..Self::default() },
                4 => {
                    let kind = second.map_or(1, number);
                    self.underline = if kind > 5 { 1 } else { part(kind) };
                }
                21 => self.underline = 2,
                24 => self.underline = 0,
                30..=37 | 90..=97 | 39 => self.front = simple(first),
                40..=47 | 100..=107 | 49 => self.back = simple(first - 10),
                59 => self.underline_color = Color::Default,
                55 => self.flags &= !OVERLINED,
                38 | 48 | 58 => {
                    let color = match second {
                        Some(_) => color_of(parameter),
                        None => color(rest.by_ref().map(number)),
                    };
                    let place = match first {
                        38 => &mut self.front,
                        48 => &mut self.back,
                        _ => &mut self.underline_color,
                    };
                    *place = color.unwrap_or(*place);
                }
                _ => self.flag(first),
            }
        }
    }

    fn flag(&mut self, number: u16) {
        let find = |known: &[(Flags, u16)]| {
            known.iter().find(|(_, known)| *known == number).map(|(flags, _)| *flags)
        };
        self.flags |= find(&SET).unwrap_or(0);
        self.flags &= !find(&CLEAR).unwrap_or(0);
    }

    /// What `vt100` has no place for; of its own attributes the colour of the text alone. `None` where that is nothing.
    pub fn beyond(&self) -> Option<Self> {
        let beyond = Self {
            flags: self.flags & !COMMON,
            underline: if self.underline > 1 { self.underline } else { 0 },
            back: Color::Default,
            ..self.clone()
        };
        (beyond != Self { front: self.front, ..Self::default() }).then_some(beyond)
    }

    /// Adds what [`beyond`](Self::beyond) gave.
    pub fn with(self, beyond: &Self) -> Self {
        Self {
            flags: self.flags | beyond.flags,
            underline: self.underline.max(beyond.underline),
            back: self.back,
            ..beyond.clone()
        }
    }

    /// The sequence that gives `vt100` this style, with another colour of the text.
    pub fn write_common(&self, out: &mut String, front: Color) {
        self.write_plain(out, self.flags & COMMON, front);
    }

    /// The sequences that give a terminal this style, but for the link, whatever it had before.
    pub fn write(&self, out: &mut String) {
        self.write_plain(out, self.flags, self.front);
        // Alone, so that a terminal that does not know them drops no others.
        if self.underline > 1 {
            let _ = write!(out, "\x1b[4:{}m", self.underline);
        }
        let _ = match self.underline_color {
            Color::Default => Ok(()),
            Color::Index(index) => write!(out, "\x1b[58:5:{index}m"),
            Color::Rgb(r, g, b) => write!(out, "\x1b[58:2::{r}:{g}:{b}m"),
        };
    }

    fn write_plain(&self, out: &mut String, flags: Flags, front: Color) {
        out.push_str("\x1b[0");
        for (_, parameter) in SET.iter().filter(|(flag, _)| flags & flag != 0) {
            let _ = write!(out, ";{parameter}");
        }
        if self.underline > 0 {
            out.push_str(";4");
        }
        for (color, base) in [(front, 30), (self.back, 40)] {
            let _ = match color {
                Color::Default => Ok(()),
                Color::Index(index @ 0..8) => write!(out, ";{}", base + u16::from(index)),
                Color::Index(index @ 8..16) => write!(out, ";{}", base + 52 + u16::from(index)),
                Color::Index(index) => write!(out, ";{};5;{index}", base + 8),
                Color::Rgb(r, g, b) => write!(out, ";{};2;{r};{g};{b}", base + 8),
            };
        }
        out.push('m');
    }
}

/// Whether these bytes are the parameters of attributes.
pub(super) fn is_attributes(parameters: &[u8]) -> bool {
    parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'))
}

/// One of the sixteen colours, or the default, by the parameter that sets the text's.
fn simple(parameter: u16) -> Color {
    match parameter {
        30..=37 => Color::Index(part(parameter - 30)),
        90..=97 => Color::Index(part(parameter - 82)),
        _ => Color::Default,
    }
}

/// Whether these parameters say the same to `vt100` as to other terminals.
pub(super) fn is_common(parameters: &[u8]) -> bool {
    if parameters.contains(&b':') {
        return false;
    }
    let mut numbers = parameters.split(|byte| *byte == b';').map(number);
    while let Some(first) = numbers.next() {
        let known = match first {
            0 | 1 | 3 | 4 | 7 | 22..=24 | 27 | 30..=37 | 39..=47 | 49 | 90..=97 | 100..=107 => true,
            38 | 48 => {
                let count = match numbers.next() {
                    Some(5) => 1,
                    Some(2) => 3,
                    _ => return false,
                };
                let mut parts = numbers.by_ref().take(count);
                let begin = parts.next();
                let is_kept = first == 38 && count == 3 && begin == Some(1);
                !is_kept
                    && begin.is_some_and(is_byte)
                    && parts.filter(|part| is_byte(*part)).count() + 1 == count
            }
            _ => false,
        };
        if !known {
            return false;
        }
    }
    true
}

fn is_byte(number: u16) -> bool {
    number < 256
}
