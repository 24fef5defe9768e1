//! A snapshot at any cut and what follows show what the whole stream shows.

use super::style::Style;
use super::*;
use proptest::prelude::*;
use vt100::Parser;

const SIZE: WindowSize = WindowSize { cols: 12, rows: 5 };

/// More than any picture takes, in bytes.
const SNAPSHOT_MOST: usize = 8 * 1024 * 1024;

/// Rows kept by the terminals that the model is compared with.
const REFERENCE_ROWS: usize = 2000;

/// Another terminal, which keeps all that left it and is given every byte.
fn reference(bytes: &[u8]) -> Parser<Capture> {
    let one = |number| NonZeroU16::new(number).unwrap();
    let mut screen = Screen::new(SIZE);
    screen.parser =
        Parser::new_with_callbacks(one(SIZE.rows), one(SIZE.cols), REFERENCE_ROWS, Capture::default());
    screen.feed(bytes);
    screen.parser
}

fn model(bytes: &[u8]) -> Screen {
    let mut screen = Screen::new(SIZE);
    screen.feed(bytes);
    screen
}

/// What stands in the cells, and everything around them that can be asked for.
fn seen(screen: &vt100::Screen) -> Vec<String> {
    let (rows, cols) = screen.size();
    let look = |row, col| {
        let cell = screen.cell(row, col).unwrap();
        let colours = (cell.fgcolor(), cell.bgcolor());
        let flags = [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()];
        // Of a cell that was erased a terminal shows the colour behind it.
        let (colours, flags) = if cell.has_contents() {
            (colours, flags)
        } else {
            ((vt100::Color::Default, cell.bgcolor()), [false; 5])
        };
        let is_blank =
            cell.contents().trim().is_empty() && flags == [false; 5] && colours == Default::default();
        let text = format!("{col}:{:?} {colours:?} {flags:?} {}", cell.contents().trim(), cell.is_wide());
        if is_blank && !cell.is_wide_continuation() { String::new() } else { text }
    };
    let row = |row| (0..cols.get()).map(|col| look(row, col)).collect::<String>();
    let mut seen: Vec<String> = (0..rows.get()).map(row).collect();
    seen.push(format!("cursor {:?} {:?}", screen.cursor_position(), screen.attributes_formatted()));
    seen.push(format!(
        "modes {:?} {} {}",
        screen.input_mode_formatted(),
        screen.hide_cursor(),
        screen.alternate_screen()
    ));
    seen
}

/// The rows with all that is known of them, and how text looks now, as it was kept, and on the main screen.
fn styled(mut screen: Screen) -> Vec<String> {
    let mut all = Vec::new();
    for next in [&b""[..], b"\x1b8", b"\x1b[?47l"] {
        screen.feed(next);
        let (cells, styles) = (screen.parser.screen(), &screen.parser.callbacks().styles);
        let cell = |row, col| {
            let cell = cells.cell(row, col).unwrap();
            let style = styles::of_cell(cell);
            // Of a cell that was erased a terminal shows the colour behind it.
            let shown = if cell.has_contents() {
                styles.shown(style)
            } else {
                Style { back: style.back, ..Style::default() }
            };
            let text = cell.contents().trim();
            let is_blank = text.is_empty() && shown == Style::default();
            if is_blank { String::new() } else { format!("{text}{shown:?}") }
        };
        all.extend((0..SIZE.rows).map(|row| (0..SIZE.cols).map(|col| cell(row, col)).collect()));
        all.push(format!("{:?}", styles.current(cells)));
    }
    all
}

/// The rows above the screen as text.
fn above(screen: &vt100::Screen) -> Vec<String> {
    snapshot::kept_rows(&mut screen.clone(), |screen, cols| {
        screen.rows(0, cols).next().map(|row| row.trim_end().to_owned())
    })
    .collect()
}

/// Both screens of a terminal, what scrolled off, the saved cursor and the region, by what follows shows.
fn everything(parser: &mut Parser<Capture>) -> Vec<String> {
    let mut all = seen(parser.screen());
    parser.process(b"\x1b8");
    all.push(format!(
        "saved {:?} {:?}",
        parser.screen().cursor_position(),
        parser.screen().attributes_formatted()
    ));
    parser.process(b"\x1b[m\x1b[?6h");
    all.push(format!("top {:?}", parser.screen().cursor_position()));
    parser.process(b"\x1b[99;1H\n\n#");
    all.extend(seen(parser.screen()));
    parser.process(b"\x1b[?47l");
    all.extend(seen(parser.screen()));
    all.extend(above(parser.screen()));
    all
}

