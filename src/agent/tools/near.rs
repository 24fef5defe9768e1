//! Where a text that was looked for may be: the nearest place, with its lines and what differs.

use std::collections::HashMap;

use super::text::cut;

/// Lines of a text that is looked for that are compared.
const LINES_MAX: usize = 300;

/// Lines that are compared letter by letter.
const LETTERS_MAX: usize = 20_000;

/// Lines of the place that are shown.
const SHOWN: usize = 12;

/// Longest line that is shown or compared by letters.
const WIDTH: usize = 200;

/// How alike two lines must be to be worth showing, from 0 to 1.
const ALIKE: f64 = 0.6;

/// Says where `old`, which is not in `bytes`, may have been meant.
pub fn miss(bytes: &[u8], old: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let have: Vec<&str> = text.lines().collect();
    let old: Vec<&str> = old.lines().collect();
    // What is blank at both ends of what was written need not be in the file.
    let first = old.iter().position(|line| !line.trim().is_empty()).unwrap_or(0);
    let last = old.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
    let Some(wanted) = old.get(first..last).filter(|wanted| !wanted.is_empty()) else {
        return "is only blank and not in the file; give lines with text around it".into();
    };
    let wanted = &wanted[..wanted.len().min(LINES_MAX)];
    if let Some(at) = but_for_blanks(&have, wanted) {
        let what = blank_difference(&have[at..at + wanted.len()], wanted);
        return format!("is in the file only with other blanks: {what}.\n{}", shown(&have, at, wanted.len()));
    }
    match most_alike(&have, wanted) {
        Some(at) => {
            let until = (at + wanted.len()).min(have.len());
            format!(
                "is not in the file. The nearest place is lines {}–{until}:\n{}",
                at + 1,
                shown(&have, at, until - at)
            )
        }
        None => "is not in the file, nor anything like it; read the file again".into(),
    }
}

/// The lines where everything but blanks is the same. The first and last may be parts of the file's lines.
fn but_for_blanks(have: &[&str], wanted: &[&str]) -> Option<usize> {
    let bare = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted: Vec<String> = wanted.iter().map(|line| bare(line)).collect();
    let same = |at: usize| {
        wanted.iter().enumerate().all(|(i, wanted_line)| {
            let line = bare(have[at + i]);
            match (i == 0, i + 1 == wanted.len()) {
                (true, true) => line.contains(wanted_line.as_str()),
                (true, false) => line.ends_with(wanted_line.as_str()),
                (false, true) => line.starts_with(wanted_line.as_str()),
                (false, false) => line == *wanted_line,
            }
        })
    };
    (0..(have.len() + 1).saturating_sub(wanted.len())).find(|at| same(*at))
}

fn blank_difference(have: &[&str], wanted: &[&str]) -> String {
    let indent = |line: &str| line[..line.len() - line.trim_start().len()].to_owned();
    let name = |indent: &str| match (indent.matches('\t').count(), indent.matches(' ').count()) {
        (0, 0) => "no blanks".to_owned(),
        (tabs, 0) => super::text::count(tabs, "tab"),
        (0, spaces) => super::text::count(spaces, "space"),
        (tabs, spaces) => format!("{tabs} tabs and {spaces} spaces"),
    };
    for (have, wanted) in have.iter().zip(wanted) {
        if indent(have) != indent(wanted) {
            let (have, wanted) = (name(&indent(have)), name(&indent(wanted)));
            return format!("the file's line begins with {have}, yours with {wanted}");
        }
        if have.trim_end() == wanted.trim_end() && have != wanted {
            return "blanks at the end of a line differ".into();
        }
    }
    "blanks inside or at the end of a line differ".into()
}

/// Where the most lines are the same; else where a line is most like the first one.
fn most_alike(have: &[&str], wanted: &[&str]) -> Option<usize> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, line) in wanted.iter().enumerate().filter(|(_, line)| line.trim().len() > 3) {
        places.entry(line.trim()).or_default().push(at);
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (at, line) in have.iter().enumerate() {
        for offset in places.get(line.trim()).into_iter().flatten().filter(|offset| **offset <= at) {
            *votes.entry(at - offset).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|(at, count)| (*count, usize::MAX - at));
    most.map(|(at, _)| at).or_else(|| {
        let first = cut(wanted[0].trim(), WIDTH);
        let like = |line: &str| strsim::sorensen_dice(&cut(line.trim(), WIDTH), &first);
        let scored = have.iter().take(LETTERS_MAX).enumerate().map(|(at, line)| (like(line), at));
        let best =
            scored.filter(|(like, _)| *like >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        best.map(|(_, at)| at)
    })
}

fn shown(have: &[&str], at: usize, count: usize) -> String {
    let lines = have.iter().enumerate().skip(at).take(count.min(SHOWN));
    let mut text: Vec<_> = lines.map(|(at, line)| format!("{:>6}\t{}", at + 1, cut(line, WIDTH))).collect();
    if count > SHOWN {
        text.push("     …".into());
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "fn a() {\n\tlet x = 1;\n\tlet y = 2;\n}\n\nfn b() {\n\tlet z = 3;\n}\n";

    #[test]
    fn other_blanks_are_named_with_their_place() {
        let words = miss(FILE.as_bytes(), "    let x = 1;\n    let y = 2;\n");
        assert_eq!(
            words,
            "is in the file only with other blanks: the file's line begins with 1 tab, yours with 4 spaces.\n     \
             2\t\tlet x = 1;\n     3\t\tlet y = 2;"
        );
        assert!(miss(b"a = 1;  \nb\n", "a = 1;\nb").contains("at the end of a line"));
        assert!(miss(b"f(a,  b)\n", "f(a, b)").contains("inside or at the end"));
        assert!(miss(b"x\n", " \n").contains("only blank"));
    }

    #[test]
    fn the_nearest_place_is_shown_with_its_lines() {
        let words = miss(FILE.as_bytes(), "fn b() {\n\tlet z = 4;\n}");
        assert!(
            words.starts_with("is not in the file. The nearest place is lines 6–8:\n     6\tfn b() {"),
            "{words}"
        );
        let words = miss(FILE.as_bytes(), "let zz = 3;");
        assert!(words.contains("lines 7–7") || words.contains("lines 2–2"), "{words}");
        assert!(miss(FILE.as_bytes(), "§§§ nothing §§§").contains("nor anything like it"));
        assert!(miss(b"", "x").contains("nor anything like it"));
    }

    proptest! {
        #[test]
        fn any_miss_is_told_in_bounded_words(text in any::<Vec<u8>>(), old in any::<String>()) {
            prop_assert!(miss(&text, &old).len() < 20_000);
        }

        #[test]
        fn lines_of_another_indent_are_found(lines in prop::collection::vec("[a-z]{4,9}", 3..30), at in any::<prop::sample::Index>()) {
            let at = at.index(lines.len());
            let file = lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
            let words = miss(file.as_bytes(), &format!("\t{}", lines[at]));
            prop_assert!(words.contains("4 spaces, yours with 1 tab"), "{}", words);
        }
    }
}
