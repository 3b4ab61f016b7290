use sqlx::SqlitePool;

use super::model::{Account, NewAccount, NewTransaction, Transaction};
use crate::services::database;
use crate::services::values::Listing;

/// The accounts and their transactions in the database.
#[derive(Clone)]
pub(super) struct Ledger {
    pool: SqlitePool,
}

pub(super) enum Opened {
    Account(Account),
    UserHasOne,
}

pub(super) enum Closed {
    Gone,
    NoSuchAccount,
    MoneyHasMoved,
}

pub(super) enum Moved {
    Transaction(Transaction),
    NoSuchAccount,
    InsufficientBalance,
}

impl Ledger {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    pub(super) async fn open_account(&self, new: &NewAccount) -> Result<Opened, sqlx::Error> {
        let opened = sqlx::query_as("INSERT INTO accounts (user_id) VALUES (?) RETURNING *")
            .bind(new.user_id.get())
            .fetch_one(&self.pool)
            .await;
        match opened {
            Ok(account) => Ok(Opened::Account(account)),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Opened::UserHasOne),
            Err(error) => Err(error),
        }
    }

    /// Removes an account that was never used.
    pub(super) async fn close_account(&self, id: i64) -> Result<Closed, sqlx::Error> {
        let closed = sqlx::query("DELETE FROM accounts WHERE id = ?").bind(id).execute(&self.pool).await;
        match closed {
            Ok(done) if done.rows_affected() == 0 => Ok(Closed::NoSuchAccount),
            Ok(_) => Ok(Closed::Gone),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(Closed::MoneyHasMoved),
            Err(error) => Err(error),
        }
    }

    /// Changes the balance and writes the transaction down, both or neither.
    pub(super) async fn move_money(&self, new: &NewTransaction) -> Result<Moved, sqlx::Error> {
        let mut transaction = database::begin_write(&self.pool).await?;
        let balance: Option<i64> = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = ?")
            .bind(new.account_id.get())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(balance) = balance else {
            return Ok(Moved::NoSuchAccount);
        };
        if balance + new.change() < 0 {
            return Ok(Moved::InsufficientBalance);
        }
        sqlx::query("UPDATE accounts SET balance = balance + ? WHERE id = ?")
            .bind(new.change())
            .bind(new.account_id.get())
            .execute(&mut *transaction)
            .await?;
        let moved = sqlx::query_as(
            "INSERT INTO balance_transactions (account_id, type, amount, currency, reference)
             VALUES (?, ?, ?, ?, ?) RETURNING *",
        )
        .bind(new.account_id.get())
        .bind(new.kind)
        .bind(new.amount.get())
        .bind(new.currency)
        .bind(new.reference.as_ref().map(|reference| reference.as_str()))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Moved::Transaction(moved))
    }

    pub(super) async fn find_account(&self, id: i64) -> Result<Option<Account>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM accounts WHERE id = ?").bind(id).fetch_optional(&self.pool).await
    }

    pub(super) async fn find_account_of_user(&self, user_id: i64) -> Result<Option<Account>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM accounts WHERE user_id = ?").bind(user_id).fetch_optional(&self.pool).await
    }

    /// The newest transactions first.
    pub(super) async fn list_transactions(&self, listing: &Listing) -> Result<Vec<Transaction>, sqlx::Error> {
        let query = match &listing.reference {
            Some(reference) => sqlx::query_as("SELECT * FROM balance_transactions WHERE reference = ? ORDER BY id DESC LIMIT ?")
                .bind(reference.as_str()),
            None => sqlx::query_as("SELECT * FROM balance_transactions ORDER BY id DESC LIMIT ?"),
        };
        query.bind(listing.limit()).fetch_all(&self.pool).await
    }
}
