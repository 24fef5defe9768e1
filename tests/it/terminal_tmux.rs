//! What a session's screen shows, beside what another terminal makes of the same bytes: tmux draws the whole output,
//! and the picture that an attaching viewer gets, and both are compared cell by cell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use darkmux::session::{Event, HostClient, ScreenAttach};
use tokio::time::timeout;
use unicode_width::UnicodeWidthChar;

use crate::support::{Home, PATIENCE, describe, wait_for};

/// What tmux shows in one of its windows.
#[derive(Debug, PartialEq)]
struct Shown {
    /// A row of cells: text, colours, attributes.
    rows: Vec<Vec<String>>,
    /// Column, row, whether it is visible, whether the screen is the alternate one.
    cursor: String,
}

/// A tmux server of its own.
struct Tmux {
    home: Home,
}

impl Tmux {
    fn start() -> Self {
        let home = Home::new();
        let settings = "set -g status off\nset -g history-limit 30000\nset -g remain-on-exit on\n\
                        set -g default-size 80x24\nset -g escape-time 0\n";
        std::fs::write(home.path().join("tmux.conf"), settings).unwrap();
        let tmux = Self { home };
        tmux.ok(&["new-session", "-d", "-x", "80", "-y", "24", "sleep 600"]);
        tmux
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.home.command("tmux");
        command.args(["-S", "tmux.sock", "-f", "tmux.conf", "-u"]).args(args);
        command.output().expect("tmux is installed; tests/run does that")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "tmux {args:?}: {}", describe(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Shows these bytes in a window of their own and waits until they are drawn.
    fn show(&self, bytes: &[u8]) -> String {
        let file = self.home.path().join("shown");
        std::fs::write(&file, bytes).unwrap();
        // The title comes last and says that everything before it is drawn.
        let script = format!(
            "stty raw -echo; cat {}; printf '\\033]2;drawn\\033\\\\'; exec sleep 600",
            file.display()
        );
        let window = self.ok(&["new-window", "-d", "-P", "-F", "#{window_id}", &script]);
        let window = window.trim().to_owned();
        wait_for("tmux to draw", || {
            let title = self.ok(&["display-message", "-p", "-t", &window, "#{pane_title}"]);
            (title.trim() == "drawn").then_some(())
        });
        window
    }

    fn look(&self, bytes: &[u8]) -> Shown {
        let window = self.show(bytes);
        let text = self.ok(&["capture-pane", "-p", "-e", "-t", &window]);
        let format = "#{cursor_x},#{cursor_y} #{cursor_flag} #{alternate_on}";
        let cursor = self.ok(&["display-message", "-p", "-t", &window, format]);
        self.ok(&["kill-window", "-t", &window]);
        // Attributes last over the ends of rows.
        let mut look = Look::default();
        let rows = drawn(&text).lines().map(|row| cells(row, &mut look)).collect();
        Shown { rows, cursor }
    }

    /// The lines above the screen as text.
    fn above(&self, bytes: &[u8]) -> Vec<String> {
        let window = self.show(bytes);
        let text = self.ok(&["capture-pane", "-p", "-S", "-", "-E", "-1", "-t", &window]);
        self.ok(&["kill-window", "-t", &window]);
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

/// Line drawing that tmux keeps as such, in the characters it stands for.
fn drawn(text: &str) -> String {
    let mut shifted = false;
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '\u{e}' => shifted = true,
            '\u{f}' => shifted = false,
            _ if shifted => {
                let known = "jklmnqtuvwxa".chars().zip("┘┐┌└┼─├┤┴┬│▒".chars());
                out.push(known.into_iter().find(|(from, _)| *from == char).map_or(char, |(_, to)| to));
            }
            _ => out.push(char),
        }
    }
    out
}

/// What tmux says of the characters that follow.
#[derive(Debug, Clone, Default, PartialEq)]
struct Look {
    /// Parameters that are on, by what they are about: `31` by 38, `4:3` by 4.
    on: BTreeMap<u16, String>,
    link: String,
}

impl Look {
    fn apply(&mut self, parameters: &str) {
        let mut rest = parameters.split(';');
        while let Some(parameter) = rest.next() {
            let number: u16 = parameter.split(':').next().unwrap().parse().unwrap_or(0);
            let is_short = !parameter.contains(':');
            let about = match number {
                0 => {
                    self.on.clear();
                    continue;
                }
                30..=37 | 90..=97 | 39 => 38,
                40..=47 | 100..=107 | 49 => 48,
                38 | 48 | 58 if is_short => {
                    let kind = rest.next().unwrap();
                    let count = if kind == "5" { 1 } else { 3 };
                    let parts: Vec<&str> = rest.by_ref().take(count).collect();
                    // The first sixteen have another name as well.
                    let name = match (kind, parts[0].parse::<u16>().unwrap()) {
                        ("5", index @ 0..8) => (number - 8 + index).to_string(),
                        ("5", index @ 8..16) => (number + 44 + index).to_string(),
                        _ => format!("{kind}:{}", parts.join(":")),
                    };
                    self.on.insert(number, name);
                    continue;
                }
                _ => number,
            };
            self.on.insert(about, parameter.to_owned());
        }
    }

    /// As it is seen on a character, or on none.
    fn seen(&self, is_blank: bool) -> String {
        // Nobody sees the colour of no character.
        let seen = |about: u16| !is_blank || matches!(about, 4 | 7 | 9 | 48 | 53 | 58);
        let on: Vec<&str> =
            self.on.iter().filter(|(about, _)| seen(**about)).map(|(_, on)| &on[..]).collect();
        format!("{} {}", on.join(" "), self.link)
    }
}

/// The cells of a row as tmux writes it down, which begins with this look.
fn cells(row: &str, look: &mut Look) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    let mut rest = row;
    while let Some(char) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\x1b[") {
            let (parameters, after) = sequence.split_once('m').expect("attributes");
            look.apply(parameters);
            rest = after;
        } else if let Some(link) = rest.strip_prefix("\x1b]8;") {
            let (link, after) = link.split_once("\x1b\\").expect("a link");
            link.clone_into(&mut look.link);
            rest = after;
        } else {
            if char.width() == Some(0) {
                cells.last_mut().expect("a character").push(char);
            } else {
                cells.push(format!("{} {char}", look.seen(char == ' ')));
            }
            rest = &rest[char.len_utf8()..];
        }
    }
    while cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells
}

