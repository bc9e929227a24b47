//! `crest load report` and `crest load compare`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::compare::Comparison;
use super::{html, read};
use crate::exit;

/// Which record becomes a page.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  crest load report double-11-2014.json                    writes double-11-2014.html beside it
  crest load report double-11-2014.json --out board.html")]
pub struct ReportArgs {
    /// The JSON that a rehearsal left.
    #[arg(value_name = "RUN.json")]
    run: PathBuf,

    /// Where the page is written: beside the record, with the ending .html, when nothing is said; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Which records are compared.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  crest load compare monday.json tuesday.json
  crest load compare monday.json tuesday.json --html tuesday-against-monday.html
  crest load compare monday.json tuesday.json --json | jq '.groups[].figures[] | select(.name == \"p99\")'")]
pub struct CompareArgs {
    /// The JSON that the first rehearsal left: what the other is compared with.
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// The JSON that the second rehearsal left.
    #[arg(value_name = "B.json")]
    b: PathBuf,

    /// Writes a page with the charts of both runs in one as well.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Makes the page of a record again.
///
/// # Errors
/// Only when standard output is gone; what is wrong with a file is printed and becomes [`exit::COULD_NOT_RUN`].
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<u8> {
    settled(write_report(args))
}

/// Compares two records.
///
/// # Errors
/// As [`report`].
pub(crate) fn compare(args: &CompareArgs) -> anyhow::Result<u8> {
    settled(write_comparison(args))
}

/// An error is printed here, so that it never becomes another code than this one.
fn settled(done: anyhow::Result<()>) -> anyhow::Result<u8> {
    match done {
        Ok(()) => Ok(exit::PASSED),
        Err(error) => {
            writeln!(std::io::stderr(), "crest: {error:#}")?;
            Ok(exit::COULD_NOT_RUN)
        }
    }
}

fn write_report(args: &ReportArgs) -> anyhow::Result<()> {
    let page = html(&read(&args.run)?);
    let out = args.out.clone().unwrap_or_else(|| args.run.with_extension("html"));
    if out == Path::new("-") {
        return print(&page);
    }
    anyhow::ensure!(out != args.run, "{} is the record itself; say with --out where the page goes", out.display());
    write(&out, &page)?;
    print(&format!("{}\n", out.display()))
}

fn write_comparison(args: &CompareArgs) -> anyhow::Result<()> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let name = |path: &Path| path.display().to_string();
    let comparison = Comparison::new((&name(&args.a), &a), (&name(&args.b), &b));
    if let Some(file) = &args.html {
        write(file, &comparison.html(&a, &b))?;
    }
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&comparison)?))
    } else {
        print(&comparison.text())
    }
}

fn write(path: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads only the beginning (`| head`) has what they wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_page_is_written_beside_its_record_and_never_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, out: Option<&str>, code: u8, written: Option<&str>| {
            let (run, out) = (folder.path().join(name), out.map(|out| folder.path().join(out)));
            std::fs::write(&run, serde_json::to_vec(&sample::nothing()).unwrap()).unwrap();
            assert_eq!(report(&ReportArgs { run: run.clone(), out }).unwrap(), code, "{name}");
            assert!(read(&run).is_ok(), "{name} was overwritten");
            if let Some(written) = written {
                let page = std::fs::read_to_string(folder.path().join(written)).unwrap();
                assert!(page.starts_with("<!DOCTYPE html>"), "{written}");
            }
        };
        check("run.json", None, exit::PASSED, Some("run.html"));
        check("other.json", Some("board.html"), exit::PASSED, Some("board.html"));
        check("record.html", None, exit::COULD_NOT_RUN, None);
        check("again.json", Some("no/such/folder.html"), exit::COULD_NOT_RUN, None);
    }

    #[test]
    fn two_records_are_compared_with_a_page_and_a_file_that_is_none_has_its_own_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.json"), serde_json::to_vec(&sample::record(1, 1.0)).unwrap()).unwrap();
        std::fs::write(path("b.json"), serde_json::to_vec(&sample::record(1, 2.0)).unwrap()).unwrap();
        std::fs::write(path("c.json"), "{}").unwrap();
        let args = |b: &str| CompareArgs { a: path("a.json"), b: path(b), html: Some(path("both.html")), json: true };
        assert_eq!(compare(&args("c.json")).unwrap(), exit::COULD_NOT_RUN);
        assert!(!path("both.html").exists());
        assert_eq!(compare(&args("b.json")).unwrap(), exit::PASSED);
        assert!(std::fs::read_to_string(path("both.html")).unwrap().contains("A against B"));
    }
}
