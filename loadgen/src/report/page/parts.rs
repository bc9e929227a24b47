//! What every page is put together from: sections, figures, tables, marks.

use super::super::markup::Markup;

/// The style sheet of all pages.
const STYLE: &str = include_str!("report.css");
/// The script of all pages. Without it, a chart says its values as the browser's own tool tips.
const SCRIPT: &str = include_str!("report.js");

/// A whole page.
pub(crate) fn page(title: &str, class: &str, body: impl FnOnce(&mut Markup)) -> String {
    let mut m = Markup::new();
    m.ours("<!DOCTYPE html>\n");
    m.nest("html", &[("lang", &"en")], |m| {
        m.nest("head", &[], |m| {
            m.empty("meta", &[("charset", &"utf-8")]);
            m.empty("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
            m.empty("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
            m.leaf("title", &[], title);
            m.nest("style", &[], |m| m.ours(STYLE));
        });
        m.nest("body", &[("class", &class)], |m| {
            body(m);
            m.nest("script", &[], |m| m.ours(SCRIPT));
        });
    });
    m.into_string()
}

/// A section: its heading and what a reader should know at the side, the rest beside it.
pub(crate) fn section(m: &mut Markup, heading: &str, side: &[&str], main: impl FnOnce(&mut Markup)) {
    m.nest("section", &[], |m| {
        m.nest("div", &[("class", &"side")], |m| {
            m.leaf("h2", &[], heading);
            for text in side {
                m.leaf("p", &[], text);
            }
        });
        m.nest("div", &[("class", &"main")], main);
    });
}

/// A chart with its title and a sentence on how to read it.
pub(crate) fn figure(m: &mut Markup, title: &str, note: &str, chart: impl FnOnce(&mut Markup)) {
    m.nest("figure", &[], |m| {
        m.nest("figcaption", &[], |m| {
            m.leaf("strong", &[], title);
            if !note.is_empty() {
                m.text(" ");
                m.leaf("span", &[], note);
            }
        });
        chart(m);
    });
}

/// A sign before a text: by its form and its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Not known, or to be looked at.
    Unsure,
}

impl Sign {
    /// Good or bad.
    pub(crate) fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Good => "sign good",
            Self::Bad => "sign bad",
            Self::Unsure => "sign unsure",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Good => "M4.5 8.4l2.4 2.4 4.6-5.2",
            Self::Bad => "M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4",
            Self::Unsure => "M8 4.2v4.9M8 11.6v.1",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "as it should be",
            Self::Bad => "not as it should be",
            Self::Unsure => "to be looked at",
        }
    }

    /// Draws it.
    pub(crate) fn draw(self, m: &mut Markup) {
        let attributes: super::super::markup::Attributes<'_> =
            &[("viewBox", &"0 0 16 16"), ("class", &self.class()), ("role", &"img"), ("aria-label", &self.name())];
        m.nest("svg", attributes, |m| {
            m.empty("circle", &[("cx", &"8"), ("cy", &"8"), ("r", &"7.5")]);
            m.empty("path", &[("d", &self.path())]);
        });
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    sign: Option<Sign>,
    faint: bool,
}

impl Cell {
    /// A text with a sign before it.
    pub(crate) fn signed(sign: Sign, text: impl Into<String>) -> Self {
        Self { text: text.into(), sign: Some(sign), faint: false }
    }

    /// A text that stands back.
    pub(crate) fn faint(text: impl Into<String>) -> Self {
        Self { text: text.into(), sign: None, faint: true }
    }

    /// A count that stands back when it is 0, so that those which are not are seen.
    pub(crate) fn count(number: u64) -> Self {
        Self { text: super::super::figures::count(number), sign: None, faint: number == 0 }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, sign: None, faint: false }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A table: `columns` are the heads, those that begin with `#` of columns of numbers, those with `!` of short texts that are
/// not broken.
pub(crate) fn table(m: &mut Markup, columns: &[&str], rows: Vec<Vec<Cell>>) {
    let class = |i: usize| match columns.get(i).and_then(|c| c.chars().next()) {
        Some('#') => "number",
        Some('!') => "text short",
        _ => "text",
    };
    m.nest("div", &[("class", &"scroll")], |m| {
        m.nest("table", &[], |m| {
            m.nest("thead", &[], |m| {
                m.nest("tr", &[], |m| {
                    for (i, column) in columns.iter().enumerate() {
                        m.leaf("th", &[("class", &class(i)), ("scope", &"col")], column.trim_start_matches(['#', '!']));
                    }
                });
            });
            m.nest("tbody", &[], |m| {
                for row in rows {
                    m.nest("tr", &[], |m| {
                        for (i, cell) in row.iter().enumerate() {
                            let faint = if cell.faint { " faint" } else { "" };
                            let signed = if cell.sign.is_some() { " signed" } else { "" };
                            m.nest("td", &[("class", &format_args!("{}{faint}{signed}", class(i)))], |m| {
                                if let Some(sign) = cell.sign {
                                    sign.draw(m);
                                }
                                m.text(&cell.text);
                            });
                        }
                    });
                }
            });
        });
    });
}

/// A list of sentences under a word that says what they are; nothing when there are none.
pub(crate) fn findings(m: &mut Markup, heading: &str, class: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    m.nest("div", &[("class", &format_args!("findings {class}"))], |m| {
        m.leaf("h3", &[], heading);
        m.nest("ul", &[], |m| {
            for sentence in sentences {
                m.leaf("li", &[], sentence);
            }
        });
    });
}
