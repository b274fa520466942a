//! The spellings of one target: escapes, dots, slashes, parameters, letter case, and odd request lines.
//!
//! The first of each part is the plain one.

use std::collections::BTreeSet;

/// Before the first segment.
const BEFORE: [&str; 16] = [
    "/",
    "//",
    "/./",
    "/x/../",
    "/%2e/",
    "/x/%2e%2e/",
    "/x/%2E./",
    "/../",
    "/%2f",
    "/\\",
    "/..;/",
    "/;/",
    "/;a=b/",
    "/x/..%2f",
    "/x%2f../",
    "\\",
];
/// The first segment.
const FIRST: [&str; 8] =
    ["api", "%61pi", "ap%69", "%61%70%69", "API", "%41pi", "%2561pi", "api;v=1"];
/// Between the two.
const BETWEEN: [&str; 15] = [
    "/",
    "//",
    "/./",
    "/x/../",
    "/%2e/",
    "/y/%2E%2e/",
    "%2F",
    "%2f",
    "%5C",
    "\\",
    "%252F",
    "/;a=b/",
    "/%00/",
    "%2f%2f",
    "/.%2f",
];
/// The second segment.
const SECOND: [&str; 6] = [
    "orchestrate",
    "%6frchestrate",
    "orchestrat%65",
    "Orchestrate",
    "orchestrate%00",
    "orchestrat%2565",
];
/// Behind it.
const AFTER: [&str; 18] = [
    "",
    "?",
    "?x=/../..",
    "?/api/other",
    "#f",
    "%23",
    "/",
    "//",
    "/.",
    "/x/..",
    "/%2e",
    "%2f",
    "%20",
    ";x=1",
    "%3bx",
    ".",
    "/x/%2e%2e",
    "%3F",
];

/// All parts, in their order.
const PARTS: [&[&str]; 5] = [&BEFORE, &FIRST, &BETWEEN, &SECOND, &AFTER];

/// Every spelling that differs from the plain one in at most two places.
fn spellings() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (one, here_of) in PARTS.iter().enumerate() {
        for (other, there_of) in PARTS.iter().enumerate().skip(one + 1) {
            for here in *here_of {
                for there in *there_of {
                    let spelt = PARTS.iter().enumerate().map(|(part, spellings)| match part {
                        _ if part == one => here,
                        _ if part == other => there,
                        _ => &spellings[0],
                    });
                    all.insert(spelt.copied().collect());
                }
            }
        }
    }
    all
}

/// Those that differ from it in one place.
pub(super) fn few() -> Vec<String> {
    let mut few = Vec::new();
    for (part, spellings) in PARTS.iter().enumerate() {
        for spelling in *spellings {
            let text: String =
                (0..PARTS.len()).map(|p| if p == part { spelling } else { PARTS[p][0] }).collect();
            few.push(format!("POST {text}"));
        }
    }
    few.extend(more());
    few
}

/// Forms of a request line that are not about the path alone.
fn more() -> Vec<String> {
    let mut forms = Vec::new();
    for absolute in [
        "http://app.example",
        "HTTP://APP.example:80",
        "https://app.example",
        "http://e@app.example",
    ] {
        for path in [
            "/api/orchestrate",
            "//api/orchestrate",
            "/x/../api/orchestrate",
            "/%61pi/orchestrate?q",
        ] {
            forms.push(format!("POST {absolute}{path}"));
        }
    }
    forms.extend(
        ["post /api/orchestrate", "Post /api//orchestrate", "pOST /%61pi/orchestrate"]
            .map(str::to_owned),
    );
    forms
}

/// All of them.
pub(super) fn forms() -> Vec<String> {
    spellings().into_iter().map(|path| format!("POST {path}")).chain(more()).collect()
}
