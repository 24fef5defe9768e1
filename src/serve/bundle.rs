//! The viewer as it is served: its many modules as one script, its styles as one sheet, each under a name that changes
//! with what it holds, so a browser may keep them for good. What the first frame needs is in the page itself: the styles
//! that its head names. A browser asks for the page and can draw it.
//!
//! The sources stay plain ES modules that every tool reads. Each becomes a function that is called once, after those
//! that it imports, and returns what it exports: scopes, order and meaning are those of the modules.
//!
//! Invariants: every module that the page needs is in the script exactly once. What this reader of lines does not know (a
//! cycle, a default export, an import over several lines) is an error that names the place, never a guess.
//!
//! Not here: the files (`routes::assets`), and what is loaded when it is needed, which stays a file of its own.

use std::fmt::Write as _;

/// What the page is read from.
const PAGE: &str = "index.html";
/// How the script begins: a browser that has it early would run it before it draws the page for the first time. Where nothing
/// is drawn (a hidden page, one behind others) it runs all the same.
const AFTER_A_FRAME: &str = "await new Promise((go) => {\n\
    if (document.hidden || performance.getEntriesByType('paint').length > 0) return go();\n\
    requestAnimationFrame(() => setTimeout(go));\nsetTimeout(go, 250);\n});\n";
const SHEET: (&str, &str) = ("<link rel=\"stylesheet\" href=\"/assets/", "\">");
const SCRIPT: (&str, &str) = ("src=\"/assets/", "\"></script>");

/// The page and what it is made of.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The page, which asks for the parts by their names.
    pub page: String,
    /// All modules that the page needs from its beginning, and the styles that it needs once they run.
    pub parts: Vec<Part>,
}

/// A file that was put together.
#[derive(Debug)]
pub(super) struct Part {
    /// Below `/assets/`; another name where the content is another.
    pub name: String,
    /// Its `Content-Type`.
    pub kind: &'static str,
    pub text: String,
}

impl Part {
    fn new(text: String, kind: &'static str, end: &str) -> Self {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let (short, _) = hash.split_at(16);
        Self { name: format!("viewer-{short}.{end}"), kind, text }
    }
}

/// Puts the viewer together from its files, as `read` has them.
pub(super) fn bundle(read: &dyn Fn(&str) -> Option<String>) -> Result<Bundle, String> {
    let file = |path: &str| read(path).ok_or_else(|| format!("{path} is not in this build"));
    let source = file(PAGE)?;
    let mut page = String::with_capacity(source.len());
    let (mut first, mut later) = (Sheet::default(), Sheet::default());
    let mut parts = Vec::new();
    let mut in_head = true;
    for line in source.lines() {
        in_head &= !line.starts_with("<body");
        if let Some((_, path, _)) = cut(line, SHEET) {
            let sheet = if in_head { &mut first } else { &mut later };
            sheet.text.push_str(&file(path)?);
            sheet.at.get_or_insert(page.len());
        } else if let Some((before, path, after)) = cut(line, SCRIPT) {
            let text = format!("{AFTER_A_FRAME}{}", script(path, &file)?);
            let part = Part::new(text, "text/javascript; charset=utf-8", "js");
            let _ = writeln!(page, "{before}{}{}{}{after}", SCRIPT.0, part.name, SCRIPT.1);
            parts.push(part);
        } else {
            page.push_str(line);
            page.push('\n');
        }
    }
    let (Some(first_at), Some(later_at), false) = (first.at, later.at, parts.is_empty()) else {
        return Err(format!("{PAGE} has no script, or no style in its head or its body"));
    };
    let part = Part::new(later.text, "text/css; charset=utf-8", "css");
    page.insert_str(later_at, &format!("{}{}{}\n", SHEET.0, part.name, SHEET.1));
    parts.push(part);
    page.insert_str(first_at, &format!("<style>\n{}</style>\n", contained(PAGE, first.text)?));
    Ok(Bundle { page, parts })
}

/// Styles that go to one place of the page.
#[derive(Debug, Default)]
struct Sheet {
    text: String,
    at: Option<usize>,
}

/// A text that can stand in the page: nothing in it ends the element that it stands in.
fn contained(path: &str, text: String) -> Result<String, String> {
    if text.contains("</") || text.contains("<!--") {
        return Err(format!("{path}: what stands in the page can't hold `</` or `<!--`"));
    }
    Ok(text)
}

/// What stands before, between and after two marks of a line.
fn cut<'a>(line: &'a str, (start, end): (&str, &str)) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = line.split_once(start)?;
    let (between, after) = rest.split_once(end)?;
    Some((before, between, after))
}

/// One script of the module `entry` and all that it imports.
fn script(entry: &str, file: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut done = Vec::new();
    add(entry, file, &mut Vec::new(), &mut done, &mut out)?;
    Ok(out)
}

