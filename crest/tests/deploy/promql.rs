//! What an expression of PromQL names: metrics, labels, values. No more of the language than that takes; whether the
//! expression is one at all, promtool says.

/// Words that are neither metrics nor functions.
const WORDS: [&str; 21] = [
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "sum",
    "min",
    "max",
    "avg",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "inf",
    "nan",
    "Inf",
    "NaN",
];
/// Words that a list of labels follows.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) selectors: Vec<Selector>,
    /// The labels that it groups or joins by.
    pub(crate) labels: Vec<String>,
}

/// A metric, and what is asked of its labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) matchers: Vec<Matcher>,
}

/// What is asked of a label: `traffic="live"`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// The values that are spelled out: one, or the alternatives of a pattern such as `a|b`.
    pub(crate) values: Vec<String>,
}

impl Named {
    /// What `expression` names, in its order.
    ///
    /// # Panics
    /// When a bracket or a quotation mark is not closed.
    pub(crate) fn by(expression: &str) -> Self {
        let mut named = Self::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            rest = match first {
                '"' => split(&rest[1..], '"').1,
                '[' => split(rest, ']').1,
                c if c.is_ascii_digit() => rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.'),
                c if is_of_a_word(c) => named.word(rest),
                c => &rest[c.len_utf8()..],
            };
        }
        named
    }

    /// Takes a word and what belongs to it; gives what comes after.
    fn word<'a>(&mut self, text: &'a str) -> &'a str {
        let end = text.find(|c| !is_of_a_word(c)).unwrap_or(text.len());
        let (word, after) = (&text[..end], text[end..].trim_start());
        if BEFORE_LABELS.contains(&word) {
            let Some(list) = after.strip_prefix('(') else { return after };
            let (list, after) = split(list, ')');
            self.labels.extend(list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
            return after;
        }
        if WORDS.contains(&word) || after.starts_with('(') {
            return after;
        }
        let (matchers, after) = after.strip_prefix('{').map_or(("", after), |inner| split(inner, '}'));
        self.selectors.push(Selector { metric: word.to_owned(), matchers: parse_matchers(matchers) });
        after
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The texts before and after the first `end`.
fn split(text: &str, end: char) -> (&str, &str) {
    text.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}"))
}

/// Values here hold no quotation marks and no braces.
fn parse_matchers(text: &str) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    let mut rest = text;
    while let Some((label, after)) = rest.split_once(['=', '!']) {
        let (operator, after) = split(after, '"');
        let (value, after) = split(after, '"');
        let is_pattern = operator.contains('~');
        let values = if is_pattern { value.split('|').map(str::to_owned).collect() } else { vec![value.to_owned()] };
        matchers.push(Matcher { label: label.trim_matches([' ', ',']).to_owned(), values });
        rest = after;
    }
    matchers
}

/// The labels that a text for people names: `{{shard}}` in a legend, `{{ $labels.shard }}` in an annotation.
pub(crate) fn labels_in_text(text: &str) -> Vec<String> {
    let inner = text.split("{{").skip(1).map(|part| part.split("}}").next().unwrap_or_default().trim());
    let label = |inner: &str| match inner.strip_prefix('$') {
        Some(variable) => variable.strip_prefix("labels.").map(|l| l.split(' ').next().unwrap_or_default().to_owned()),
        None => Some(inner.to_owned()),
    };
    inner.filter_map(label).collect()
}

#[test]
fn what_an_expression_names_is_found() {
    #[track_caller]
    fn check(expression: &str, metrics: &[(&str, &[(&str, &str)])], labels: &[&str]) {
        let named = Named::by(expression);
        let selectors: Vec<Selector> = metrics
            .iter()
            .map(|(metric, matchers)| Selector {
                metric: (*metric).to_owned(),
                matchers: matchers
                    .iter()
                    .map(|(label, values)| Matcher {
                        label: (*label).to_owned(),
                        values: values.split('|').map(str::to_owned).collect(),
                    })
                    .collect(),
            })
            .collect();
        assert_eq!(
            named,
            Named { selectors, labels: labels.iter().map(|l| (*l).to_owned()).collect() },
            "{expression}"
        );
    }
    check("up", &[("up", &[])], &[]);
    check("max by (a, b) (x_total{c=\"d\"}) > 10", &[("x_total", &[("c", "d")])], &["a", "b"]);
    check(
        "rate(x{a=~\"b|c\",d!=\"e\"}[5m]) and on (f) y == 1",
        &[("x", &[("a", "b|c"), ("d", "e")]), ("y", &[])],
        &["f"],
    );
    check("histogram_quantile(0.99, sum(rate(x_bucket[1h])) by (le)) or vector(0)", &[("x_bucket", &[])], &["le"]);
    check("predict_linear(x[1h], 4 * 3600) < 1e9 unless y", &[("x", &[]), ("y", &[])], &[]);
    assert_eq!(labels_in_text("{{ $labels.shard }} of {{node}}: {{ $value | humanize }}"), ["shard", "node"]);
}
