//! Reading a TOML table field by field, with everything that is wrong collected on the way.
//!
//! A field that is wrong is noted and read as a value within its bounds, so that reading goes on and finds the next
//! mistake. Such values never leave the parser: a file with a problem gives no scenario.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::Problem;
use super::values::{durations, numbers, spell_duration, spell_number, whole_numbers};
use crate::args::parse_duration;

/// A file being read.
pub(super) struct Page<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    facts: RefCell<BTreeMap<String, FieldFacts>>,
}

/// What the parser knows about a field: the documentation is held against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldFacts {
    /// What it takes.
    pub(crate) expected: String,
    /// What it is when it is not there; `required` when it has to be.
    pub(crate) default: String,
}

impl<'t> Page<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: RefCell::default(), facts: RefCell::default() }
    }

    /// Notes a problem with the bytes `at`.
    pub(super) fn problem(&self, at: Range<usize>, field: String, found: String, expected: String) {
        self.problems.borrow_mut().push(Problem::new(self.text, at, field, found, expected));
    }

    /// Everything that was wrong, in the order of the lines, and every field that was asked for.
    pub(super) fn into_parts(self) -> (Vec<Problem>, BTreeMap<String, FieldFacts>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        (problems, self.facts.into_inner())
    }
}

/// A table of the file, or one that is not there and hence empty.
pub(super) struct Table<'a> {
    page: &'a Page<'a>,
    path: String,
    at: Range<usize>,
    entries: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value with its name and its place.
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) at: Range<usize>,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) fn root(page: &'a Page<'a>, entries: &'a DeTable<'a>) -> Self {
        Self { page, path: String::new(), at: 0..0, entries: Some(entries), asked: RefCell::default() }
    }

    /// The dotted name of a field in here.
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether it stands in the file.
    pub(super) fn is_there(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether anything in the whole file is wrong so far.
    pub(super) fn has_problems(&self) -> bool {
        !self.page.problems.borrow().is_empty()
    }

    /// Whether the field stands in it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        // A scan: a table has a dozen keys, and a spanned key is no str to look up by.
        self.entries?.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    /// The field `name`, which takes `expected` and is `default` when it is not there.
    fn field(&self, name: &'static str, expected: &str, default: &str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(name);
        let section = without_indexes(&self.path_of(name));
        let facts = FieldFacts { expected: expected.to_owned(), default: default.to_owned() };
        self.page.facts.borrow_mut().insert(section, facts);
        let value = self.find(name)?;
        Some(Field { path: self.path_of(name), at: value.span(), value: value.get_ref() })
    }

    /// Notes a problem with the field `name`, or with the table when the field is not there.
    pub(super) fn wrong(&self, name: &str, found: impl Into<String>, expected: impl Into<String>) {
        let at = self.find(name).map_or(self.at.clone(), |value| value.span());
        self.page.problem(at, self.path_of(name), found.into(), expected.into());
    }

    /// The table `name` in this one.
    pub(super) fn table(&self, name: &'static str) -> Table<'a> {
        self.asked.borrow_mut().push(name);
        let path = self.path_of(name);
        let none = |at| Table { page: self.page, path: path.clone(), at, entries: None, asked: RefCell::default() };
        match self.find(name) {
            None => none(self.at.clone()),
            Some(value) => match value.get_ref() {
                DeValue::Table(entries) => Table { entries: Some(entries), ..none(value.span()) },
                other => {
                    self.page.problem(value.span(), path.clone(), found(other), format!("a table, [{path}]"));
                    none(value.span())
                }
            },
        }
    }

    /// The tables `[[name]]`.
    pub(super) fn tables(&self, name: &'static str, count_max: usize) -> Vec<Table<'a>> {
        self.asked.borrow_mut().push(name);
        let Some(value) = self.find(name) else { return Vec::new() };
        let path = self.path_of(name);
        let DeValue::Array(items) = value.get_ref() else {
            let expected = format!("tables, each under its own [[{path}]]");
            self.page.problem(value.span(), path, found(value.get_ref()), expected);
            return Vec::new();
        };
        if items.len() > count_max {
            self.wrong(
                name,
                spell_number(items.len() as f64),
                format!("{} at the most", spell_number(count_max as f64)),
            );
        }
        let table = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let path = format!("{path}[{index}]");
            let entries = item.get_ref().as_table();
            if entries.is_none() {
                self.page.problem(item.span(), path.clone(), found(item.get_ref()), "a table".to_owned());
            }
            Table { page: self.page, path, at: item.span(), entries, asked: RefCell::default() }
        };
        items.iter().take(count_max).enumerate().map(table).collect()
    }

    /// A whole number. Without a default it has to be there.
    pub(super) fn whole(&self, name: &'static str, bounds: RangeInclusive<u64>, default: Option<u64>) -> u64 {
        let spelt = default.map(|default| spell_number(default as f64));
        self.whole_if_right(name, &bounds, spelt.as_deref()).or(default).unwrap_or(*bounds.start())
    }

    /// The same, for what a 32-bit number holds.
    pub(super) fn whole32(&self, name: &'static str, bounds: RangeInclusive<u32>, default: Option<u32>) -> u32 {
        let wide = u64::from(*bounds.start())..=u64::from(*bounds.end());
        u32::try_from(self.whole(name, wide, default.map(u64::from))).unwrap_or(*bounds.start())
    }

    /// The same with a default that depends on other fields, as `spelt` says.
    pub(super) fn whole32_or(
        &self,
        name: &'static str,
        bounds: RangeInclusive<u32>,
        default: u32,
        spelt: &'static str,
    ) -> u32 {
        let wide = u64::from(*bounds.start())..=u64::from(*bounds.end());
        self.whole_if_right(name, &wide, Some(spelt)).and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    }

    fn whole_if_right(&self, name: &'static str, bounds: &RangeInclusive<u64>, default: Option<&str>) -> Option<u64> {
        self.read(name, &whole_numbers(bounds), default, |field| match field.value {
            DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix()).ok().filter(|n| bounds.contains(n)),
            _ => None,
        })
    }

    /// Any number.
    pub(super) fn number(&self, name: &'static str, bounds: RangeInclusive<f64>, default: Option<f64>) -> f64 {
        let spelt = default.map(spell_number);
        let start = *bounds.start();
        self.number_if_right(name, bounds, spelt.as_deref()).or(default).unwrap_or(start)
    }

    /// The same with a default that depends on other fields, as `spelt` says.
    pub(super) fn number_or(
        &self,
        name: &'static str,
        bounds: RangeInclusive<f64>,
        default: f64,
        spelt: &'static str,
    ) -> f64 {
        self.number_if_right(name, bounds, Some(spelt)).unwrap_or(default)
    }

    fn number_if_right(&self, name: &'static str, bounds: RangeInclusive<f64>, default: Option<&str>) -> Option<f64> {
        self.read(name, &numbers(&bounds), default, |field| number_of(field.value).filter(|n| bounds.contains(n)))
    }

    /// Any number that may be left out.
    pub(super) fn number_if_there(&self, name: &'static str, bounds: RangeInclusive<f64>) -> Option<f64> {
        self.number_if_right(name, bounds, Some("none"))
    }

    /// A share.
    pub(super) fn share(&self, name: &'static str, default: f64) -> f64 {
        self.number(name, 0.0..=1.0, Some(default))
    }

    /// A length of time.
    pub(super) fn duration(
        &self,
        name: &'static str,
        bounds: RangeInclusive<Duration>,
        default: Option<Duration>,
    ) -> Duration {
        let spelt = default.map(spell_duration);
        self.read(name, &durations(&bounds), spelt.as_deref(), |field| duration_of(field.value, &bounds))
            .or(default)
            .unwrap_or(*bounds.start())
    }

    /// A length of time that may be left out.
    pub(super) fn duration_if_there(&self, name: &'static str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        self.duration_labelled(name, bounds, "none")
    }

    /// The same; what happens without it is said by `default`.
    pub(super) fn duration_labelled(
        &self,
        name: &'static str,
        bounds: RangeInclusive<Duration>,
        default: &'static str,
    ) -> Option<Duration> {
        self.read(name, &durations(&bounds), Some(default), |field| duration_of(field.value, &bounds))
    }

    /// true or false.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> bool {
        let read = |field: &Field<'_>| field.value.as_bool();
        self.read(name, "true or false", Some(if default { "true" } else { "false" }), read).unwrap_or(default)
    }

    /// Which one of `choices`; the first is the default.
    pub(super) fn choice(&self, name: &'static str, choices: &[&'static str]) -> usize {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
        let read = |field: &Field<'_>| choices.iter().position(|&choice| field.value.as_str() == Some(choice));
        self.read(name, &quoted.join(" or "), Some(&quoted[0]), read).unwrap_or(0)
    }

    /// A text that `legal` accepts; `expected` says which those are.
    pub(super) fn text(
        &self,
        name: &'static str,
        expected: &str,
        default: Option<&str>,
        legal: impl Fn(&str) -> bool,
    ) -> String {
        let read = |field: &Field<'_>| field.value.as_str().filter(|text| legal(text)).map(str::to_owned);
        self.read(name, expected, default, read).or_else(|| default.map(str::to_owned)).unwrap_or_default()
    }

    /// An array, if it is there.
    pub(super) fn array(&self, name: &'static str, expected: &str) -> Option<(Field<'a>, &'a DeArray<'a>)> {
        let field = self.field(name, expected, "none")?;
        match field.value {
            DeValue::Array(items) => Some((field, items)),
            other => {
                self.wrong(name, found(other), expected);
                None
            }
        }
    }

    /// Notes a problem with a part of a field.
    pub(super) fn wrong_part(
        &self,
        path: String,
        part: &Spanned<DeValue<'_>>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.page.problem(part.span(), path, found.into(), expected.into());
    }

    fn read<T>(
        &self,
        name: &'static str,
        expected: &str,
        default: Option<&str>,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.field(name, expected, default.unwrap_or("required")) {
            None => {
                if default.is_none() {
                    self.wrong(name, "nothing", expected);
                }
                None
            }
            Some(field) => {
                let value = read(&field);
                if value.is_none() {
                    self.page.problem(field.at, field.path, found(field.value), expected.to_owned());
                }
                value
            }
        }
    }

    /// Notes every name in here that nobody asked for.
    pub(super) fn end(self) {
        let asked = self.asked.into_inner();
        for key in self.entries.into_iter().flatten().map(|(key, _)| key) {
            if asked.iter().any(|asked| asked == key.get_ref()) {
                continue;
            }
            let prefix = if self.path.is_empty() { String::new() } else { format!("{}.", self.path) };
            let nearest = asked.iter().min_by_key(|known| distance(known, key.get_ref()));
            let expected = match nearest {
                // Farther than a third of its letters it is another word.
                Some(known) if distance(known, key.get_ref()) <= 1 + known.len() / 3 => format!("`{known}`, perhaps"),
                _ => format!("one of {}", asked.join(", ")),
            };
            let found = "a name that means nothing here".to_owned();
            self.page.problem(key.span(), format!("{prefix}{}", key.get_ref()), found, expected);
        }
    }
}

/// The value as it is written, short.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A finite number, whole or not.
pub(super) fn number_of(value: &DeValue<'_>) -> Option<f64> {
    let number: f64 = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok()? as f64,
        DeValue::Float(number) => number.as_str().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// A length of time within its bounds.
pub(super) fn duration_of(value: &DeValue<'_>, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
    parse_duration(value.as_str()?).ok().filter(|time| bounds.contains(time))
}

/// `phase[2].rate` is `phase.rate` in the documentation.
fn without_indexes(path: &str) -> String {
    let mut inside = false;
    let keep = |c: &char| {
        inside = (inside || *c == '[') && *c != ']';
        !inside && *c != ']'
    };
    path.chars().filter(keep).collect()
}

/// How many letters have to be changed, added or left out to make one name of the other (Levenshtein, 1965).
pub(super) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
