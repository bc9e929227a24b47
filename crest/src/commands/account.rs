//! `crest account`: create accounts, look at them, at their transfers and their balances.

use super::connect::{Common, collect_pages};
use super::human::{format_id, format_time, parse_id};
use super::outcome::{Failure, Outcome, print};
use super::query::{Listing, UserData};
use super::{meaning, rows};
use crest_ledger::{Account, AccountBalance, AccountFlags, Transfer};
use crest_proto::{FieldError, border, v1};
use serde_json::json;
use std::process::ExitCode;
use tonic::Status;

/// `crest account`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create an account; one that is there already, and the same, is as good
    #[command(after_help = "Example:\n  crest account create house:cash --ledger 1 --code 10 --flags history")]
    Create(Create),
    /// Show accounts and their balances
    #[command(after_help = "Example:\n  crest account show house:cash 1001 --scale 2")]
    Show {
        /// Ids: decimal, 0x hex, UUIDs, or names such as house:cash
        #[arg(required = true, num_args = 1..=1_000, value_parser = parse_id, value_name = "ID")]
        ids: Vec<u128>,
        /// As they were at this instant: ns since the Unix epoch, as in the JSON of any answer
        #[arg(long, value_name = "TIMESTAMP", value_parser = clap::value_parser!(u64).range(1..))]
        at: Option<u64>,
        /// Let replicas answer that only follow, once they have applied everything up to the instant
        #[arg(long, requires = "at")]
        from_followers: bool,
    },
    /// List an account's transfers, by time
    #[command(after_help = "Example:\n  crest account transfers house:cash --newest-first --limit 10 --since 24h")]
    Transfers(OfAccount),
    /// List an account's balances after each of its transfers; only accounts with the flag history have them
    #[command(after_help = "Example:\n  crest account balances house:cash --newest-first --limit 10")]
    Balances(OfAccount),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Id: decimal, 0x hex, a UUID, or a name such as house:cash
    #[arg(value_parser = parse_id)]
    id: u128,
    /// Ledger number: a currency or an asset; transfers join accounts of one ledger only
    #[arg(long)]
    ledger: u32,
    /// What kind of account it is, in your own numbering
    #[arg(long)]
    code: u16,
    /// How it behaves, separated by commas
    #[arg(long, value_delimiter = ',', value_enum)]
    flags: Vec<Flag>,
    #[command(flatten)]
    user_data: UserData,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Flag {
    /// Refuse what it cannot pay from its posted credits
    DebitsMustNotExceedCredits,
    /// Refuse what would credit it above its posted debits
    CreditsMustNotExceedDebits,
    /// Keep its balances after every transfer
    History,
    /// Refuse all transfers, from the beginning
    Closed,
}

impl Flag {
    fn bit(self) -> u16 {
        match self {
            Self::DebitsMustNotExceedCredits => AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS,
            Self::CreditsMustNotExceedDebits => AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS,
            Self::History => AccountFlags::HISTORY,
            Self::Closed => AccountFlags::CLOSED,
        }
    }
}

#[derive(Debug, clap::Args)]
struct OfAccount {
    /// Whose: decimal, 0x hex, a UUID, or a name such as house:cash
    #[arg(value_parser = parse_id)]
    id: u128,
    /// Only transfers that debit the account
    #[arg(long, conflicts_with = "credits")]
    debits: bool,
    /// Only transfers that credit the account
    #[arg(long)]
    credits: bool,
    #[command(flatten)]
    listing: Listing,
}

/// Runs `crest account` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    match &args.verb {
        Verb::Create(create) => create.execute(&args.common).await,
        Verb::Show { ids, at, from_followers } => {
            let read = at.map(|timestamp| v1::ReadAt { timestamp, from_followers: *from_followers });
            show(&args.common, ids, read).await
        }
        Verb::Transfers(of) => of.transfers(&args.common).await,
        Verb::Balances(of) => of.balances(&args.common).await,
    }
}

impl Create {
    async fn execute(&self, common: &Common) -> Result<Outcome, Failure> {
        let account = Account {
            id: self.id,
            user_data_128: self.user_data.user_data_128,
            user_data_64: self.user_data.user_data_64,
            user_data_32: self.user_data.user_data_32,
            ledger: self.ledger,
            code: self.code,
            flags: AccountFlags(self.flags.iter().fold(0, |bits, flag| bits | flag.bit())),
            ..Account::default()
        };
        let request = v1::CreateAccountsRequest { accounts: vec![border::account_to(&account)] };
        let answer = common.ledger().await?.create_accounts(request).await;
        let unknown = |status: &Status| Failure::of_write(status, self.id, "run the same command again");
        let answer = answer.map_err(|status| unknown(&status))?.into_inner();
        let result = one_result(&answer.results).and_then(border::account_result_from);
        let (status, timestamp) = result.map_err(|e| unknown(&stray(&e)))?;
        let id = format_id(self.id);
        let json = json!({
            "id": self.id.to_string(),
            "status": status.name(),
            "done": status.is_done(),
            "meaning": meaning::of_account(status),
            "timestamp": timestamp.to_string(),
        });
        if status.is_done() {
            let text = format!("account {id}: {status} ({})", format_time(timestamp));
            return Ok(Outcome { text, json, refusal: None });
        }
        let refusal = format!("account {id} was refused: {status}. {}", meaning::of_account(status));
        Ok(Outcome { text: String::new(), json, refusal: Some(refusal) })
    }
}

