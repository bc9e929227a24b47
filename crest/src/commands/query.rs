//! `crest query`: lists of accounts and of transfers that match conditions.

use super::account::{accounts_of, transfers_of};
use super::connect::{Common, collect_pages};
use super::human::{parse_number, parse_time};
use super::outcome::{Failure, Outcome, print};
use super::rows;
use crest_ledger::{Account, Timestamp, Transfer};
use crest_proto::{border, v1};
use serde_json::json;
use std::process::ExitCode;

/// Rows that one command lists at most; they are held in memory, some 250 bytes each.
const LISTING_ROWS_MAX: i64 = 1_000_000;

/// `crest query`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List accounts that match all conditions, by creation time
    #[command(after_help = "Example:\n  crest query accounts --ledger 1 --code 10 --limit 20
  crest query accounts --rehearsals only")]
    Accounts(Conditions),
    /// List transfers that match all conditions, by time
    #[command(after_help = "Example:\n  crest query transfers --ledger 1 --since 2026-11-11T00:00:00Z --newest-first")]
    Transfers(Conditions),
}

#[derive(Debug, clap::Args)]
struct Conditions {
    /// Only of this ledger number; 0 is any
    #[arg(long, default_value_t = 0)]
    ledger: u32,
    /// Whether to list what is on ledger numbers of rehearsals (4026531840 and up)
    #[arg(long, value_enum, default_value_t = Rehearsals::Both, value_name = "WHICH")]
    rehearsals: Rehearsals,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Rehearsals {
    /// Real ones and those of rehearsals
    Both,
    /// Only real ones
    Without,
    /// Only those of rehearsals
    Only,
}

impl From<Rehearsals> for v1::Rehearsals {
    fn from(rehearsals: Rehearsals) -> Self {
        match rehearsals {
            Rehearsals::Both => Self::Both,
            Rehearsals::Without => Self::Without,
            Rehearsals::Only => Self::Only,
        }
    }
}

/// Options of every list.
#[derive(Debug, clap::Args)]
pub(crate) struct Listing {
    /// Only with this code; 0 is any
    #[arg(long, default_value_t = 0)]
    pub(crate) code: u16,
    #[command(flatten)]
    pub(crate) user_data: UserData,
    /// From this instant on: nanoseconds, 2026-11-11T00:00:00Z, or a duration ago such as 15m
    #[arg(long, value_parser = parse_time, default_value = "0", hide_default_value = true, value_name = "TIME")]
    pub(crate) since: Timestamp,
    /// Up to this instant, inclusive
    #[arg(long, value_parser = parse_time, default_value = "0", hide_default_value = true, value_name = "TIME")]
    pub(crate) until: Timestamp,
    /// The latest first
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// Rows to list, over as many pages as it takes
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=LISTING_ROWS_MAX))]
    pub(crate) limit: u32,
}

impl Listing {
    /// The order of the rows.
    pub(crate) fn order(&self) -> v1::Order {
        if self.newest_first { v1::Order::NewestFirst } else { v1::Order::OldestFirst }
    }
}

/// The user's own fields; in a list, 0 is any.
#[derive(Debug, clap::Args)]
pub(crate) struct UserData {
    /// Your own 128 bits: decimal, 0x hex or a UUID
    #[arg(long, value_parser = parse_number, default_value = "0", hide_default_value = true, value_name = "NUMBER")]
    pub(crate) user_data_128: u128,
    /// Your own 64 bits
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    pub(crate) user_data_64: u64,
    /// Your own 32 bits
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    pub(crate) user_data_32: u32,
}

/// Runs `crest query` and prints the outcome.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    print(execute(&args).await, args.common.json)
}

pub(super) async fn execute(args: &Args) -> Result<Outcome, Failure> {
    match &args.what {
        What::Accounts(conditions) => conditions.accounts(&args.common).await,
        What::Transfers(conditions) => conditions.transfers(&args.common).await,
    }
}

impl Conditions {
    fn filter(&self, limit: u32, cursor: Vec<u8>) -> v1::QueryFilter {
        let l = &self.listing;
        v1::QueryFilter {
            user_data_128: border::number_to(l.user_data.user_data_128),
            user_data_64: l.user_data.user_data_64,
            user_data_32: l.user_data.user_data_32,
            ledger: self.ledger,
            code: u32::from(l.code),
            timestamp_min: l.since,
            timestamp_max: l.until,
            order: l.order().into(),
            limit,
            cursor,
            rehearsals: v1::Rehearsals::from(self.rehearsals).into(),
        }
    }

    async fn accounts(&self, common: &Common) -> Result<Outcome, Failure> {
        let client = common.ledger().await?;
        let accounts: Vec<Account> = collect_pages(self.listing.limit, async |limit, cursor| {
            let request = v1::QueryAccountsRequest { filter: Some(self.filter(limit, cursor)) };
            let answer = client.clone().query_accounts(request).await.map_err(|s| Failure::of_read(&s))?.into_inner();
            Ok((accounts_of(answer.accounts)?, answer.next_cursor))
        })
        .await?;
        Ok(Outcome {
            text: rows::account_table(&accounts, common.scale),
            json: json!({ "accounts": accounts.iter().map(rows::account_json).collect::<Vec<_>>() }),
            refusal: None,
        })
    }

    async fn transfers(&self, common: &Common) -> Result<Outcome, Failure> {
        let client = common.ledger().await?;
        let transfers: Vec<Transfer> = collect_pages(self.listing.limit, async |limit, cursor| {
            let request = v1::QueryTransfersRequest { filter: Some(self.filter(limit, cursor)) };
            let answer = client.clone().query_transfers(request).await.map_err(|s| Failure::of_read(&s))?.into_inner();
            Ok((transfers_of(answer.transfers)?, answer.next_cursor))
        })
        .await?;
        Ok(Outcome {
            text: rows::transfer_table(&transfers, common.scale),
            json: json!({ "transfers": transfers.iter().map(rows::transfer_json).collect::<Vec<_>>() }),
            refusal: None,
        })
    }
}
