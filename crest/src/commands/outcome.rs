//! How a command ends: what it prints, and its exit code.

use super::human::format_id;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::process::ExitCode;
use tonic::{Code, Status};

/// The command was carried out, or refused by the ledger.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// For people, on standard output; empty for nothing.
    pub(crate) text: String,
    /// For programs (`--json`), on standard output.
    pub(crate) json: Value,
    /// Why it counts as refused: one line on standard error, and the exit code 1.
    pub(crate) refusal: Option<String>,
}

/// Why there is no outcome.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request cannot be what was meant. Nothing was applied. Exit code 2.
    Usage(String),
    /// Nothing was applied, or nothing was to be applied: try again. Exit code 3.
    Unavailable(String),
    /// The request may have been applied or not; a retry with the same id settles it. Exit code 3.
    Unknown {
        /// What happened, and how to settle it.
        text: String,
        /// The id that a retry has to carry.
        id: u128,
    },
    /// There is an outcome, which is printed as any other, and somebody has to look at it, or at what is missing from it.
    Attention {
        /// What is printed.
        shown: Box<Outcome>,
        /// Why it needs attention: one line on standard error.
        text: String,
        /// The exit code.
        code: u8,
    },
}

impl Failure {
    /// A gRPC error in answer to a request that only reads.
    pub(crate) fn of_read(status: &Status) -> Self {
        let reason = reason(status);
        match status.code() {
            Code::InvalidArgument => Self::Usage(format!("the router refused the request: {reason}")),
            Code::ResourceExhausted => Self::Unavailable(format!("the router is busy, try again later: {reason}")),
            code => Self::Unavailable(format!("no answer ({}): {reason}", code_name(code))),
        }
    }

    /// A gRPC error in answer to a request that creates `id`, which `retry` would settle (`run the same command again`).
    pub(crate) fn of_write(status: &Status, id: u128, retry: &str) -> Self {
        match status.code() {
            Code::InvalidArgument | Code::ResourceExhausted => Self::of_read(status),
            Code::Unimplemented => Self::Unavailable(format!("is this a Crest router? {}", reason(status))),
            code if status.metadata().contains_key(crest_proto::NOT_APPLIED) => {
                Self::Unavailable(format!("no answer ({}): {}", code_name(code), reason(status)))
            }
            code => Self::Unknown {
                text: format!(
                    "unknown whether {} was created ({}: {}); {retry}: it is then created, or found to exist",
                    format_id(id),
                    code_name(code),
                    reason(status)
                ),
                id,
            },
        }
    }

    /// A stray answer, from a server that does not keep to the API.
    pub(crate) fn broken_answer(problem: impl std::fmt::Display) -> Self {
        Self::Unavailable(format!("the answer cannot be understood, is the router of another version? {problem}"))
    }

    fn text(&self) -> &str {
        match self {
            Self::Usage(text) | Self::Unavailable(text) | Self::Unknown { text, .. } | Self::Attention { text, .. } => {
                text
            }
        }
    }

    fn json(&self) -> Value {
        let error = self.text();
        match self {
            Self::Usage(_) => json!({ "error": error, "outcome": "invalid" }),
            Self::Unavailable(_) => json!({ "error": error, "outcome": "unavailable" }),
            Self::Unknown { id, .. } => json!({ "error": error, "outcome": "unknown", "id": id.to_string() }),
            Self::Attention { shown, .. } => shown.json.clone(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unavailable(_) | Self::Unknown { .. } => 3,
            Self::Attention { code, .. } => *code,
        }
    }
}

/// Prints how a command ended, as text or as one JSON document, and gives its exit code.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(ended: Result<Outcome, Failure>, as_json: bool) -> anyhow::Result<ExitCode> {
    let (out, error, code) = render(&ended, as_json);
    if let Some(error) = error {
        eprintln!("crest: {error}");
    }
    if out.is_empty() {
        return Ok(ExitCode::from(code));
    }
    match writeln!(io::stdout(), "{out}").and_then(|()| io::stdout().flush()) {
        // Somebody who reads only the first lines (`| head`) is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::from(code)),
    }
}

/// What goes to standard output and to standard error, and the exit code.
pub(super) fn render(ended: &Result<Outcome, Failure>, as_json: bool) -> (String, Option<String>, u8) {
    let document = |json: &Value| format!("{json:#}");
    match ended {
        Ok(outcome) => {
            let out = if as_json { document(&outcome.json) } else { outcome.text.trim_end().to_owned() };
            (out, outcome.refusal.clone(), u8::from(outcome.refusal.is_some()))
        }
        Err(failure) => {
            let out = match failure {
                failure if as_json => document(&failure.json()),
                Failure::Attention { shown, .. } => shown.text.trim_end().to_owned(),
                _ => String::new(),
            };
            (out, Some(failure.text().to_owned()), failure.exit_code())
        }
    }
}

/// The text of a gRPC error, on one line.
pub(super) fn reason(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = if text.is_empty() { more } else { format!("{text}: {more}") };
        }
        source = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

/// The name that gRPC's documents use.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
