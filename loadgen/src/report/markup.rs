//! Markup that is well-formed by construction, for HTML and for SVG within it: elements are closed where they are opened,
//! and whatever comes from a string is escaped. It is XML as well, so that a test can parse every page.

use std::fmt::{self, Display, Write};

/// Names and values of attributes.
pub(crate) type Attributes<'a> = &'a [(&'a str, &'a dyn Display)];

/// A piece of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An element with what `inside` puts into it.
    pub(crate) fn nest(&mut self, tag: &str, attributes: Attributes, inside: impl FnOnce(&mut Self)) {
        self.start(tag, attributes);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// An element with a text.
    pub(crate) fn leaf(&mut self, tag: &str, attributes: Attributes, text: &str) {
        self.nest(tag, attributes, |m| m.text(text));
    }

    /// An element that holds nothing: one of SVG's, or of HTML's few that need no end.
    pub(crate) fn empty(&mut self, tag: &str, attributes: Attributes) {
        self.start(tag, attributes);
        self.0.push_str("/>");
    }

    /// A text, escaped.
    pub(crate) fn text(&mut self, text: &str) {
        escape(&mut self.0, text);
    }

    /// Another piece.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// A text that is markup already, and ours: a style sheet that was compiled in, never anything from a record.
    pub(crate) fn ours(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    /// As text.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    fn start(&mut self, tag: &str, attributes: Attributes) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            // Writing to a string cannot fail, and neither can escaping.
            let _ = write!(Escaping(&mut self.0), "{value}");
            self.0.push('"');
        }
    }
}

/// Writes what is formatted into it escaped.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Neither XML nor a reader can do anything with the others.
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// A coordinate of a chart: tenths of a pixel are finer than anybody sees, and keep the file small.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Px(pub(crate) f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = if self.0.is_finite() { (self.0 * 10.0).round() } else { 0.0 };
        // Adding 0 makes −0 into 0.
        let value = tenths / 10.0 + 0.0;
        write!(f, "{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_a_string_is_escaped_everywhere() {
        let hostile = "</script><b a=\"x\" b='y'>&\u{0}";
        let mut m = Markup::new();
        m.nest("p", &[("title", &hostile)], |m| m.text(hostile));
        let safe = "&lt;/script&gt;&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\u{fffd}";
        assert_eq!(m.into_string(), format!("<p title=\"{safe}\">{safe}</p>"));
    }

    #[test]
    fn coordinates_are_short() {
        let check = |value: f64, text: &str| assert_eq!(Px(value).to_string(), text);
        check(12.0, "12");
        check(12.345, "12.3");
        check(-0.01, "0");
        check(0.05, "0.1");
        check(f64::NAN, "0");
        check(f64::INFINITY, "0");
    }
}
