//! `crest transfer`: send money, post or void what is pending, and look at transfers.

use super::account::{not_found, one_result, stray, transfers_of};
use super::connect::Common;
use super::human::{format_id, format_time, new_id, parse_amount, parse_id, parse_seconds};
use super::outcome::{Failure, Outcome, print};
use super::query::UserData;
use super::{meaning, rows};
use crest_ledger::{Transfer, TransferFlags};
use crest_proto::{border, v1};
use serde_json::json;
use std::process::ExitCode;

/// `crest transfer`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Move money from one account to another, or reserve it (--flags pending)
    #[command(after_help = "Examples:
  crest transfer send --from house:cash --to 1001 --amount 12.50 --scale 2 --ledger 1 --code 1
  crest transfer send --from 1001 --to 1002 --amount 5 --ledger 1 --code 1 --flags pending --timeout 30s

A retry with the same --id moves the money once.")]
    Send(Send),
    /// Move what a pending transfer reserved, or a part of it; the rest is released
    #[command(after_help = "Example:\n  crest transfer post 0x0192f0c123457abc8def0123456789ab --amount 5")]
    Post(Post),
    /// Release what a pending transfer reserved
    #[command(after_help = "Example:\n  crest transfer void 0x0192f0c123457abc8def0123456789ab")]
    Void(Void),
    /// Show transfers
    #[command(after_help = "Example:\n  crest transfer show 0x0192f0c123457abc8def0123456789ab --scale 2")]
    Show {
        /// Ids: decimal, 0x hex, UUIDs, or names
        #[arg(required = true, num_args = 1..=1_000, value_parser = parse_id, value_name = "ID")]
        ids: Vec<u128>,
    },
}

#[derive(Debug, clap::Args)]
struct Send {
    /// Who pays (the debit account): decimal, 0x hex, a UUID, or a name such as house:cash
    #[arg(long, value_parser = parse_id, value_name = "ACCOUNT")]
    from: u128,
    /// Who is paid (the credit account)
    #[arg(long, value_parser = parse_id, value_name = "ACCOUNT")]
    to: u128,
    /// How much, with at most --scale decimals
    #[arg(long)]
    amount: String,
    /// Ledger number of both accounts
    #[arg(long)]
    ledger: u32,
    /// What kind of transfer it is, in your own numbering
    #[arg(long)]
    code: u16,
    /// The transfer's id [default: a new one, ordered by time, which is printed]
    #[arg(long, value_parser = parse_id)]
    id: Option<u128>,
    /// What it does, separated by commas
    #[arg(long, value_delimiter = ',', value_enum)]
    flags: Vec<Flag>,
    /// When a pending transfer expires: 30s, 2h; 0 is never
    #[arg(long, value_parser = parse_seconds, default_value = "0", hide_default_value = true, value_name = "DURATION")]
    timeout: u32,
    #[command(flatten)]
    user_data: UserData,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Flag {
    /// Only reserve; a post or void, or --timeout, decides
    Pending,
    /// Move at most what the paying account has
    BalancingDebit,
    /// Move at most what the paid account lacks
    BalancingCredit,
    /// Close the paying account; only with pending
    ClosingDebit,
    /// Close the paid account; only with pending
    ClosingCredit,
}

impl Flag {
    fn bit(self) -> u16 {
        match self {
            Self::Pending => TransferFlags::PENDING,
            Self::BalancingDebit => TransferFlags::BALANCING_DEBIT,
            Self::BalancingCredit => TransferFlags::BALANCING_CREDIT,
            Self::ClosingDebit => TransferFlags::CLOSING_DEBIT,
            Self::ClosingCredit => TransferFlags::CLOSING_CREDIT,
        }
    }
}

#[derive(Debug, clap::Args)]
struct Post {
    /// The pending transfer
    #[arg(value_parser = parse_id)]
    pending_id: u128,
    /// How much of it, with at most --scale decimals [default: all]
    #[arg(long)]
    amount: Option<String>,
    /// The post's own id [default: a new one, ordered by time, which is printed]
    #[arg(long, value_parser = parse_id)]
    id: Option<u128>,
}

#[derive(Debug, clap::Args)]
struct Void {
    /// The pending transfer
    #[arg(value_parser = parse_id)]
    pending_id: u128,
    /// The void's own id [default: a new one, ordered by time, which is printed]
    #[arg(long, value_parser = parse_id)]
    id: Option<u128>,
}

/// Runs `crest transfer` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    let common = &args.common;
    match &args.verb {
        Verb::Send(send) => create(common, send.transfer(common.scale)?).await,
        Verb::Post(post) => create(common, post.transfer(common.scale)?).await,
        Verb::Void(void) => create(common, void.transfer()).await,
        Verb::Show { ids } => show(common, ids).await,
    }
}

