//! `darkmux open`, and the opening of any page of the viewer.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Cx, Exit, Failure, FailureContext, Outcome, block_on};
use crate::client::Client;
use crate::store::{Durability, write_atomic};

/// How long the browser's starter may take to fail; one that runs on is the browser itself.
const STARTING: Duration = Duration::from_secs(3);

/// Open the viewer in the browser, signed in.
///
/// The address holds a code that works once within a minute. The browser gets it by a page in darkmux's folder, which
/// some confined browsers (snap, flatpak) can't read: `--print` is for those, and for machines without a desktop.
#[derive(Debug, Args)]
pub struct OpenArgs {
    #[command(flatten)]
    how: How,
}

/// How a page of the viewer is opened.
#[derive(Debug, Args)]
pub struct How {
    /// Print the address and open nothing
    #[arg(long)]
    print: bool,
    /// Sign in to watch only
    #[arg(long)]
    read_only: bool,
}

/// Runs the verb.
pub fn run(args: &OpenArgs, cx: &Cx) -> Outcome {
    page(cx, "", &args.how)
}

/// Opens a page of the viewer, by its path without the first slash.
pub fn page(cx: &Cx, path: &str, how: &How) -> Outcome {
    let client = Client::local(&cx.config()?.paths).or_exit(Exit::Unreachable)?;
    block_on(async {
        let code = client.sign_in_code(how.read_only).await.or_exit(Exit::Unreachable)?;
        let page = format!("{}{path}", client.info().url());
        let url = format!("{page}#code={code}");
        let ticket = || Ok(Ticket::write(cx.config()?.paths.home(), &url)?.address());
        if !how.print && browse(ticket, cx).await? {
            cx.printer.note(&format!("opened {page}, signed in"));
            return Ok(Exit::Ok);
        }
        cx.printer.line(&url)?;
        let where_ = if client.info().is_at_localhost() {
            "on this machine (or through `ssh -L` with the same port)"
        } else {
            "wherever that address is reached"
        };
        cx.printer.note(&format!("it works once, within a minute, {where_}"));
        Ok::<_, Failure>(Exit::Ok)
    })
}

/// Opens an address in the user's browser; `false` where it could not, which is said. The address is made once there is a browser.
pub(super) async fn browse(
    address: impl FnOnce() -> Result<String, Failure>,
    cx: &Cx,
) -> Result<bool, Failure> {
    let Some(opener) = opener(cx) else {
        cx.printer.note("there is no browser here that could open it");
        return Ok(false);
    };
    if opened(&opener, &address()?, cx).await {
        return Ok(true);
    }
    cx.printer.note(&format!("{} could not open it", opener[0]));
    Ok(false)
}

/// A page for this user alone that leads to the address with the code: the arguments of programs are everybody's to read.
struct Ticket(PathBuf);

/// How long such a page is of use: as long as a code counts.
const TICKET_LIFE: Duration = Duration::from_mins(1);

/// What the names of such pages begin with.
const TICKET: &str = "open-";

impl Ticket {
    fn write(home: &Path, url: &str) -> Result<Self, Failure> {
        // The code of an older one is worth nothing any more; a younger one may be on its way into another browser.
        for entry in std::fs::read_dir(home)?.flatten() {
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            let is_old = || age().is_none_or(|age| age > TICKET_LIFE);
            if entry.file_name().as_encoded_bytes().starts_with(TICKET.as_bytes()) && is_old() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let path = home.join(format!("{TICKET}{}.html", uuid::Uuid::new_v4().simple()));
        let page = format!(
            "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
             <meta http-equiv=\"refresh\" content=\"0;url={url}\"><title>darkmux</title>\n"
        );
        write_atomic(&path, page.as_bytes(), Durability::Cached)?;
        Ok(Self(path))
    }

    fn address(&self) -> String {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
        let byte =
            |byte: &u8| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
        format!("file://{}", self.0.as_os_str().as_bytes().iter().map(byte).collect::<String>())
    }
}

/// The command that opens an address, without the address or with `%s` in its place.
fn opener(cx: &Cx) -> Option<Vec<String>> {
    if let Some(browser) = cx.env.get("BROWSER") {
        return shell_words::split(browser).ok().filter(|words| !words.is_empty());
    }
    if cfg!(target_os = "macos") {
        return Some(vec!["open".to_owned()]);
    }
    let desktop = cx.env.get("DISPLAY").or_else(|| cx.env.get("WAYLAND_DISPLAY"));
    desktop.map(|_| vec!["xdg-open".to_owned()])
}

async fn opened(opener: &[String], url: &str, cx: &Cx) -> bool {
    let mut words: Vec<String> = opener.iter().map(|word| word.replace("%s", url)).collect();
    if words == opener {
        words.push(url.to_owned());
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().envs(cx.env.for_child());
    // A browser that was started here goes on when this terminal is closed or interrupted.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let Ok(mut child) = command.spawn() else { return false };
    match timeout(STARTING, child.wait()).await {
        Ok(ended) => ended.is_ok_and(|status| status.success()),
        Err(_) => true,
    }
}