/// A session whose screen is compared.
struct Session {
    home: Home,
    folder: PathBuf,
}

impl Session {
    fn start(home: Home, script: &str) -> Self {
        let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", script]).trim().to_owned();
        let folder = home.darkmux().join("sessions").join(&id);
        Self { home, folder }
    }

    /// A session that puts these pieces out, one for each key.
    fn pieces(pieces: &[&[u8]]) -> Self {
        let home = Home::new();
        for (number, piece) in pieces.iter().enumerate() {
            std::fs::write(home.path().join(format!("piece{number:03}")), piece).unwrap();
        }
        let script = "stty raw -echo; for f in piece*; do cat $f; head -c 1 >/dev/null; done; exec sleep 600";
        Self::start(home, script)
    }

    async fn client(&self) -> HostClient {
        HostClient::connect(&self.folder).await.expect("the host answers")
    }

    async fn end(&self) -> u64 {
        self.client().await.status().await.unwrap().output.end
    }

    async fn press(&self, keys: &[u8]) {
        self.client().await.input(keys).await.unwrap();
    }

    /// The picture that an attaching viewer gets, and all output that it stands for.
    async fn picture(&self) -> (Vec<u8>, Vec<u8>) {
        let how = ScreenAttach { read_only: true, ..ScreenAttach::default() };
        let mut attached = self.client().await.attach_screen(how).await.unwrap();
        let first = timeout(PATIENCE, attached.events.next()).await.expect("a picture").unwrap();
        let Some(Event::Snapshot { at, bytes, .. }) = first else { panic!("{first:?}") };
        let mut all = Vec::new();
        let mut attached = self.client().await.attach(Some(0), false).await.unwrap();
        while (all.len() as u64) < at {
            let event = timeout(PATIENCE, attached.events.next()).await.expect("output").unwrap();
            let Some(Event::Output(output)) = event else { panic!("{event:?}") };
            all.extend_from_slice(&output);
        }
        all.truncate(usize::try_from(at).unwrap());
        (bytes.to_vec(), all)
    }

    /// Compares what tmux makes of the picture with what it makes of the output.
    async fn compare(&self, tmux: &Tmux, what: &str) {
        let (picture, all) = self.picture().await;
        compare(&tmux.look(&picture), &tmux.look(&all), what);
    }