async fn show(common: &Common, ids: &[u128], read: Option<v1::ReadAt>) -> Result<Outcome, Failure> {
    let request = v1::LookupAccountsRequest { ids: border::ids_to(ids), read };
    let answer = common.ledger().await?.lookup_accounts(request).await.map_err(|s| Failure::of_read(&s))?.into_inner();
    let accounts = accounts_of(answer.accounts)?;
    let missing: Vec<u128> = ids.iter().copied().filter(|&id| accounts.iter().all(|a| a.id != id)).collect();
    Ok(Outcome {
        text: if accounts.is_empty() { String::new() } else { rows::account_table(&accounts, common.scale) },
        json: json!({
            "accounts": accounts.iter().map(rows::account_json).collect::<Vec<_>>(),
            "missing": missing.iter().map(u128::to_string).collect::<Vec<_>>(),
            "timestamp": answer.timestamp.to_string(),
        }),
        refusal: not_found("account", &missing),
    })
}

/// The result of a request with one event.
pub(super) fn one_result<R: Copy>(results: &[R]) -> Result<R, FieldError> {
    match results {
        [result] => Ok(*result),
        _ => Err(FieldError::new("results", "one for the one event", results.len())),
    }
}

/// An answer that cannot be understood tells as little as none: the event may have been applied.
pub(super) fn stray(error: &FieldError) -> Status {
    Status::unknown(format!("the answer cannot be understood, is the router of another version? {error}"))
}

/// The line for ids that were looked for in vain.
pub(super) fn not_found(noun: &str, missing: &[u128]) -> Option<String> {
    let ids: Vec<String> = missing.iter().map(|&id| format_id(id)).collect();
    (!ids.is_empty()).then(|| format!("no such {noun}: {}", ids.join(", ")))
}

pub(super) fn accounts_of(messages: Vec<v1::Account>) -> Result<Vec<Account>, Failure> {
    messages.into_iter().map(border::account_from).collect::<Result<_, _>>().map_err(Failure::broken_answer)
}

pub(super) fn transfers_of(messages: Vec<v1::Transfer>) -> Result<Vec<Transfer>, Failure> {
    messages.into_iter().map(border::transfer_from).collect::<Result<_, _>>().map_err(Failure::broken_answer)
}

impl OfAccount {
    fn filter(&self, limit: u32, cursor: Vec<u8>) -> v1::AccountFilter {
        let direction = match (self.debits, self.credits) {
            (true, _) => v1::Direction::Debits,
            (_, true) => v1::Direction::Credits,
            _ => v1::Direction::Both,
        };
        let l = &self.listing;
        v1::AccountFilter {
            account_id: border::number_to(self.id),
            user_data_128: border::number_to(l.user_data.user_data_128),
            user_data_64: l.user_data.user_data_64,
            user_data_32: l.user_data.user_data_32,
            code: u32::from(l.code),
            timestamp_min: l.since,
            timestamp_max: l.until,
            direction: direction.into(),
            order: l.order().into(),
            limit,
            cursor,
        }
    }

    async fn transfers(&self, common: &Common) -> Result<Outcome, Failure> {
        let client = common.ledger().await?;
        let transfers: Vec<Transfer> = collect_pages(self.listing.limit, async |limit, cursor| {
            let request = v1::GetAccountTransfersRequest { filter: Some(self.filter(limit, cursor)) };
            let answer = client.clone().get_account_transfers(request).await.map_err(|s| Failure::of_read(&s))?;
            let answer = answer.into_inner();
            Ok((transfers_of(answer.transfers)?, answer.next_cursor))
        })
        .await?;
        Ok(Outcome {
            text: rows::transfer_table(&transfers, common.scale),
            json: json!({ "transfers": transfers.iter().map(rows::transfer_json).collect::<Vec<_>>() }),
            refusal: None,
        })
    }

    async fn balances(&self, common: &Common) -> Result<Outcome, Failure> {
        let client = common.ledger().await?;
        let balances: Vec<AccountBalance> = collect_pages(self.listing.limit, async |limit, cursor| {
            let request = v1::GetAccountBalancesRequest { filter: Some(self.filter(limit, cursor)) };
            let answer = client.clone().get_account_balances(request).await.map_err(|s| Failure::of_read(&s))?;
            let answer = answer.into_inner();
            Ok((answer.balances.into_iter().map(border::balance_from).collect(), answer.next_cursor))
        })
        .await?;
        Ok(Outcome {
            text: rows::balance_table(&balances, common.scale),
            json: json!({ "balances": balances.iter().map(rows::balance_json).collect::<Vec<_>>() }),
            refusal: None,
        })
    }
}
