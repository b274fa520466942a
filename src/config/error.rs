//! Configuration errors as a person reads them: the line, a caret, a label and a hint; all at once.
//!
//! Promises: a value of a secret is never printed. What [`Problems::mask`] covers appears as stars
//! in the quoted line, and a message repeats a value only where a number, a unit or a route was expected,
//! or where `discretion` finds nothing secret about it.
//! It does not decide what is wrong; that is `check`'s work.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin as Place, Renderer, Snippet};

use super::SourceFile;

/// Errors that are shown. Whoever mends so many learns the others then.
const SHOWN: usize = 20;

/// Where a value or a key was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nowhere: something is missing.
    Nowhere,
    /// These bytes of the file.
    File(Range<usize>),
    /// The environment variable of this name.
    Env(Arc<str>),
    /// The flag for this dotted key.
    Flag(Arc<str>),
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    title: String,
    origin: Origin,
    label: String,
    related: Option<(Origin, String)>,
    help: Option<String>,
}

impl Problem {
    /// Says what is wrong, and where.
    pub(crate) fn at(origin: &Origin, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            origin: origin.clone(),
            label: String::new(),
            related: None,
            help: None,
        }
    }

    /// Says what was expected, beside the caret.
    pub(crate) fn label(mut self, label: impl fmt::Display) -> Self {
        self.label = label.to_string();
        self
    }

    /// Says what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at another place that has to do with it.
    pub(crate) fn related(mut self, origin: &Origin, label: impl Into<String>) -> Self {
        self.related = Some((origin.clone(), label.into()));
        self
    }

    fn group<'a>(&'a self, path: &'a str, text: &'a str) -> Group<'a> {
        let mut main = Group::with_title(Level::ERROR.primary_title(&self.title));
        match &self.origin {
            Origin::File(span) => {
                let primary = AnnotationKind::Primary.span(within(text, span)).label(&self.label);
                let mut snippet = Snippet::source(text).path(path).annotation(primary);
                if let Some((Origin::File(span), label)) = &self.related {
                    let context = AnnotationKind::Context.span(within(text, span)).label(label);
                    snippet = snippet.annotation(context);
                }
                main = main.element(snippet);
            }
            Origin::Nowhere if !path.is_empty() => main = main.element(Place::path(path)),
            Origin::Nowhere | Origin::Env(_) | Origin::Flag(_) => {}
        }
        if let Some(note) = self.note() {
            main = main.element(Level::NOTE.message(note));
        }
        if let Some(help) = &self.help {
            main = main.element(Level::HELP.message(help));
        }
        main
    }

    /// Whether a line says where it is.
    fn has_place(&self, path: &str) -> bool {
        match &self.origin {
            Origin::File(_) => true,
            Origin::Nowhere => !path.is_empty(),
            Origin::Env(_) | Origin::Flag(_) => false,
        }
    }

    /// What a caret cannot show, because there is no line to point at.
    fn note(&self) -> Option<String> {
        let set_by = match &self.origin {
            Origin::Env(name) => format!("set by the environment variable `{name}`"),
            Origin::Flag(key) => format!("set by the flag for `{key}`"),
            Origin::Nowhere | Origin::File(_) => return None,
        };
        Some(if self.label.is_empty() { set_by } else { format!("{}; {set_by}", self.label) })
    }
}

/// The problems found so far. Checks never stop at the first.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: RefCell<Vec<Problem>>,
    /// Where values stand of which nobody knows what they should have been.
    unread: RefCell<Vec<Origin>>,
    masks: RefCell<Vec<Range<usize>>>,
}

impl Problems {
    /// Adds one, unless it is about a value that could not be read, of which that has been said.
    pub(crate) fn push(&self, problem: Problem) {
        let unread = self.unread.borrow();
        let is_about = |origin: &Origin| unread.contains(origin);
        let related = problem.related.as_ref().map(|(origin, _)| origin);
        if !is_about(&problem.origin) && !related.is_some_and(is_about) {
            self.list.borrow_mut().push(problem);
        }
    }

    /// Adds one that leaves a value unread. What else would be said of that value is not added.
    pub(crate) fn push_unread(&self, problem: Problem) {
        self.unread.borrow_mut().push(problem.origin.clone());
        self.list.borrow_mut().push(problem);
    }

    /// Adds nothing more about what is written here: that it cannot be read has been said.
    pub(crate) fn leave_unread(&self, origin: &Origin) {
        self.unread.borrow_mut().push(origin.clone());
    }

    /// Keeps these bytes of the file out of every quoted line.
    pub(crate) fn mask(&self, origin: &Origin) {
        if let Origin::File(span) = origin {
            self.masks.borrow_mut().push(span.clone());
        }
    }

    /// Forgets what was found anywhere else.
    pub(crate) fn retain_at(&self, places: &[Origin]) {
        self.list.borrow_mut().retain(|problem| places.contains(&problem.origin));
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Ends the collection: everything that is wrong, in the order of the file.
    pub(crate) fn errors(self, file: Option<&SourceFile>) -> Errors {
        let mut list = self.list.into_inner();
        list.sort_by_key(|problem| match &problem.origin {
            Origin::File(span) => span.start,
            Origin::Nowhere | Origin::Env(_) | Origin::Flag(_) => usize::MAX,
        });
        // Two checks may have looked at the same wrong table.
        list.dedup_by(|a, b| a.origin == b.origin && a.title == b.title);
        let mut masks = self.masks.into_inner();
        masks.sort_by_key(|mask| mask.start);
        let text = file.map_or_else(String::new, |file| masked(&file.text, &masks));
        let path = file.map_or_else(String::new, |file| file.path.clone());
        Errors { list, path, text }
    }
}

/// Everything that is wrong with a configuration. `Display` is the plain form.
#[derive(Clone, Debug)]
pub struct Errors {
    list: Vec<Problem>,
    path: String,
    /// The file's text, secrets masked.
    text: String,
}

impl Errors {
    /// How many errors there are; never zero.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Renders them, the first 20 if there are more, and a last line with their number; with terminal
    /// colours if asked.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in self.list.iter().take(SHOWN) {
            let shown = renderer.render(&[problem.group(&self.path, &self.text)]);
            out.push_str(&if problem.has_place(&self.path) { shown } else { joined(&shown) });
            out.push_str("\n\n");
        }
        let plural = if self.count() == 1 { "" } else { "s" };
        let more = match self.count().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(": these {SHOWN} and {more} more"),
        };
        let total = format!("the configuration has {} error{plural}{more}", self.count());
        out.push_str(&renderer.render(&[Group::with_title(Level::ERROR.primary_title(total))]));
        out
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Errors {}

/// Takes out the line that would set a place apart from what is said below it, where there is no place.
fn joined(rendered: &str) -> String {
    let is_bar = |line: &str| uncoloured(line).trim() == "|";
    let lines = rendered.lines().enumerate().filter(|(at, line)| *at != 1 || !is_bar(line));
    lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// A line without its colours.
fn uncoloured(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, text)| text))
}

/// Moves a span inside the text and onto character boundaries, so that rendering cannot panic.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end.max(start).min(text.len()));
    start..end
}

/// Replaces what the masks, in their order, cover by stars, byte for byte, so that spans stay right.
fn masked(text: &str, masks: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut masks = masks.iter().peekable();
    let mut hidden_to = 0;
    for (at, c) in text.char_indices() {
        while let Some(mask) = masks.next_if(|mask| mask.start <= at) {
            hidden_to = hidden_to.max(mask.end);
        }
        if at < hidden_to && !c.is_whitespace() {
            out.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}
