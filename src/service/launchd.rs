//! launchd: property lists below `~/Library/LaunchAgents`, and `launchctl`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::manager::{Step, Then};
use super::unit::{Kind, NIGHTLY, Unit};
use super::{Answer, UnitState};

/// What `launchctl print` ends with for a service that it does not know.
const UNKNOWN: i32 = 113;

/// Seconds between two starts of a service that ends by itself.
const THROTTLE: u32 = 10;

/// The file of a unit.
pub(super) fn path(user_home: &Path, kind: Kind) -> PathBuf {
    user_home.join("Library/LaunchAgents").join(format!("{}.plist", kind.label()))
}

/// The user's domain of services.
pub(super) fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

fn target(kind: Kind) -> String {
    format!("{}/{}", domain(), kind.label())
}

fn step(words: &[&str], then: Then) -> Step {
    let argv = std::iter::once("launchctl").chain(words.iter().copied()).map(str::to_owned).collect();
    Step { argv, then }
}

/// What makes launchd run the unit as its file says.
pub(super) fn load(kind: Kind, file: &Path, state: &UnitState) -> Vec<Step> {
    let (target, file) = (target(kind), file.to_string_lossy());
    // `launchctl unload -w`, which guides of 1.9 use, switches it off for good.
    let mut steps = vec![step(&["enable", &target], Then::Done)];
    if state.loaded {
        steps.push(step(&["bootout", &target], Then::Gone(kind)));
    }
    steps.push(step(&["bootstrap", &domain(), &file], Then::Again));
    steps
}

/// What makes launchd forget the unit.
pub(super) fn unload(kind: Kind) -> Vec<Step> {
    vec![step(&["bootout", &target(kind)], Then::Gone(kind))]
}

/// What makes a loaded unit start anew.
pub(super) fn restart(kind: Kind) -> Vec<Step> {
    vec![step(&["kickstart", "-k", &target(kind)], Then::Done)]
}

/// What asks for a unit's state.
pub(super) fn question(kind: Kind) -> Vec<String> {
    step(&["print", &target(kind)], Then::Done).argv
}

/// Reads `launchctl print`. An error is what it says instead.
pub(super) fn state(answer: &Answer) -> Result<UnitState, String> {
    if answer.code == Some(UNKNOWN) || answer.err.contains("Could not find service") {
        return Ok(UnitState::default());
    }
    if !answer.is_good() {
        return Err(answer.words());
    }
    // Only the service's own lines, one tab deep: those of its parts have the same names.
    let field = |name: &str| {
        let of_line = |line: &str| {
            let line = line.strip_prefix('\t').filter(|line| !line.starts_with('\t'))?;
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        };
        answer.out.lines().find_map(of_line)
    };
    let number = |name: &str| -> Option<i64> {
        field(name)?.split([':', ' ']).next().and_then(|number| number.parse().ok())
    };
    let pid = number("pid").and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let signal = number("last terminating signal").map(|signal| 128 + signal);
    let exit = number("last exit code").or(signal);
    Ok(UnitState {
        loaded: true,
        running: pid.is_some() || field("state").as_deref() == Some("running"),
        pid,
        last_exit: exit.and_then(|exit| i32::try_from(exit).ok()),
        restarts: number("runs").and_then(|runs| u64::try_from(runs - 1).ok()),
        disabled: false,
    })
}

/// What a refusal of launchd means, where that is known.
pub(super) fn hint(code: Option<i32>) -> &'static str {
    match code {
        Some(125) => {
            "; launchd has no desktop session of this user: sign in at the screen once (automatic login does it at each \
             start), then run this again"
        }
        Some(5) => "; `log show --last 1m --predicate 'process == \"launchd\"'` says more",
        _ => "",
    }
}

