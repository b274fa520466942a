//! Enough of a scanner to tell code from comments, literals and tests, line by line.
//!
//! It keeps every newline, so that a place in its output is a place in the file. It does not know
//! Rust's grammar beyond that; what it must get right is in the tests below.

/// Reads one use tree, `a::b::{c, d::e}`, and returns what follows it.
pub(super) fn walk_tree<'a>(
    code: &'a str,
    base: &[String],
    paths: &mut Vec<Vec<String>>,
) -> &'a str {
    let mut path = base.to_vec();
    let mut rest = code.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let after = walk_tree(rest, &path, paths).trim_start();
                // Skips `as name`, and whatever else stands before the next branch.
                let next = after.find([',', '}']).unwrap_or(after.len());
                rest = after[next..].trim_start_matches(',').trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        match after.strip_prefix("::") {
            Some(tail) if !name.is_empty() => rest = tail.trim_start(),
            _ => {
                paths.push(path);
                return after;
            }
        }
    }
}

/// Blanks what stands behind `#[cfg(test)]`: an item with its body, or one line.
pub(super) fn without_test_items(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let item = &rest[start..];
        let end = match item.find(['{', ';']) {
            Some(at) if item[at..].starts_with('{') => at + block_length(&item[at..]),
            Some(at) => at + 1,
            None => item.len(),
        };
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// The length of the `{…}` at the start.
fn block_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in code.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Blanks comments, strings and characters, so that words in them are not taken for code.
pub(super) fn without_words(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = word_length(rest);
        if length == 0 {
            // A raw string opens only where a name does not already run: `for"` is no literal.
            let step = name_length(rest).max(first.len_utf8());
            code.push_str(&rest[..step]);
            rest = &rest[step..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The length of the comment or literal at the start, 0 if there is none.
fn word_length(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_length(text);
    }
    let unprefixed = text.trim_start_matches('b');
    let prefix = text.len() - unprefixed.len();
    if prefix > 1 {
        return 0;
    }
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = prefix + 1 + hashes + 1;
            return text[body..].find(&close).map_or(text.len(), |at| body + at + close.len());
        }
        return 0;
    }
    if unprefixed.starts_with('"') {
        return prefix + quoted_length(unprefixed, '"');
    }
    if unprefixed.starts_with('\'') {
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        let mut letters = unprefixed.char_indices().skip(1);
        let escaped = letters.next().is_some_and(|(_, c)| c == '\\');
        if escaped || letters.next().is_some_and(|(_, c)| c == '\'') {
            return prefix + quoted_length(unprefixed, '\'');
        }
    }
    0
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The names behind `#[cfg(test)] mod name;`: modules whose files are test code.
pub(super) fn test_modules(code: &str) -> Vec<String> {
    code.match_indices("#[cfg(test)]")
        .filter_map(|(start, mark)| {
            let item = code[start + mark.len()..].trim_start();
            let declaration = &item[..item.find([';', '{'])?];
            let (_, name) = declaration.split_once("mod ")?;
            item[declaration.len()..].starts_with(';').then(|| name.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        let mut paths = Vec::new();
        walk_tree(code, &[], &mut paths);
        paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn every_branch_of_a_use_tree_is_a_path() {
        let tree = "proxy::{self, plan::{Plan, RoutePlan as R}, limits};\nuse std::io;";
        assert_eq!(
            paths(tree),
            ["proxy::self", "proxy::plan::Plan", "proxy::plan::RoutePlan", "proxy::limits"]
        );
    }

    #[test]
    fn a_path_in_an_expression_ends_where_the_path_ends() {
        assert_eq!(paths("record::Record { method }"), ["record::Record"]);
        assert_eq!(paths("units::parse::<u64>(text)"), ["units::parse"]);
        assert_eq!(paths("http::*;"), ["http"]);
    }

    #[test]
    fn words_in_comments_and_literals_are_not_code() {
        let text =
            "a(); // crate::server\n/* b /* c */ d */ e(\"f\\\"g\", r#\"h\"i\"#, b'j', '\\'');";
        let code = without_words(text);
        let words: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(words, "a();e(,,,);");
        assert_eq!(code.matches('\n').count(), 1);
    }

    #[test]
    fn lifetimes_and_names_that_end_in_a_prefix_are_code() {
        let text = "fn f<'a>(x: &'a str, br: u8) -> &'static str { for r in b {} }";
        assert_eq!(without_words(text), text);
    }

    #[test]
    fn test_items_vanish_and_lines_stay() {
        let code = "a();\n#[cfg(test)]\nmod tests {\n fn b() { c() }\n}\nd();";
        assert_eq!(without_test_items(code), "a();\n\n\n\n\nd();");
        assert_eq!(without_test_items("#[cfg(test)] use x::y;\nz();"), "\nz();");
    }

    #[test]
    fn a_module_declared_for_tests_only_is_known_by_name() {
        let code = "#[cfg(test)]\npub(crate) mod sample;\n#[cfg(test)] mod tests { }\nmod real;";
        assert_eq!(test_modules(code), ["sample"]);
    }
}