/// Appends a module after those that it imports, unless it is there.
fn add(
    path: &str,
    file: &dyn Fn(&str) -> Result<String, String>,
    open: &mut Vec<String>,
    done: &mut Vec<String>,
    out: &mut String,
) -> Result<(), String> {
    if done.iter().any(|one| one == path) {
        return Ok(());
    }
    if open.iter().any(|one| one == path) {
        return Err(format!("a cycle of modules: {} > {path}", open.join(" > ")));
    }
    let module = Module::read(path, &file(path)?)?;
    open.push(path.to_owned());
    for import in &module.imports {
        add(import, file, open, done, out)?;
    }
    open.pop();
    let Module { body, exports, .. } = module;
    let _ = writeln!(
        out,
        "const {} = (() => {{\n{body}return {{ {} }};\n}})();",
        scope(path),
        exports.join(", ")
    );
    done.push(path.to_owned());
    Ok(())
}

/// A module, read line by line.
#[derive(Debug, Default)]
struct Module {
    imports: Vec<String>,
    exports: Vec<String>,
    /// Its code without imports, exports and lines of comment.
    body: String,
}

impl Module {
    fn read(path: &str, text: &str) -> Result<Self, String> {
        let mut module = Self::default();
        let mut in_comment = false;
        for (number, line) in text.lines().enumerate() {
            let bare = line.trim();
            let unknown = || format!("{path}:{}: the viewer can't be put together of `{line}`", number + 1);
            if let Some(comment) = if in_comment { Some(bare) } else { bare.strip_prefix("/*") } {
                in_comment = match comment.split_once("*/") {
                    None => true,
                    Some((_, "")) => false,
                    // It would be left out with the comment.
                    Some(_) => return Err(unknown()),
                };
                continue;
            }
            if bare.is_empty() || bare.starts_with("//") {
                continue;
            }
            let known = if let Some(import) = line.strip_prefix("import ") {
                module.import(path, import)
            } else if let Some(declaration) = line.strip_prefix("export ") {
                module.export(declaration)
            } else {
                module.line(line)
            };
            known.ok_or_else(unknown)?;
        }
        Ok(module)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        // A text over several lines could hold what looks like a comment.
        if !line.matches('`').count().is_multiple_of(2) {
            return None;
        }
        self.body.push_str(line);
        self.body.push('\n');
        Some(())
    }

    /// `{ a, b as c } from './x.js';` or `* as x from './x.js';`
    fn import(&mut self, path: &str, import: &str) -> Option<()> {
        let (what, from) = import.strip_suffix("';")?.split_once(" from '")?;
        let from = resolve(path, from)?;
        let names = match what.strip_prefix("* as ") {
            Some(name) => name.to_owned(),
            None if what.starts_with("{ ") && what.ends_with(" }") => what.replace(" as ", ": "),
            None => return None,
        };
        self.line(&format!("const {names} = {};", scope(&from)))?;
        self.imports.push(from);
        Some(())
    }

    /// `const x = …`, `function x(…`, `async function x(…` or `class X …`
    fn export(&mut self, declaration: &str) -> Option<()> {
        let kinds = ["const ", "function ", "async function ", "class "];
        let rest = kinds.iter().find_map(|kind| declaration.strip_prefix(kind))?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$')?;
        let name = rest.get(..end).filter(|name| !name.is_empty())?;
        self.exports.push(name.to_owned());
        self.line(declaration)
    }
}

/// The name by which the others know a module.
fn scope(path: &str) -> String {
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("${name}")
}