/// The unit's property list.
pub(super) fn plist(unit: &Unit) -> String {
    let mut out = String::from(HEAD);
    let log = unit.log.to_string_lossy();
    pair(&mut out, "Label", &text(unit.kind.label()));
    let words: Vec<String> = unit.argv.iter().map(|word| text(word)).collect();
    pair(&mut out, "ProgramArguments", &format!("<array>\n\t\t{}\n\t</array>", words.join("\n\t\t")));
    if !unit.env.is_empty() {
        let vars: Vec<String> = unit.env.iter().flat_map(|(name, value)| [key(name), text(value)]).collect();
        pair(&mut out, "EnvironmentVariables", &format!("<dict>\n\t\t{}\n\t</dict>", vars.join("\n\t\t")));
    }
    if unit.kind.is_lasting() {
        pair(&mut out, "RunAtLoad", "<true/>");
        pair(&mut out, "KeepAlive", "<true/>");
        pair(&mut out, "ThrottleInterval", &format!("<integer>{THROTTLE}</integer>"));
        // Jobs run below it: as a background process they would get the slow cores and little of the disk.
        pair(&mut out, "ProcessType", &text("Interactive"));
        if unit.kind == Kind::Serve {
            // Session hosts outlive it.
            pair(&mut out, "AbandonProcessGroup", "<true/>");
        }
    } else {
        let (hour, minute) = NIGHTLY;
        let time = format!(
            "<dict>\n\t\t{}\n\t\t<integer>{hour}</integer>\n\t\t{}\n\t\t<integer>{minute}</integer>\n\t</dict>",
            key("Hour"),
            key("Minute")
        );
        pair(&mut out, "StartCalendarInterval", &time);
        pair(&mut out, "RunAtLoad", "<false/>");
        pair(&mut out, "ProcessType", &text("Background"));
    }
    pair(&mut out, "StandardOutPath", &text(&log));
    pair(&mut out, "StandardErrorPath", &text(&log));
    out.push_str("</dict>\n</plist>\n");
    out
}

/// The program of a property list of ours.
pub(super) fn program(plist: &str) -> Option<String> {
    let (_, words) = plist.split_once("<key>ProgramArguments</key>")?;
    let (_, word) = words.split_once("<string>")?;
    let (word, _) = word.split_once("</string>")?;
    Some(word.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- Written by darkmux, and written anew by it: change settings instead (darkmux config set). -->
<plist version=\"1.0\">
<dict>
";

fn pair(out: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\t{}\n\t{value}", key(name));
}

fn key(name: &str) -> String {
    format!("<key>{}</key>", escaped(name))
}

fn text(value: &str) -> String {
    format!("<string>{}</string>", escaped(value))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: i32, out: &str, err: &str) -> Answer {
        Answer { code: Some(code), out: out.to_owned(), err: err.to_owned() }
    }

    /// What macOS 14 prints, shortened.
    const PRINT: &str = "gui/501/com.darkmux.serve = {
\tactive count = 1
\tpath = /x/com.darkmux.serve.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /opt/homebrew/bin/darkmux
\targuments = {
\t\t/opt/homebrew/bin/darkmux
\t\tpid = 1
\t}

\tdomain = gui/501 [100005]
\tminimum runtime = 10
\truns = 3
\tpid = 4711
\timmediate reason = non-ipc demand
\tlast exit code = 78: EX_CONFIG

\tproperties = keepalive | runatload
}
";

    #[test]
    fn what_launchctl_prints_is_read() {
        let state = |answer| state(&answer);
        let running = state(answer(0, PRINT, "")).unwrap();
        assert_eq!((running.loaded, running.running, running.pid), (true, true, Some(4711)));
        assert_eq!((running.last_exit, running.restarts), (Some(78), Some(2)));
        let waiting =
            PRINT.replace("\tstate = running", "\tstate = not running").replace("\tpid = 4711\n", "");
        let waiting = waiting.replace("78: EX_CONFIG", "(never exited)").replace("runs = 3", "runs = 0");
        let waiting = state(answer(0, &waiting, "")).unwrap();
        assert_eq!((waiting.loaded, waiting.running, waiting.pid), (true, false, None));
        assert_eq!((waiting.last_exit, waiting.restarts), (None, None));
        let killed = PRINT.replace("last exit code = 78: EX_CONFIG", "last terminating signal = 9: Killed");
        assert_eq!(state(answer(0, &killed, "")).unwrap().last_exit, Some(137));
        let unknown = "Bad request.\nCould not find service \"x\" in domain for user gui: 501\n";
        assert_eq!(state(answer(113, "", unknown)), Ok(UnitState::default()));
        assert_eq!(state(answer(1, "", "Operation not permitted")), Err("Operation not permitted".into()));
    }

    #[test]
    fn hostile_words_stay_words() {
        let unit = Unit {
            kind: Kind::Serve,
            argv: vec!["/a b/<d>&".into(), "serve".into()],
            env: vec![("PATH".into(), "</string>".into())],
            log: "/l".into(),
        };
        let text = plist(&unit);
        assert_eq!(program(&text).as_deref(), Some("/a b/<d>&"));
        assert!(text.contains("/a b/&lt;d&gt;&amp;") && text.contains("<string>&lt;/string&gt;</string>"));
    }
}
