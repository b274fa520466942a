//! Where a running sidecar is asked, and with which token: all that a command which speaks with it needs
//! of a configuration.
//!
//! The sidecar may run with an older text than the file has now, and in another environment. So what is
//! wrong outside `[admin]` is no reason not to ask it. Where the file is not even TOML, `[admin]` is taken
//! from it only if no broken line can have had a part in it: a drain must not reach somebody else.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::{Origin, Problems};
use super::model::Admin;
use super::raw::{Table, Value};
use super::section::Section;
use super::{Errors, SourceFile, Sources, check, defaults, env, keys, lay_flags, set};

/// How often the rest of a file is read without its broken lines.
const ATTEMPTS: usize = 8;

/// Broken lines at most. A file with more of them is none of ours.
const BROKEN: usize = 100;

/// Reads `[admin]`, laid over by our own variables and by flags; nothing else of a configuration is judged.
///
/// # Errors
/// What is wrong with `[admin]` itself; or the file's syntax errors, where they hide it.
pub fn admin(sources: &Sources) -> Result<Admin, Errors> {
    let read = sources.file.as_ref().map(|file| read(file, &sources.env)).transpose()?;
    let (mut root, problems) = read.unwrap_or_default();
    let env = set(&sources.env);
    env::Outside::default().lay_over(&mut root, &env, &problems);
    lay_flags(&mut root, &sources.flags, &problems);
    problems.retain_at(&places(&root));
    let mut admin = defaults::admin();
    check::reach(&Section::root(&root, &problems).section("admin"), &mut admin);
    if problems.is_empty() { Ok(admin) } else { Err(problems.errors(sources.file.as_ref())) }
}

/// What can be made out of a file, and what is wrong with that.
fn read(file: &SourceFile, env: &BTreeMap<String, String>) -> Result<(Table, Problems), Errors> {
    let mut legible = file.clone();
    for attempt in 0..ATTEMPTS {
        let problems = Problems::default();
        let (tree, broken) = Table::recover(&legible, env, &problems);
        if (attempt == 0 && broken.is_empty()) || is_legible(&tree, &file.text, &broken) {
            return Ok((tree, problems));
        }
        // The parser may have given the rest up for it.
        if broken.len() > BROKEN
            || broken.iter().any(|at| is_of_admin(&file.text, *at))
            || !blank(&mut legible.text, &broken)
        {
            break;
        }
    }
    let problems = Problems::default();
    Table::recover(file, env, &problems);
    Err(problems.errors(Some(file)))
}

/// Makes the lines at these places empty, unless one is a header: what is below would be in another table.
fn blank(text: &mut String, broken: &[usize]) -> bool {
    for at in broken {
        let line = line_at(text, *at);
        if text[line.clone()].trim_start().starts_with('[') {
            return false;
        }
        text.replace_range(line.clone(), &" ".repeat(line.len()));
    }
    true
}

/// The line at this place, without its end.
fn line_at(text: &str, at: usize) -> Range<usize> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    start..text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}

/// Where what is read here was written.
fn places(root: &Table) -> Vec<Origin> {
    let Some(admin) = root.get("admin") else { return Vec::new() };
    let Value::Table(admin) = &admin.node.value else { return Vec::new() };
    let read = ["listen", "token_file"].into_iter().filter_map(|key| admin.get(key));
    read.map(|entry| entry.node.origin.clone()).collect()
}

/// Whether what was made out of a file with errors at these places still says what its `[admin]` says.
fn is_legible(tree: &Table, text: &str, broken: &[usize]) -> bool {
    if broken.len() > BROKEN {
        return false;
    }
    let is_ours = tree.0.keys().any(|key| keys::is_known(key));
    let is_whole = tree.get("admin").is_some() || !text.contains("admin");
    is_ours && is_whole && !broken.iter().any(|at| is_of_admin(text, *at))
}

/// Whether the line at this place belongs to `[admin]`, by its own key or by the header above it.
fn is_of_admin(text: &str, at: usize) -> bool {
    let end = line_at(text, at).end;
    let names_admin = |line: &str| line.trim_start_matches(['[', ' ', '\t']).starts_with("admin");
    let mut lines = text[..end].lines().rev();
    let Some(line) = lines.next() else { return false };
    let header = lines.find(|line| line.trim_start().starts_with('['));
    names_admin(line) || header.is_some_and(names_admin)
}