/// Which file a module means.
fn resolve(importer: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = importer.split('/').collect();
    parts.pop();
    for part in path.strip_prefix("./").unwrap_or(path).split('/') {
        match part {
            ".." => drop(parts.pop()?),
            "" | "." => return None,
            name => parts.push(name),
        }
    }
    path.starts_with('.').then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::routes::assets::Viewer;
    use super::*;

    const PAGE_OF_TWO: &str = "<head>\n<link rel=\"stylesheet\" href=\"/assets/a.css\">\n\
        <link rel=\"icon\" href=\"/assets/i.svg\">\n<link rel=\"stylesheet\" href=\"/assets/b/c.css\">\n\
        <script type=\"module\" src=\"/assets/main.js\"></script>\n</head>\n<body>\n<p>x</p>\n\
        <link rel=\"stylesheet\" href=\"/assets/d.css\">\n<link rel=\"stylesheet\" href=\"/assets/e.css\">\n</body>\n";

    fn of(files: &[(&str, &str)]) -> Result<Bundle, String> {
        let mut all = BTreeMap::from([
            ("index.html", PAGE_OF_TWO),
            ("a.css", "a {}\n"),
            ("b/c.css", "c {}\n"),
            ("d.css", "d {}\n"),
            ("e.css", "e {}\n"),
        ]);
        all.extend(files.iter().copied());
        bundle(&|path| all.get(path).map(|text| (*text).to_owned()))
    }

    #[test]
    fn modules_become_functions_after_those_that_they_import() {
        let made = of(&[
            ("main.js", "/**\n * What it is.\n */\n\nimport { one, two as second } from './sub/a.js';\nimport * as b from './b.js';\n\nsecond(one, b.x);\n"),
            ("sub/a.js", "import { x } from '../b.js';\n// why\nexport const one = x;\nexport async function two() {\n  return '// not a comment';\n}\n"),
            ("b.js", "/** An x. */\nexport const x = 1;\nexport class Y {}\n"),
        ])
        .unwrap();
        assert_eq!(
            made.parts[0].text.strip_prefix(AFTER_A_FRAME).unwrap(),
            "const $b_js = (() => {\nconst x = 1;\nclass Y {}\nreturn { x, Y };\n})();\n\
             const $sub_a_js = (() => {\nconst { x } = $b_js;\nconst one = x;\nasync function two() {\n  return '// not a comment';\n}\nreturn { one, two };\n})();\n\
             const $main_js = (() => {\nconst { one, two: second } = $sub_a_js;\nconst b = $b_js;\nsecond(one, b.x);\nreturn {  };\n})();\n"
        );
        let [script, style] = made.parts.as_slice() else { panic!("{:?}", made.parts) };
        assert_eq!(style.text, "d {}\ne {}\n");
        let (script, style) = (&script.name, &style.name);
        assert_eq!(
            made.page,
            format!(
                "<head>\n<style>\na {{}}\nc {{}}\n</style>\n<link rel=\"icon\" href=\"/assets/i.svg\">\n\
                 <script type=\"module\" src=\"/assets/{script}\"></script>\n</head>\n<body>\n<p>x</p>\n\
                 <link rel=\"stylesheet\" href=\"/assets/{style}\">\n</body>\n"
            )
        );
    }

    #[test]
    fn what_stands_in_the_page_does_not_end_early() {
        for text in ["/* </style> */", "/* <!-- */"] {
            let error = of(&[("main.js", ""), ("a.css", text)]).unwrap_err();
            assert!(error.contains("can't hold"), "{text}: {error}");
        }
    }

    #[test]
    fn another_content_has_another_name() {
        let name = |text| of(&[("main.js", text)]).unwrap().parts.remove(0).name;
        assert_eq!(name("f();"), name("f();"));
        assert_ne!(name("f();"), name("g();"));
        assert!(name("f();").strip_suffix(".js").is_some_and(|name| name.starts_with("viewer-")));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_place() {
        for (bad, told) in [
            ("import x from './b.js';", "main.js:1"),
            ("\nimport {\n  x,\n} from './b.js';", "main.js:2"),
            ("import './b.js';", "main.js:1"),
            ("import { x } from 'xterm';", "main.js:1"),
            ("import { x } from '../b.js';", "main.js:1"),
            ("export default 1;", "main.js:1"),
            ("export let x = 1;", "main.js:1"),
            ("export { x } from './b.js';", "main.js:1"),
            ("export const { x } = y;", "main.js:1"),
            ("const x = `a\nb`;", "main.js:1"),
            ("/** @type {X} */ (y).run();", "main.js:1"),
            ("/**\n * Why.\n */ run();\n/* x */", "main.js:3"),
            ("import { x } from './c.js';", "c.js is not in this build"),
            ("import { x } from './main.js';", "a cycle of modules: main.js > main.js"),
        ] {
            let error = of(&[("main.js", bad), ("b.js", "export const x = 1;")]).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
        let error = bundle(&|path| (path == PAGE).then(|| "<head></head>".to_owned())).unwrap_err();
        assert!(error.contains("no script"), "{error}");
    }

    #[test]
    fn the_viewer_is_put_together_with_every_module_once() {
        let read =
            |path: &str| Viewer::get(path).map(|file| String::from_utf8(file.data.into_owned()).unwrap());
        let made = bundle(&read).unwrap();
        let script = &made.parts[0].text;
        let elsewhere = |path: &str| {
            path.starts_with("vendor/")
                || ["types.js", "login/login.js", "worker.js", "sharing.js"].contains(&path)
                || path.rsplit('.').next() != Some("js")
        };
        for path in Viewer::iter().filter(|path| !elsewhere(path)) {
            let begin = format!("const {} = (() => {{", scope(&path));
            assert_eq!(script.matches(&begin).count(), 1, "{path}");
        }
        let left = script.lines().find(|line| line.starts_with("import ") || line.starts_with("export "));
        assert_eq!(left, None);
        assert_eq!(made.page.matches("rel=\"stylesheet\"").count(), 1);
        assert_eq!(made.page.matches("<script").count(), 1);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in "(?s).{0,200}") {
            let _ = of(&[("main.js", &text)]);
            let _ = bundle(&|_| Some(text.clone()));
        }
    }
}