/// Attributes that `vt100` does not know.
const BEYOND: [&[u8]; 22] = [
    b"\x1b[5m",
    b"\x1b[6;25;8m",
    b"\x1b[9m",
    b"\x1b[29;28;53m",
    b"\x1b[55m",
    b"\x1b[1;2m",
    b"\x1b[22m",
    b"\x1b[4;31m",
    b"\x1b[21m",
    b"\x1b[4:3m",
    b"\x1b[4:5;1;44m",
    b"\x1b[4:0m",
    b"\x1b[24m",
    b"\x1b[4;58;2;9;8;7m",
    b"\x1b[58:5:99m",
    b"\x1b[58:2::1:2:3;38:2::3:2:1m",
    b"\x1b[59;48:2:4:5:6m",
    b"\x1b[38;2;1;0;7m",
    b"\x1b[39m",
    b"\x1b]8;;http://x.example/a\x1b\\",
    b"\x1b]8;id=1;http://x.example/b\x07",
    b"\x1b]8;;\x1b\\",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&'static [u8]> = vec![
        b"\r\n",
        b"\r\n\r\n\r\n",
        b"\n",
        b"\r",
        b"\t",
        b"\x08",
        b"\x1b7",
        b"\x1b8",
        b"\x1bM",
        b"\x1b[H",
        b"\x1b[2J",
        b"\x1b[K",
        b"\x1b[1K",
        b"\x1b[J",
        b"\x1b[?1049h",
        b"\x1b[?1049l",
        b"\x1b[?47l",
        b"\x1b[2;4r",
        b"\x1b[r",
        b"\x1b[?6h",
        b"\x1b[?6l",
        b"\x1b[?25l",
        b"\x1b[?25h",
        b"\x1b[?2004h",
        b"\x1b[?1000h",
        b"\x1b[?1006h",
        b"\x1b[?1000l",
        b"\x1b[?1h",
        b"\x1b=",
        b"\x1b>",
        b"\x1b[5 q",
        b"\x1b[m",
        b"\x1b[31m",
        b"\x1b[1;44m",
        b"\x1b[38;2;1;2;3m",
        b"\x1b[7m",
        b"\x1b[L",
        b"\x1b[M",
        b"\x1b[P",
        b"\x1b[@",
        b"\x1b[X",
        b"\x1b[S",
        b"\x1b[T",
        b"\x1b]2;a title\x07",
        b"\x1b]0;x\x1b\\",
        b"\x1bP1$rq\x1b\\",
        b"\x1b_Gf=1;AAAA\x1b\\",
        b"\x07",
        b"\x1b[?2026h",
        b"\x1b[3\n1m",
        "ä".as_bytes(),
        "漢".as_bytes(),
        "e\u{301}".as_bytes(),
        "😀".as_bytes(),
        b"\x1b[?7h",
        b"\x1b[?7l",
        b"\x1b[4h",
        b"\x1b[4l",
        b"\x1b[?47h",
        b"\x1bH",
        b"\x1b[3g",
        b"\x1b[g",
        b"\x1b[Z",
        b"\x1b[2I",
        b"\x1bD",
        b"\x1bE",
        b"\x1b[44m\x1b[3L",
        b"\x1b[2M",
        b"\x1b[2P",
        "\u{26a0}\u{fe0f}".as_bytes(),
        b"\x1b(B",
    ];
    prop_oneof![
        4 => "[a-z ]{1,15}".prop_map(String::into_bytes),
        6 => prop::sample::select(fixed).prop_map(<[u8]>::to_vec),
        1 => (1u16..7, 1u16..14).prop_map(|(row, col)| format!("\x1b[{row};{col}H").into_bytes()),
        1 => (1u16..9, prop::sample::select(vec!['A', 'B', 'C', 'D', 'G'])).prop_map(|(n, c)| format!("\x1b[{n}{c}").into_bytes()),
    ]
}

