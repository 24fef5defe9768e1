//! The profile for macOS' `sandbox-exec`.

use std::path::Path;

use super::Rules;

/// The profile that holds commands to `rules`; a path that can't be written in one is an error.
///
/// In a profile the last line that fits decides, so what is refused comes before what is allowed of it.
pub fn profile(rules: &Rules) -> Result<String, String> {
    let mut lines = vec![
        "(version 1)".to_owned(),
        "(allow default)".to_owned(),
        "(deny signal)".to_owned(),
        "(allow signal (target same-sandbox))".to_owned(),
        "(deny file-write*)".to_owned(),
        format!("(allow file-write*{} (subpath \"/dev/fd\"))", filters(&rules.write)?),
        "(deny file-read* (subpath \"/Users\") (subpath \"/Volumes\"))".to_owned(),
    ];
    if let Some(home) = &rules.home {
        lines.push(format!("(deny file-read* (subpath {}))", quoted(home)?));
    }
    // Programs ask for what leads to their folder; its names stay unread.
    lines.push("(allow file-read-metadata)".to_owned());
    lines.push(format!("(allow file-read*{}{})", filters(&rules.read)?, filters(&rules.write)?));
    if !rules.network {
        lines.push("(deny network*)".to_owned());
    }
    Ok(lines.join("\n"))
}

fn filters(paths: &[std::path::PathBuf]) -> Result<String, String> {
    paths.iter().map(|path| Ok(format!(" (subpath {})", quoted(path)?))).collect()
}

fn quoted(path: &Path) -> Result<String, String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text =
        text.ok_or_else(|| format!("`{}` can't stand in a profile of sandbox-exec", path.display()))?;
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_profile_refuses_first_and_allows_what_is_listed() {
        let rules = Rules {
            read: vec!["/usr".into()],
            write: vec!["/dev/null".into()],
            network: false,
            home: Some("/srv/ada".into()),
        };
        let rules = rules.with(Path::new("/srv/ada/w \"1\" \\ (x)"), Path::new("/private/tmp/t"));
        let text = profile(&rules).unwrap();
        assert_eq!(
            text,
            r#"(version 1)
(allow default)
(deny signal)
(allow signal (target same-sandbox))
(deny file-write*)
(allow file-write* (subpath "/dev/null") (subpath "/srv/ada/w \"1\" \\ (x)") (subpath "/private/tmp/t") (subpath "/dev/fd"))
(deny file-read* (subpath "/Users") (subpath "/Volumes"))
(deny file-read* (subpath "/srv/ada"))
(allow file-read-metadata)
(allow file-read* (subpath "/usr") (subpath "/dev/null") (subpath "/srv/ada/w \"1\" \\ (x)") (subpath "/private/tmp/t"))
(deny network*)"#
        );
        assert!(!profile(&Rules { network: true, ..Rules::default() }).unwrap().contains("network"));
    }

    #[test]
    fn a_path_with_a_line_break_is_refused() {
        let rules = Rules { write: vec![PathBuf::from("/a\n(allow file-write*)")], ..Rules::default() };
        assert!(profile(&rules).is_err());
    }
}
