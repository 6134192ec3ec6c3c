//! Mistakes in `gateway.toml`: found all at once, told with their places.
//!
//! serde stops at the first mistake. Here the value that it stopped at is taken
//! out of the document, and the rest is read again, until nothing is left to
//! complain about. What the removal itself makes incomplete is dropped in
//! silence: one mistake is told once.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::File;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The key, such as `routes[0].path`; empty where there is none.
    pub key: String,
    /// What was found and what would be right.
    pub message: String,
}

/// All mistakes of a file, in the order of their lines.
#[derive(Clone, Debug)]
pub struct Mistakes {
    path: PathBuf,
    line_starts: Vec<usize>,
    /// Keys by the place of their value, for what is found after reading.
    places: Vec<(Range<usize>, String)>,
    /// Keys of values that could not be read.
    lost: Vec<String>,
    found: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn in_file(path: &Path, text: &str) -> Self {
        let breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            path: path.to_owned(),
            line_starts: std::iter::once(0).chain(breaks).collect(),
            places: Vec::new(),
            lost: Vec::new(),
            found: Vec::new(),
        }
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let mut mistakes = Self::in_file(path, "");
        mistakes.found.push(Mistake {
            line: 0,
            key: String::new(),
            message: format!("the file cannot be read ({}); expected a gateway.toml: give its path with --config", error.kind()),
        });
        mistakes
    }

    pub(super) fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Self {
        let (good, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let text = String::from_utf8_lossy(good);
        let mut mistakes = Self::in_file(path, &text);
        let end = text.len();
        mistakes.add(
            &(end..end),
            "",
            "this line is not UTF-8; save the file in that encoding",
        );
        mistakes
    }

    /// Notes a mistake at `span`.
    pub(super) fn add(&mut self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        self.found.push(Mistake {
            line: self
                .line_starts
                .partition_point(|start| *start <= span.start),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Notes a mistake in the value at `span`, whose key is looked up.
    pub(super) fn at(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let key = self.key_at(span);
        self.add(span, &key, message);
    }

    /// Whether the value of `key` could not be read, so that nothing can be
    /// concluded from it.
    pub(super) fn has_lost(&self, key: &str) -> bool {
        self.lost.iter().any(|lost| lost == key)
    }

    /// Whether the table around the value at `span` lacks something that could
    /// not be read: what it says then is not what was meant.
    pub(super) fn has_gaps(&self, span: &Range<usize>) -> bool {
        // Finding the key takes a look at the whole file, and is asked of each route.
        if self.lost.is_empty() {
            return false;
        }
        let key = self.key_at(span);
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        self.lost.iter().any(|lost| is_within(lost, table))
    }

    /// The same for the table called `table`.
    pub(super) fn has_gaps_in(&self, table: &str) -> bool {
        self.lost.iter().any(|lost| is_within(lost, table))
    }

    fn key_at(&self, span: &Range<usize>) -> String {
        let found = self.places.iter().find(|(place, _)| place == span);
        found.map(|(_, key)| key.clone()).unwrap_or_default()
    }

    /// Notes a mistake of the file as a whole.
    pub(super) fn whole(&mut self, message: &str) {
        self.found.push(Mistake {
            line: 0,
            key: String::new(),
            message: message.to_owned(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn none_or<T>(mut self, value: Option<T>) -> Result<T, Self> {
        self.found.sort_by_key(|mistake| mistake.line);
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(self),
        }
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.found {
            write!(f, "{}", self.path.display())?;
            if mistake.line > 0 {
                write!(f, ":{}", mistake.line)?;
            }
            if !mistake.key.is_empty() {
                write!(f, ": {}", mistake.key)?;
            }
            writeln!(f, ": {}", mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// More mistakes than anybody reads at once.
const MAX_MISTAKES: usize = 50;

/// The names of the accounts that the file declares, broken ones included.
pub(super) type Declared = HashSet<String>;

/// Reads the file's tables. Mistakes are noted; what could be read is returned,
/// unless the file is no TOML at all.
pub(super) fn read(text: &str, mistakes: &mut Mistakes) -> Option<(File, Declared)> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        mistakes.add(
            &error.span().unwrap_or(0..0),
            "",
            format!("this is not TOML: {}", error.message()),
        );
    }
    if !errors.is_empty() {
        return None;
    }
    let declared = match document.get_ref().get("accounts").map(Spanned::get_ref) {
        Some(DeValue::Table(accounts)) => accounts
            .keys()
            .map(|name| name.get_ref().to_string())
            .collect(),
        _ => Declared::new(),
    };
    note_places(document.get_ref(), "", &mut mistakes.places);
    let mut document = document;
    loop {
        let error = match File::deserialize(Deserializer::from(document.clone())) {
            Ok(file) => return Some((file, declared)),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let Some(place) = remove(document.get_mut(), &span) else {
            mistakes.add(&span, "", error.message());
            return None;
        };
        let key = mistakes.key_at(&place);
        if !is_consequence(error.message(), &key, &mistakes.lost) {
            mistakes.add(&span, &key, with_cure(error.message(), &key));
        }
        mistakes.lost.push(key);
        if mistakes.lost.len() >= MAX_MISTAKES {
            return None;
        }
    }
}

/// Whether a complaint about the table at `key` comes of what was taken out of
/// it: the very field that it misses, or, where it names none, anything.
fn is_consequence(message: &str, key: &str, lost: &[String]) -> bool {
    match missing_field(message) {
        Some(field) => lost.contains(&join(key, field)),
        None => lost.iter().any(|lost| is_within(lost, key)),
    }
}

fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table)
        .is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// serde says what is missing; where it belongs is ours to say. And serde says
/// what it found, which must not be done where secrets are expected, nor where a
/// text stands in place of something else: it may be anything.
fn with_cure(message: &str, key: &str) -> String {
    let secret = ["session.keys", "assertion.keys"]
        .iter()
        .any(|keys| key.starts_with(keys))
        || [".app_secret", ".client_key"]
            .iter()
            .any(|end| key.ends_with(end))
        || (key.starts_with("accounts.") && key.ends_with("].key"));
    if secret && message.starts_with("invalid ") {
        return "found a text; a secret never stands in this file: expected { env = \"NAME\" } or { file = \"/path\" }, keys in a list".to_owned();
    }
    if let Some((_, expected)) = (message.strip_prefix("invalid type: string \""))
        .and_then(|rest| rest.rsplit_once("\", expected "))
    {
        let expected = match expected {
            "a sequence" => "a list, such as [\"…\"]; tables of a list begin with [[…]]",
            table if table.starts_with("struct ") => {
                "a table, whose keys stand below its name in brackets"
            }
            other => other,
        };
        return format!("found a text; expected {expected}");
    }
    match missing_field(message) {
        Some(field) => format!("`{field}` is missing; expected a line `{field} = …` in this table"),
        None if message.ends_with("expected a sequence") => {
            format!("{message}: write a list, such as [\"…\"]; tables of a list begin with [[…]]")
        }
        None => message.to_owned(),
    }
}

fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

fn note_places(table: &DeTable<'_>, parent: &str, places: &mut Vec<(Range<usize>, String)>) {
    for (key, value) in table {
        let path = join(parent, key.get_ref());
        places.push((key.span(), path.clone()));
        note_value(value, path, places);
    }
}

fn note_value(
    value: &Spanned<DeValue<'_>>,
    path: String,
    places: &mut Vec<(Range<usize>, String)>,
) {
    match value.get_ref() {
        DeValue::Table(table) => note_places(table, &path, places),
        DeValue::Array(array) => {
            for (at, element) in array.iter().enumerate() {
                note_value(element, format!("{path}[{at}]"), places);
            }
        }
        _ => {}
    }
    places.push((value.span(), path));
}

/// Takes out the innermost value that stands at `span`, by its own place or its
/// key's, and tells its place.
fn remove<'i>(table: &mut DeTable<'i>, span: &Range<usize>) -> Option<Range<usize>> {
    let mut hit = None;
    for (key, value) in table.iter_mut() {
        if let Some(found) = remove_within(value, span) {
            return Some(found);
        }
        if hit.is_none() && (covers(&key.span(), span) || covers(&value.span(), span)) {
            hit = Some((key.get_ref().to_string(), value.span()));
        }
    }
    let (key, place) = hit?;
    table.remove(key.as_str());
    Some(place)
}

fn remove_within<'i>(
    value: &mut Spanned<DeValue<'i>>,
    span: &Range<usize>,
) -> Option<Range<usize>> {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(array) => {
            for element in array.iter_mut() {
                if let Some(found) = remove_within(element, span) {
                    return Some(found);
                }
            }
            let (at, place) = array
                .iter()
                .enumerate()
                .find(|(_, element)| covers(&element.span(), span))
                .map(|(at, element)| (at, element.span()))?;
            *array = array
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != at)
                .map(|(_, element)| element.clone())
                .collect();
            Some(place)
        }
        _ => None,
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