/// Output with more attributes, without what is known to be drawn in another way of the same look.
fn styled_stream() -> impl Strategy<Value = Vec<u8>> {
    let beyond = prop::sample::select(BEYOND.to_vec()).prop_map(<[u8]>::to_vec);
    prop::collection::vec(prop_oneof![1 => piece(), 1 => beyond], 0..60).prop_map(|pieces| pieces.concat())
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_at_any_cut_and_the_rest_are_the_whole(stream in stream(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(stream.len() + 1);
        let mut bytes = model(&stream[..cut]).snapshot();
        bytes.extend_from_slice(&stream[cut..]);
        let (shown, whole) = (everything(&mut reference(&bytes)), everything(&mut reference(&stream)));
        let differs = shown.iter().zip(&whole).position(|(shown, whole)| shown != whole);
        let at = differs.unwrap_or(shown.len().min(whole.len()));
        let before = String::from_utf8_lossy(&stream[..cut]).escape_debug().to_string();
        prop_assert_eq!(shown.get(at), whole.get(at), "line {} after {}", at, before);
    }

    #[test]
    fn a_snapshot_keeps_what_the_cells_do_not(stream in styled_stream(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(stream.len() + 1);
        let (before, after) = stream.split_at(cut);
        let mut bytes = model(before).snapshot();
        bytes.extend_from_slice(after);
        let before = String::from_utf8_lossy(before).escape_debug().to_string();
        prop_assert_eq!(styled(model(&bytes)), styled(model(&stream)), "after {}", before);
    }

    #[test]
    fn the_model_does_not_depend_on_how_it_is_fed(stream in stream(), chunk in 1usize..9) {
        let mut piecewise = Screen::new(SIZE);
        for piece in stream.chunks(chunk) {
            piecewise.feed(piece);
        }
        prop_assert_eq!(piecewise.snapshot(), model(&stream).snapshot());
    }

    #[test]
    fn nothing_panics_and_everything_is_bounded(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\x1b[]?;mHJrh0123456789\n\xf0\x9f\x98\x80\xef\xb8\x8f"[..])], 0..600),
        sizes in prop::collection::vec((0u16..40, 0u16..12), 1..5),
    ) {
        let mut screen = Screen::new(SIZE);
        for (at, (cols, rows)) in sizes.iter().enumerate() {
            let part = bytes.len() / sizes.len();
            screen.feed(&bytes[at * part..(at + 1) * part]);
            screen.resize(WindowSize { cols: *cols, rows: *rows });
            let said = screen.take_said();
            prop_assert!(said.notices.len() <= NOTICES_MAX && said.answers.len() <= ANSWERS_MAX);
        }
        prop_assert!(screen.snapshot().len() < 1 << 20);
        let _ = (screen.tail(50), screen.text_rows());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_are_passed_over_leave_no_trace(
        start in stream(),
        kinds in prop::collection::vec(prop::sample::select(vec!["a", "", "a line that is wrapped", "\x1b[31mred", "\x1b[m", "\x1b[0;1mbold\t漢", "b\rc"]), 1..8),
        count in 13_000usize..16_000, chunk in 500usize..9000, tail in "[a-z]{0,9}",
    ) {
        let mut bytes = Vec::new();
        for line in 0..count {
            bytes.extend_from_slice(format!("{line}{}\r\n", kinds[line % kinds.len()]).as_bytes());
        }
        bytes.extend_from_slice(tail.as_bytes());
        let mut whole = model(&start);
        whole.feed(&bytes);
        let mut skipped = model(&start);
        if skipped.scrolls_whole() {
            let mut plain = Plain::new(0, SIZE.rows);
            for piece in bytes.chunks(chunk) {
                prop_assert!(plain.look(piece));
            }
            // Without a reset attributes may pile up; then all of it is drawn.
            let resets = kinds.contains(&"\x1b[m");
            let coloured = kinds.iter().any(|kind| kind.contains('\x1b'));
            prop_assert!(plain.begin().is_some() || coloured && !resets);
            let (begin, attributes) = plain.begin().unwrap_or((0, b""));
            let begin = usize::try_from(begin).unwrap();
            if begin == 0 {
                return Ok(());
            }
            skipped.skip(attributes);
            skipped.feed(&bytes[begin..]);
            let snapshots = [whole.snapshot(), skipped.snapshot()];
            prop_assert!(snapshots[0] == snapshots[1]);
        }
    }
}

#[test]
fn what_follows_other_sequences_is_no_plain_run() {
    for other in ["\x1b[2J", "\x07", "\x1b]2;x\x07", "\x1b7", "\x08"] {
        let mut plain = Plain::new(7, 24);
        assert!(!plain.look(format!("one\r\n\x1b[32mtwo{other}three\r\n").as_bytes()), "{other:?}");
        assert!(plain.begin().is_none());
    }
}

#[test]
fn questions_titles_and_notices_are_read() {
    let mut screen = model(b"ab\x1b[6n\x1b[5n\x1b[c\x1b]0;one \x1b\\\x1b]2;t\xc2\x9b\x07\x1b]9;4;1;50\x07\x1b]9;hello\x07\x07\x07\x1b]133;C\x07");
    let said = screen.take_said();
    assert_eq!(said.answers, b"\x1b[1;3R\x1b[0n\x1b[?1;2c");
    assert_eq!(said.title.as_deref(), Some("t\\u{9b}"));
    let hello = Notice { title: String::new(), body: "hello".to_owned() };
    assert_eq!(said.notices, [hello, Notice::default()]);
    assert_eq!(said.working, Some(true));
    screen.feed(b"\x1b]2;\x07");
    assert_eq!(screen.take_said().title.as_deref(), Some(""), "it is taken back");
    assert!(!String::from_utf8_lossy(&screen.snapshot()).contains("\x1b]2;"));
    screen.feed(b"\x1b]0;\x07\x1b]2\x07");
    assert_eq!(screen.take_said().title, None, "it is as it was");
    screen.feed("\x1b]2;".as_bytes());
    screen.feed("x".repeat(1 << 20).as_bytes());
    assert!(screen.snapshot().len() < 10_000);
    screen.feed(b"\x07");
    assert_eq!(screen.take_said().title.map(|title| title.len()), Some(256));
}

#[test]
fn what_is_cleared_with_the_lines_above_is_gone() {
    let mut screen = model("line\r\n".repeat(3000).as_bytes());
    assert_eq!(screen.tail(500).len(), 500);
    screen.feed(b"\x1b[H\x1b[2J\x1b[3Jnew");
    assert_eq!(screen.tail(500), ["new"]);
    assert!(screen.snapshot().len() < 500);
}

#[test]
fn line_drawing_and_the_keyboards_modes_are_kept() {
    let screen = model(b"\x1b(0lqk\x1b(B x\x1b[>5u\x1b[?1004h\x1b)0\x0eq");
    assert_eq!(screen.text_rows()[0], "┌─┐ x─");
    let snapshot = String::from_utf8(screen.snapshot()).unwrap();
    for mode in ["\x1b[>5u", "\x1b[?1004h", "\x1b)0", "\x0e"] {
        assert!(snapshot.contains(mode), "{mode:?}");
    }
}

#[test]
fn styles_are_bounded_and_the_newest_are_shown() {
    let mut screen = Screen::new(WindowSize { cols: 40, rows: 4 });
    for number in 0..60_000_u32 {
        let [_, r, g, b] = number.to_be_bytes();
        screen.feed(
            format!("\x1b[4:3;38;2;{r};{g};{b}m\x1b]8;;http://x.example/{number}\x07{number}\r\n").as_bytes(),
        );
    }
    let snapshot = String::from_utf8(screen.snapshot()).unwrap();
    for number in 59_900..60_000 {
        assert!(snapshot.contains(&format!("\x1b]8;;http://x.example/{number}\x1b\\{number}")), "{number}");
    }
    let newest = u32::to_be_bytes(59_999);
    assert!(snapshot.contains(&format!("38;2;{};{};{}m\x1b[4:3m", newest[1], newest[2], newest[3])));
    let styles = &screen.parser.callbacks().styles;
    assert!(format!("{styles:?}").len() < 1 << 24);
    // More than are kept stand on one screen: what the cells hold themselves is left of them.
    let mut screen = Screen::new(WindowSize { cols: 300, rows: 200 });
    for number in 0..40_000_u32 {
        let [_, r, g, b] = number.to_be_bytes();
        screen.feed(format!("\x1b[9;38;2;{r};{g};{b}mx").as_bytes());
    }
    let snapshot = String::from_utf8(screen.snapshot()).unwrap();
    assert!(snapshot.contains("\x1b[0;9;38;2;0;0;7mx") && snapshot.contains("\x1b[38;2;0;156;63mx"));
    screen.feed(b"\x1b[m\x1b[2J\x1b[H");
    for number in 0..2000 {
        screen.feed(
            format!("\x1b[9;38;5;{};48;5;{}m\x1b]8;;x:{number}\x07x", number % 256, number / 256).as_bytes(),
        );
    }
    assert!(String::from_utf8(screen.snapshot()).unwrap().contains("\x1b]8;;x:1999\x1b\\x"));
    // Two long links that take turns over all cells.
    let links = ["a", "b"].map(|link| format!("\x1b]8;;{}\x07x", link.repeat(2000)));
    for number in 0..60_000 {
        screen.feed(links[number % 2].as_bytes());
    }
    assert!(screen.snapshot().len() < SNAPSHOT_MOST);
}

#[test]
fn a_picture_is_drawn_anew_once_anything_has_come() {
    let wide = WindowSize { cols: 30, rows: 7 };
    let text = b"one\r\ntwo\r\n\x1b[31mthree\x1b[m\r\nfour\r\nfive\r\nsix";
    let changes: [fn(&mut Screen, WindowSize); 6] = [
        |screen, _| screen.feed(b"more"),
        |screen, _| screen.feed(b"\x1b[?1049h"),
        |screen, _| screen.feed(b"\x1b]2;title\x07"),
        |screen, _| screen.feed(b"\x1b[3J"),
        |screen, size| screen.resize(size),
        |screen, _| screen.skip(b""),
    ];
    for (number, change) in changes.iter().enumerate() {
        let (mut looked_at, mut fresh) = (model(text), model(text));
        let first = looked_at.snapshot();
        assert_eq!(looked_at.snapshot(), first, "who looks again sees the same");
        change(&mut looked_at, wide);
        change(&mut fresh, wide);
        assert_ne!(looked_at.snapshot(), first, "{number}");
        assert_eq!(looked_at.snapshot(), fresh.snapshot(), "{number}");
    }
}

#[test]
fn what_vt100_does_not_know_is_drawn_as_terminals_draw_it() {
    let shown = |bytes: &str| {
        let screen = model(bytes.as_bytes());
        let rows: Vec<String> = screen.text_rows().into_iter().filter(|row| !row.is_empty()).collect();
        (rows.join("|"), screen.parser.screen().cursor_position())
    };
    let is = |bytes: &str, rows: &str, row, col| {
        assert_eq!(shown(bytes), (rows.to_owned(), (row, col)), "{bytes:?}");
    };
    // Without wrapping the last column is written again and again.
    is("\x1b[?7l0123456789abcdef\r\nnext", "0123456789af|next", 1, 4);
    is("\x1b[?7l0123456789ab漢\x1b[?7h", "0123456789漢", 0, 12);
    is("hello\r\x1b[4hIN漢\x1b[4l!", "IN漢!ello", 0, 5);
    is("0123456789ab\r\x1b[4hx", "x0123456789a", 0, 1);
    // Tabs stop where the program says.
    is("\x1b[3g\r\x1b[4C\x1bH\r\ta\r\n\t\tb", "    a|           b", 1, 12);
    is("\x1b[9G\x1b[g\ra\tb", "a          b", 0, 12);
    is("\x1b[3g\x1bc\ta", "        a", 0, 9);
    is("abcdefghij\x1b[Z#\x1b[9I@", "abcdefgh#j @", 0, 12);
    is("0123456789ab\tZ", "0123456789ab|Z", 1, 1);
    is("0123456789a\tZ\tY", "0123456789aZ|Y", 1, 1);
    // Other margins send the cursor home, and impossible ones do nothing.
    is("\x1b[3;3H\x1b[2;4rX", "X", 0, 1);
    is("\x1b[2;4r\x1b[?6h\x1b[3;5rX", "X", 2, 1);
    is("ab\x1b[4;2rc\x1b[3;3rd", "abcd", 0, 4);
    is("1\r\n\x1b[2;3ra\r\nb\r\nc\r\nd", "a|c|d", 2, 1);
    // Positions that count from here.
    is("\x1b[3aX\x1b[2eY", "   X|    Y", 2, 5);
    // The cursor stays where it is when the screens change.
    is("main\x1b[?1047haltx\x1b[?1047lm2", "main    m2", 0, 10);
    is("main\x1b[?47halt", "    alt", 0, 7);
    is("\x1b[?47ha\x1b[?47l\x1b[?47hb", " b", 0, 2);
    is("one\r\ntwo\r\n\x1b[?1049hX", "X", 2, 1);
    is("one\r\ntwo\x1b[?1049hX\x1b[?1049l!", "one|two!", 1, 4);
    // A character stays as wide as it is when its coloured form is asked for, and keeps asking.
    is("\u{26a0}\u{fe0f}ab", "\u{26a0}\u{fe0f}ab", 0, 3);
    let lines = "\u{2600}\u{fe0f}|\r\n".repeat(300);
    let picture = String::from_utf8(model(lines.as_bytes()).snapshot()).unwrap();
    assert_eq!(picture.matches("\u{2600}\u{fe0f}|").count(), 300);
    assert_eq!(model(lines.as_bytes()).tail(1), ["\u{2600}\u{fe0f}|"]);
}

#[test]
fn what_comes_in_has_the_colour_behind_what_is_drawn() {
    let blue = |bytes: &str| {
        let screen = model(bytes.as_bytes());
        let is_blue =
            |row, col| screen.parser.screen().cell(row, col).unwrap().bgcolor() == vt100::Color::Idx(4);
        let rows = (0..SIZE.rows).map(|row| {
            let cols = (0..SIZE.cols).filter(|col| is_blue(row, *col)).count();
            cols.to_string()
        });
        (rows.collect::<Vec<_>>().join(" "), screen.parser.screen().cursor_position())
    };
    let is = |bytes: &str, rows: &str, at| assert_eq!(blue(bytes), (rows.to_owned(), at), "{bytes:?}");
    let full = "1\r\n2\r\n3\r\n4\r\n5";
    is(&format!("{full}\x1b[44m\n\n"), "0 0 0 12 12", (4, 1));
    is(&format!("{full}\x1b[44m\x1bD\x1bE"), "0 0 0 12 12", (4, 0));
    is(&format!("{full}\x1b[44m0123456789abc"), "0 0 0 11 12", (4, 2));
    is(&format!("{full}\x1b[44m\x1b[2;3H\x1b[2L"), "0 12 12 0 0", (1, 2));
    is(&format!("{full}\x1b[44m\x1b[2;3H\x1b[2M"), "0 0 0 12 12", (1, 2));
    is(&format!("{full}\x1b[44m\x1b[2;3H\x1b[S"), "0 0 0 0 12", (1, 2));
    is(&format!("{full}\x1b[44m\x1b[2;3H\x1b[2T"), "12 12 0 0 0", (1, 2));
    is(&format!("{full}\x1b[44m\x1b[1;3H\x1bM"), "12 0 0 0 0", (0, 2));
    is(&format!("{full}\x1b[44m\x1b[?1049h"), "12 12 12 12 12", (4, 1));
    is(&format!("{full}\x1b[44m\x1b[?47h"), "12 12 12 12 12", (4, 1));
    is(&format!("{full}\x1b[44m\x1b[2;3H\x1b[4P"), "0 4 0 0 0", (1, 2));
    is(&format!("{full}\x1b[44m\x1b[2;3H\x1b[4@"), "0 4 0 0 0", (1, 2));
    // In the region alone, and nothing where nothing moved.
    is(&format!("{full}\x1b[44m\x1b[2;4r\x1b[4;1H\n"), "0 0 0 12 0", (3, 0));
    is(&format!("{full}\x1b[44m\x1b[2;4r\x1b[5;1H\n"), "0 0 0 0 0", (4, 0));
    is(&format!("{full}\x1b[44m\x1b[2;4r\x1b[?6h\x1b[2;2H\x1b[L"), "0 0 12 0 0", (2, 1));
    is(&format!("{full}\x1b[44m\x1b[1;1H\n"), "0 0 0 0 0", (1, 0));
    is(&format!("{full}\n\x1b[S\x1b[L"), "0 0 0 0 0", (4, 1));
}
