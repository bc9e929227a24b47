//! What every page must be, whatever the record says.

use roxmltree::{Document, Node, ParsingOptions};

use super::sample;
use super::{html, page};
use crate::record::{EventRecord, RunRecord, Verdict};

/// The page is XML as well as HTML; roxmltree refuses whatever is not well-formed.
fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: u32::MAX };
    Document::parse_with_options(page, options).unwrap_or_else(|e| panic!("not well-formed: {e}"))
}

#[test]
#[ignore = "writes pages to look at: CREST_REPORT_SAMPLES=folder cargo test -p crest-loadgen pages_to_look_at -- --ignored"]
fn pages_to_look_at() {
    let folder = std::env::var_os("CREST_REPORT_SAMPLES").map(std::path::PathBuf::from).unwrap();
    let write = |name: &str, record: &RunRecord| {
        let page = html(record);
        parse(&page);
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
        std::fs::write(folder.join(format!("{name}.json")), serde_json::to_vec_pretty(record).unwrap()).unwrap();
    };
    write("sample", &sample::record(1, 1.0));
    write("slow", &sample::with_verdict(Verdict::TooSlow));
    write("money", &sample::with_verdict(Verdict::MoneyWrong));
    write("invalid", &sample::with_verdict(Verdict::Invalid));
    write("nothing", &sample::nothing());
    write("long", &sample::record(556, 1.0));
}