#[cfg(test)]
mod tests {
    use super::super::error::Problem;
    use super::*;

    fn sources(text: &str) -> Sources {
        let file = SourceFile { path: "sidecar.toml".to_owned(), text: text.to_owned() };
        Sources { file: Some(file), ..Sources::default() }
    }

    fn listen(text: &str) -> Result<String, String> {
        let found = admin(&sources(text));
        found.map(|admin| admin.listen.to_string()).map_err(|errors| errors.to_string())
    }

    const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:4\"\n";
    const REST: &str = "[upstream]\nurl = \"http://127.0.0.1:1\"\n";

    #[test]
    fn what_is_wrong_elsewhere_is_nobody_s_business() {
        for wrong in [
            "[oops]\n",
            "[log]\nlevel = \"loud\"\n",
            "[service]\nname = \"${TEAM}\"\n",
            "[server.tls]\ncertificate_file = \"/nowhere\"\nkey_file = \"/nowhere\"\n",
            "[server\n",
            "[server]\nlisten = \"127.0.0.1:1\n",
            "[server]\nlisten 127.0.0.1:1\n",
            "[server]\nlisten 127.0.0.1:1\n[log]\nlevel\n",
            "[log]\nlevel = \"info\"\nlevel = \"info\"\n",
        ] {
            for text in [format!("{ADMIN}{REST}{wrong}"), format!("{wrong}{REST}{ADMIN}")] {
                assert_eq!(listen(&text).as_deref(), Ok("127.0.0.1:4"), "{text}");
            }
            assert_eq!(listen(&format!("{REST}{wrong}")).as_deref(), Ok("127.0.0.1:9901"));
        }
    }

    #[test]
    fn what_may_be_wrong_in_its_own_table_is_refused() {
        for (text, words) in [
            ("[admin]\nlisten = \"here\"\n", "`admin.listen` is not an address"),
            ("[admin]\nlisten = \"${HERE}\"\n", "environment variable `HERE` is not set"),
            ("[admin]\ntoken_file = \"/nowhere\"\n", "`admin.token_file` cannot be read"),
            ("admin = 3\n", "`admin` has the wrong type"),
            ("[upstream]\n[admin]\nlisten 127.0.0.1:4\n", "sidecar.toml:3:"),
            ("[upstream]\n[admin\nlisten = \"127.0.0.1:4\"\n", "sidecar.toml:2:"),
            ("upstream.url = \"x\"\nadmin.listen = 127.0.0.1:4\n", "sidecar.toml:2:"),
            ("server.trusted_proxies = [\"::1\"\n[admin]\nlisten = \"127.0.0.1:4\"\n", "error: "),
            ("[admin]\ntoken_file = \"\"\n[server\nlisten 127.0.0.1:4\n", "sidecar.toml:3:"),
            (&*"name value\n".repeat(20_000), "sidecar.toml:1:"),
            ("kind: ConfigMap\nmetadata:\n  name: sidecar\n", "sidecar.toml:1:"),
        ] {
            let said = listen(text).expect_err(text);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn flags_go_over_variables_and_those_over_the_file() {
        let mut sources = sources(&format!("{ADMIN}{REST}"));
        let name = "VITAL_SIDECAR__ADMIN__LISTEN".to_owned();
        sources.env = BTreeMap::from([(name, "127.0.0.1:5".to_owned())]);
        assert_eq!(admin(&sources).unwrap().listen.port(), 5);
        sources.flags = vec![("admin.listen".to_owned(), "127.0.0.1:6".to_owned())];
        assert_eq!(admin(&sources).unwrap().listen.port(), 6);
    }

    /// The sidecar that runs was started with a file that passed.
    #[test]
    fn a_door_without_a_token_is_asked_without_one() {
        let text = "[admin]\nlisten = \"0.0.0.0:4\"\n";
        assert!(admin(&sources(text)).unwrap().token.is_none());
    }

    #[test]
    fn problems_without_a_place_are_left_out() {
        let problems = Problems::default();
        problems.push(Problem::at(&Origin::Nowhere, "missing"));
        problems.retain_at(&[]);
        assert!(problems.is_empty());
    }
}
