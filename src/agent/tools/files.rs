//! `edit` and `write`: changing files below the work directory, each as one step.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::Deserialize;

use super::edit::{Edit, Edited, TEXT_MAX, apply};
use super::root::{Root, Slot, is_git_own, read_whole, show};
use super::text::{self, Kind};
use super::{Done, Refusal};

/// What `edit` takes.
#[derive(Debug, Deserialize)]
pub struct EditArgs {
    #[serde(alias = "file_path", alias = "filename")]
    path: String,
    #[serde(default)]
    edits: Vec<Edit>,
    /// Some models write one edit without the list, or beside it.
    #[serde(flatten)]
    single: Option<Edit>,
}

/// What `write` takes.
#[derive(Debug, Deserialize)]
pub struct WriteArgs {
    #[serde(alias = "file_path", alias = "filename")]
    path: String,
    #[serde(alias = "contents", alias = "text")]
    content: String,
}

/// A file that is there, as it was read.
struct Old {
    bytes: Vec<u8>,
    file: File,
    mode: u32,
}

/// Makes exact edits of one file, all or none.
pub fn edit(root: &Root, args: &EditArgs) -> Result<Done, Refusal> {
    let (place, slot) = slot(root, &args.path, false)?;
    let shown = show(&place);
    let refuse = |error: io::Error| root.refusal(&place, &error);
    let old = old(&slot, &shown).map_err(refuse)??;
    if text::kind(&old.bytes) != Kind::Text || memchr::memchr(0, &old.bytes).is_some() {
        return Err(Refusal::new(format!(
            "`{shown}` is binary or UTF-16 and can't be edited; change it with `bash`"
        )));
    }
    let single = args.single.iter().filter(|single| !args.edits.contains(single));
    let edits: Vec<Edit> = args.edits.iter().chain(single).cloned().collect();
    let edited = apply(&old.bytes, &edits).map_err(|why| Refusal::new(format!("`{shown}`: {why}")))?;
    unchanged(&slot, &old, &shown).map_err(refuse)??;
    slot.replace(&edited.bytes, Some(old.mode)).map_err(refuse)?;
    let lines: Vec<_> = edited.changes.iter().map(|change| change.line.to_string()).collect();
    let more = if edited.places > lines.len() { ", …" } else { "" };
    let places = text::count(edited.places, "place");
    Ok(Done {
        ok: true,
        steady: None,
        text: format!("Edited `{shown}`: {places} (line {}{more}).", lines.join(", ")),
        shown: diff(&shown, &edited),
        changed: vec![slot.at],
    })
}

/// Writes a whole file.
pub fn write(root: &Root, args: &WriteArgs) -> Result<Done, Refusal> {
    let (place, slot) = slot(root, &args.path, true)?;
    let shown = show(&place);
    let refuse = |error: io::Error| root.refusal(&place, &error);
    let mode = match slot.read() {
        Ok(file) => {
            let meta = file.metadata().map_err(refuse)?;
            if !meta.is_file() {
                return Err(Refusal::new(format!("`{shown}` is there and is no file; choose another name")));
            }
            Some(meta.mode())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(refuse(error)),
    };
    slot.replace(args.content.as_bytes(), mode).map_err(refuse)?;
    let lines = text::count(text::line_count(args.content.as_bytes()), "line");
    let what = if mode.is_some() { "Replaced" } else { "Made" };
    Ok(Done {
        ok: true,
        steady: None,
        text: format!("{what} `{shown}`: {lines}, {} bytes.", args.content.len()),
        shown: vec![format!("{} {shown} ({lines})", what.to_lowercase())],
        changed: vec![slot.at],
    })
}

fn slot(root: &Root, path: &str, make: bool) -> Result<(PathBuf, Slot), Refusal> {
    let place = root.place(path)?;
    let gits = || Refusal::new(format!("`{}` is git's own; change it with git commands", show(&place)));
    if is_git_own(&place) {
        return Err(gits());
    }
    let slot = root.slot(&place, make).map_err(|error| root.refusal(&place, &error))?;
    if root.is_git_own(&slot) { Err(gits()) } else { Ok((place, slot)) }
}

fn old(slot: &Slot, shown: &str) -> io::Result<Result<Old, Refusal>> {
    let file = slot.read()?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(Err(Refusal::new(format!("`{shown}` is no file"))));
    }
    Ok(match read_whole(&file, TEXT_MAX)? {
        Some(bytes) => Ok(Old { bytes, file, mode: meta.mode() }),
        None => Err(Refusal::new(format!(
            "`{shown}` is larger than {TEXT_MAX} bytes; change it with `bash`, as by `sed -i`"
        ))),
    })
}

/// Whether the file that is there is still the one that was read, as it was read.
fn unchanged(slot: &Slot, old: &Old, shown: &str) -> io::Result<Result<(), Refusal>> {
    let state = |file: &File| {
        file.metadata().map(|meta| (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    let same =
        state(&slot.read()?)? == state(&old.file)? && old.file.metadata()?.len() == old.bytes.len() as u64;
    Ok(if same {
        Ok(())
    } else {
        Err(Refusal::new(format!("`{shown}` was changed meanwhile; read it again")))
    })
}

/// What was changed at the first places, line by line.
fn diff(shown: &str, edited: &Edited) -> Vec<String> {
    let all = if edited.places > edited.changes.len() {
        format!(" in {} places", edited.places)
    } else {
        String::new()
    };
    let mut lines = vec![format!("edited {shown}{all}")];
    for change in &edited.changes {
        let marked = |mark: char, text: &str| {
            text.lines().map(|line| format!("{mark} {}", line.trim_end())).collect::<Vec<_>>()
        };
        lines.extend(marked('-', &change.old));
        lines.extend(marked('+', &change.new));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_somebody_else_changed_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (path, root) = (dir.path().join("a"), Root::open(dir.path()).unwrap());
        let other = |how: &dyn Fn()| {
            std::fs::write(&path, "one\n").unwrap();
            let (_, slot) = slot(&root, "a", false).unwrap();
            let old = old(&slot, "a").unwrap().unwrap();
            how();
            unchanged(&slot, &old, "a").unwrap()
        };
        assert_eq!(other(&|| ()), Ok(()));
        let grown = || std::fs::write(&path, "one\ntwo\n").unwrap();
        let replaced = || {
            std::fs::write(dir.path().join("b"), "one\n").unwrap();
            std::fs::rename(dir.path().join("b"), &path).unwrap();
        };
        let hows: [&dyn Fn(); 2] = [&grown, &replaced];
        for how in hows {
            let Err(Refusal(words)) = other(how) else { panic!("it was overwritten") };
            assert!(words.contains("changed meanwhile"), "{words}");
        }
    }
}