impl Send {
    fn transfer(&self, scale: u8) -> Result<Transfer, Failure> {
        Ok(Transfer {
            id: self.id.unwrap_or_else(new_id),
            debit_account_id: self.from,
            credit_account_id: self.to,
            amount: parse_amount(&self.amount, scale).map_err(Failure::Usage)?,
            user_data_128: self.user_data.user_data_128,
            user_data_64: self.user_data.user_data_64,
            user_data_32: self.user_data.user_data_32,
            timeout: self.timeout,
            ledger: self.ledger,
            code: self.code,
            flags: TransferFlags(self.flags.iter().fold(0, |bits, flag| bits | flag.bit())),
            ..Transfer::default()
        })
    }
}

impl Post {
    fn transfer(&self, scale: u8) -> Result<Transfer, Failure> {
        let amount = match &self.amount {
            Some(amount) => parse_amount(amount, scale).map_err(Failure::Usage)?,
            // The sentinel for all of it.
            None => u128::MAX,
        };
        Ok(Transfer {
            id: self.id.unwrap_or_else(new_id),
            amount,
            pending_id: self.pending_id,
            flags: TransferFlags(TransferFlags::POST_PENDING),
            ..Transfer::default()
        })
    }
}

impl Void {
    fn transfer(&self) -> Transfer {
        Transfer {
            id: self.id.unwrap_or_else(new_id),
            pending_id: self.pending_id,
            flags: TransferFlags(TransferFlags::VOID_PENDING),
            ..Transfer::default()
        }
    }
}

async fn create(common: &Common, transfer: Transfer) -> Result<Outcome, Failure> {
    let id = format_id(transfer.id);
    let request = v1::CreateTransfersRequest { transfers: vec![border::transfer_to(&transfer)], independent: false };
    let retry = format!("run the same command again with --id {id}");
    let answer = common.ledger().await?.create_transfers(request).await;
    let answer = answer.map_err(|s| Failure::of_write(&s, transfer.id, &retry))?.into_inner();
    let result = one_result(&answer.results).and_then(border::transfer_result_from);
    let (status, timestamp) = result.map_err(|e| Failure::of_write(&stray(&e), transfer.id, &retry))?;
    let json = json!({
        "id": transfer.id.to_string(),
        "status": status.name(),
        "done": status.is_done(),
        "meaning": meaning::of_transfer(status),
        "timestamp": timestamp.to_string(),
    });
    if status.is_done() {
        let text = format!("transfer {id}: {status} ({})", format_time(timestamp));
        return Ok(Outcome { text, json, refusal: None });
    }
    let refusal = format!("transfer {id} was refused: {status}. {}", meaning::of_transfer(status));
    Ok(Outcome { text: String::new(), json, refusal: Some(refusal) })
}

async fn show(common: &Common, ids: &[u128]) -> Result<Outcome, Failure> {
    let request = v1::LookupTransfersRequest { ids: border::ids_to(ids), read: None };
    let answer = common.ledger().await?.lookup_transfers(request).await.map_err(|s| Failure::of_read(&s))?;
    let transfers = transfers_of(answer.into_inner().transfers)?;
    let missing: Vec<u128> = ids.iter().copied().filter(|&id| transfers.iter().all(|t| t.id != id)).collect();
    Ok(Outcome {
        text: if transfers.is_empty() { String::new() } else { rows::transfer_table(&transfers, common.scale) },
        json: json!({
            "transfers": transfers.iter().map(rows::transfer_json).collect::<Vec<_>>(),
            "missing": missing.iter().map(u128::to_string).collect::<Vec<_>>(),
        }),
        refusal: not_found("transfer", &missing),
    })
}