    /// Waits until the program has put something out and is quiet.
    async fn settled(&self, more_than: u64) -> u64 {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut before = 0;
        loop {
            let end = self.end().await;
            if end > more_than && end == before {
                return end;
            }
            before = end;
            assert!(tokio::time::Instant::now() < deadline, "no output after {more_than}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

fn compare(picture: &Shown, whole: &Shown, what: &str) {
    assert!(whole.rows.iter().any(|row| !row.is_empty()), "{what}: tmux shows nothing");
    assert_eq!(picture.cursor, whole.cursor, "{what}: cursor and screen");
    for (number, (picture, whole)) in picture.rows.iter().zip(&whole.rows).enumerate() {
        let differ = picture.iter().zip(whole).position(|(left, right)| left != right);
        assert_eq!(picture.len(), whole.len(), "{what}: length of row {number}");
        if let Some(col) = differ {
            panic!("{what}: row {number} column {col}: {} is {}", whole[col], picture[col]);
        }
    }
    assert_eq!(picture.rows.len(), whole.rows.len(), "{what}");
}

/// Pieces of output, by what they show.
fn streams() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let colours = |from: u16, to: u16| -> Vec<u8> {
        let cell = |n: u16| format!("\x1b[38;5;{n};48;5;{}m{n:>3} ", 255 - n);
        (from..to).flat_map(|n| cell(n).into_bytes()).chain(*b"\x1b[m\r\n").collect()
    };
    let exact: Vec<u8> = (0..70_u16)
        .flat_map(|n| format!("\x1b[38;2;{};{};9m\x1b[48;2;3;{n};200m#", n * 3, 250 - n).into_bytes())
        .collect();
    vec![
        ("256 colours", vec![colours(0, 100), colours(100, 180), colours(180, 256)]),
        (
            "true colour",
            vec![exact.clone(), b"\x1b[0m\r\n".to_vec(), exact, b"\x1b[K\r\n\x1b[44m\x1b[K".to_vec()],
        ),
        (
            "attributes",
            vec![
                b"\x1b[1mbold\x1b[0m \x1b[2mdim\x1b[0m \x1b[3mitalic\x1b[0m ".to_vec(),
                b"\x1b[4munder\x1b[24m \x1b[7minverse\x1b[27m \x1b[1;3;4;7;31;42mall".to_vec(),
                b" of them\x1b[22;24m less\x1b[m none\r\n\x1b[90mbright\x1b[105mer".to_vec(),
            ],
        ),
        (
            "attributes beyond the common ones",
            vec![
                b"\x1b[5mblink\x1b[0m \x1b[8mhidden\x1b[28m shown \x1b[9mstruck\x1b[29m \x1b[53mover\x1b[55m\r\n".to_vec(),
                b"\x1b[21mdouble\x1b[24m \x1b[4:3mcurly\x1b[4:0m \x1b[4:4mdots\x1b[4mline\x1b[m \x1b[1;2mboth\x1b[22;2mdim\x1b[22;1mbold".to_vec(),
                b"\x1b[m\r\n\x1b[4;58;2;9;8;7mred\x1b[58:5:99mviolet\x1b[59mplain\x1b[m \x1b[38:2::1:2:3mtrue\x1b[48:5:20m colours\x1b[K".to_vec(),
                b"\x1b[m\r\n\x1b]8;;http://x.example/a\x1b\\a link\x1b[1m in bold\x1b[m and\x1b]8;;\x1b\\ none\r\n".to_vec(),
                b"\x1b[9;4:3;31m\x1b7\x1b]8;id=1;http://x.example/b\x07kept \x1b[m".to_vec(),
                b"plain\x1b8here\x1b[7;53m\x1b[K\r\n\x1b[?1049h\x1b[Hover\x1b[m there".to_vec(),
                b"\x1b[?1049l back\r\nend".to_vec(),
            ],
        ),
        (
            "wide characters",
            vec![
                "漢字かな交じり文 한국어 \r\n".into(),
                format!("{}漢\r\n", "x".repeat(79)).into(),
                "😀🚀🎉 emoji e\u{301} o\u{308} combined\r\n".into(),
                format!("{}|\r\n\x1b[2;3Hy\x1b[2;8H字\x1b[9;1H", "界".repeat(40)).into(),
            ],
        ),
        (
            "a program of the whole screen",
            vec![
                b"before\r\nit\x1b7\x1b[?1049h\x1b[H\x1b[2J\x1b[1;1H~ top".to_vec(),
                b"\x1b[3;20r\x1b[20;1Hbottom\n\n\n\x1b[3;1H\x1b[2L\x1b[1mtwo lines in\x1b[m".to_vec(),
                b"\x1b[10;5H0123456789\x1b[10;8H\x1b[3P\x1b[2@\x1b[11;5H####\x1b[11;6H\x1b[2X\x1b[?25l"
                    .to_vec(),
                b"\x1b(0\x1b[12;4Hlqqqwqqqk\x1b[13;4Hx\x1b(B in \x1b(0x\x1b(B\x1b[24;1H\x1b[7m status \x1b[m"
                    .to_vec(),
                b"\x1b[r\x1b[?25h\x1b[?1049lafter".to_vec(),
            ],
        ),
        (
            "edges",
            vec![
                format!("{}\r\n{}", "w".repeat(200), "e".repeat(80)).into(),
                b"\x1b[24;78Habcdef".to_vec(),
                b"\x1b[5;5H\x1b[1J\x1b[6;1Htab\ttab\x1b[20Gx\x08\x08y\x1b[?6h".to_vec(),
                b"\x1b[?6l\x1b[2;10H\x1b[K\x1b[22d*\x1bM\x1bM^".to_vec(),
            ],
        ),
    ]
}

#[tokio::test]
async fn the_picture_is_what_another_terminal_shows_at_every_cut() {
    let tmux = Tmux::start();
    for (what, pieces) in streams() {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let session = Session::pieces(&pieces);
        let whole = tmux.look(&pieces.concat());
        let mut sum = 0;
        for (number, piece) in pieces.iter().enumerate() {
            sum += piece.len() as u64;
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while session.end().await < sum {
                assert!(tokio::time::Instant::now() < deadline, "{what}: piece {number}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let (picture, all) = session.picture().await;
            assert_eq!(all.len() as u64, sum);
            compare(&tmux.look(&picture), &tmux.look(&all), &format!("{what}, cut {number}"));
            let rest = [&picture[..], &pieces[number + 1..].concat()].concat();
            compare(&tmux.look(&rest), &whole, &format!("{what}, cut {number} and the rest"));
            session.press(b"k").await;
        }
    }
}

#[tokio::test]
async fn the_lines_above_the_screen_are_those_of_another_terminal() {
    let tmux = Tmux::start();
    let home = Home::new();
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); \
                  printf 'line %d \\033[3%dmcoloured\\033[m 漢字\\n' $i $((i % 8)); done; exec sleep 600";
    let session = Session::start(home, script);
    session.settled(60_000).await;
    let (picture, all) = session.picture().await;
    let (picture, all) = (tmux.above(&picture), tmux.above(&all));
    assert_eq!(all.len(), 2977);
    assert!(picture == all, "{:?} is {:?}", &all[..3], &picture[..3.min(picture.len())]);
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| Path::new(&folder).join(program).exists())
}

#[tokio::test]
async fn programs_look_as_in_another_terminal() {
    let tmux = Tmux::start();
    // What is not here is left out; tests/run installs the first three.
    let programs: [(&str, &str, &[&str]); 5] = [
        ("less", "less -N text", &["  ", "/7\r", "G", "g"]),
        ("tmux", "tmux -L inner -f /dev/null new -s x 'cat text; exec cat'", &["abc\r", "\u{2}%", "x\r"]),
        ("top", "top -d 600", &["1", "h"]),
        ("vim", "vim -u NONE -N text", &["ihello 漢字\u{1b}", ":set nu hls\r/1\r", ":split\r", "G"]),
        ("htop", "htop -d 600", &["t", "\u{1b}OP"]),
    ];
    for (program, command, keys) in programs {
        if !installed(program) {
            assert!(!["less", "tmux", "top"].contains(&program), "{program} is installed by tests/run");
            continue;
        }
        let home = Home::new();
        let text: String =
            (1..=300).fold(String::new(), |text, n| text + &n.to_string() + "\tthis is a line\n");
        std::fs::write(home.path().join("text"), text).unwrap();
        let session = Session::start(home, command);
        let mut end = session.settled(0).await;
        session.compare(&tmux, program).await;
        for key in keys {
            session.press(key.as_bytes()).await;
            end = session.settled(end).await;
            session.compare(&tmux, &format!("{program} after {key:?}")).await;
        }
        if program == "tmux" {
            let _ = session.home.command("tmux").args(["-L", "inner", "kill-server"]).output();
        }
    }
}
