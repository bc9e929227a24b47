//! Accounts and their balances.

use super::error::{check_count, code_from};
use super::number::{number_from, number_to};
use crate::{FieldError, v1};
use crest_ledger::{Account, AccountBalance, AccountFlags};

/// The accounts of a create request, in their order.
///
/// # Errors
/// When there are none, or more than [`BATCH_EVENTS_MAX`](crest_ledger::limits::BATCH_EVENTS_MAX), or as
/// [`account_from`], with the account's place: `accounts[17].code`.
pub fn accounts_from(accounts: Vec<v1::Account>) -> Result<Vec<Account>, FieldError> {
    check_count("accounts", accounts.len())?;
    let read = |(i, account)| account_from(account).map_err(|e: FieldError| e.under(format_args!("accounts[{i}]")));
    accounts.into_iter().enumerate().map(read).collect()
}

/// One account.
///
/// # Errors
/// When `code` needs more than 16 bits.
pub fn account_from(account: v1::Account) -> Result<Account, FieldError> {
    Ok(Account {
        id: number_from(account.id),
        debits_pending: number_from(account.debits_pending),
        debits_posted: number_from(account.debits_posted),
        credits_pending: number_from(account.credits_pending),
        credits_posted: number_from(account.credits_posted),
        user_data_128: number_from(account.user_data_128),
        user_data_64: account.user_data_64,
        user_data_32: account.user_data_32,
        ledger: account.ledger,
        code: code_from(account.code)?,
        flags: account.flags.map_or_else(AccountFlags::default, flags_from),
        timestamp: account.timestamp,
    })
}

/// One account as a message.
pub fn account_to(account: &Account) -> v1::Account {
    v1::Account {
        id: number_to(account.id),
        debits_pending: number_to(account.debits_pending),
        debits_posted: number_to(account.debits_posted),
        credits_pending: number_to(account.credits_pending),
        credits_posted: number_to(account.credits_posted),
        user_data_128: number_to(account.user_data_128),
        user_data_64: account.user_data_64,
        user_data_32: account.user_data_32,
        ledger: account.ledger,
        code: u32::from(account.code),
        flags: account.flags.any(AccountFlags::KNOWN).then(|| flags_to(account.flags)),
        timestamp: account.timestamp,
    }
}

/// The balances of an account after one transfer. Cannot be refused.
pub fn balance_from(balance: v1::AccountBalance) -> AccountBalance {
    AccountBalance {
        debits_pending: number_from(balance.debits_pending),
        debits_posted: number_from(balance.debits_posted),
        credits_pending: number_from(balance.credits_pending),
        credits_posted: number_from(balance.credits_posted),
        timestamp: balance.timestamp,
    }
}

/// The balances of an account after one transfer, as a message.
pub fn balance_to(balance: &AccountBalance) -> v1::AccountBalance {
    v1::AccountBalance {
        debits_pending: number_to(balance.debits_pending),
        debits_posted: number_to(balance.debits_posted),
        credits_pending: number_to(balance.credits_pending),
        credits_posted: number_to(balance.credits_posted),
        timestamp: balance.timestamp,
    }
}

fn flags_from(message: v1::AccountFlags) -> AccountFlags {
    // Taken apart without `..`, so that a flag added to the API cannot be forgotten here.
    let v1::AccountFlags {
        linked,
        debits_must_not_exceed_credits,
        credits_must_not_exceed_debits,
        history,
        imported,
        closed,
    } = message;
    let mut flags = AccountFlags::default();
    flags.set(AccountFlags::LINKED, linked);
    flags.set(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS, debits_must_not_exceed_credits);
    flags.set(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS, credits_must_not_exceed_debits);
    flags.set(AccountFlags::HISTORY, history);
    flags.set(AccountFlags::IMPORTED, imported);
    flags.set(AccountFlags::CLOSED, closed);
    flags
}

fn flags_to(flags: AccountFlags) -> v1::AccountFlags {
    v1::AccountFlags {
        linked: flags.any(AccountFlags::LINKED),
        debits_must_not_exceed_credits: flags.any(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS),
        credits_must_not_exceed_debits: flags.any(AccountFlags::CREDITS_MUST_NOT_EXCEED_DEBITS),
        history: flags.any(AccountFlags::HISTORY),
        imported: flags.any(AccountFlags::IMPORTED),
        closed: flags.any(AccountFlags::CLOSED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn widest(flags: u16) -> Account {
        Account {
            id: u128::MAX,
            debits_pending: u128::MAX - 1,
            debits_posted: u128::MAX - 2,
            credits_pending: u128::MAX - 3,
            credits_posted: u128::MAX - 4,
            user_data_128: u128::MAX - 5,
            user_data_64: u64::MAX,
            user_data_32: u32::MAX,
            ledger: u32::MAX - 1,
            code: u16::MAX,
            flags: AccountFlags(flags),
            timestamp: u64::MAX - 1,
        }
    }

    #[test]
    fn an_account_survives_the_wire_with_every_combination_of_flags() {
        for account in (0..=AccountFlags::KNOWN).map(widest).chain([Account::default()]) {
            let bytes = account_to(&account).encode_to_vec();
            assert_eq!(account_from(v1::Account::decode(&bytes[..]).unwrap()), Ok(account));
        }
    }

    #[test]
    fn a_balance_survives_the_wire() {
        let widest = AccountBalance {
            debits_pending: u128::MAX,
            debits_posted: u128::MAX - 1,
            credits_pending: u128::MAX - 2,
            credits_posted: 1 << 64,
            timestamp: u64::MAX,
        };
        for balance in [widest, AccountBalance::default()] {
            let bytes = balance_to(&balance).encode_to_vec();
            assert_eq!(balance_from(v1::AccountBalance::decode(&bytes[..]).unwrap()), balance);
        }
    }

    #[test]
    fn a_code_that_does_not_fit_is_refused_with_its_place() {
        let mut accounts = vec![v1::Account::default(); 18];
        accounts[17].code = 65_536;
        let error = accounts_from(accounts).unwrap_err();
        assert_eq!(error.to_string(), "accounts[17].code: expected 0 to 65535, got 65536");
    }

    #[test]
    fn a_batch_keeps_its_order_and_its_bounds() {
        let accounts = [widest(0), Account::default(), widest(1)];
        assert_eq!(accounts_from(accounts.iter().map(account_to).collect()).unwrap(), accounts);
        assert_eq!(accounts_from(Vec::new()).unwrap_err().field, "accounts");
        assert_eq!(accounts_from(vec![v1::Account::default(); 8_191]).unwrap_err().got, "8191");
        assert!(accounts_from(vec![v1::Account::default(); 8_190]).is_ok());
    }
}
