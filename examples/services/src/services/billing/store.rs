use sqlx::AnyPool;

use super::model::{Account, NewAccount, NewTransaction, Transaction};
use crate::services::values::{Listing, Reference};
use crate::services::{clock, database};

/// The accounts and their transactions in the database.
#[derive(Clone)]
pub(super) struct Ledger {
    pool: AnyPool,
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
    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool }
    }

    pub(super) async fn open_account(&self, new: &NewAccount) -> Result<Opened, sqlx::Error> {
        let opening = sqlx::query_as("INSERT INTO accounts (user_id, reference) VALUES ($1, $2) RETURNING *")
            .bind(new.user_id.get())
            .bind(new.reference.as_ref().map(Reference::as_str));
        match database::written(opening, &self.pool).await {
            Ok(account) => Ok(Opened::Account(account)),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Opened::UserHasOne),
            Err(error) => Err(error),
        }
    }

    /// Removes an account that was never used.
    pub(super) async fn close_account(&self, id: i64) -> Result<Closed, sqlx::Error> {
        let closed = sqlx::query("DELETE FROM accounts WHERE id = $1").bind(id).execute(&self.pool).await;
        match closed {
            Ok(done) if done.rows_affected() == 0 => Ok(Closed::NoSuchAccount),
            Ok(_) => Ok(Closed::Gone),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(Closed::MoneyHasMoved),
            Err(error) => Err(error),
        }
    }

    /// Changes the balance and writes the transaction down, both or neither. With an owner, the account must be theirs.
    pub(super) async fn move_money(&self, new: &NewTransaction, owner: Option<i64>) -> Result<Moved, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let changed = sqlx::query(
            "UPDATE accounts SET balance = balance + $2
             WHERE id = $1 AND ($3 IS NULL OR user_id = $3) AND balance + $2 >= 0",
        )
        .bind(new.account_id.get())
        .bind(new.change())
        .bind(owner)
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            let account = sqlx::query("SELECT id FROM accounts WHERE id = $1 AND ($2 IS NULL OR user_id = $2)")
                .bind(new.account_id.get())
                .bind(owner)
                .fetch_optional(&mut *transaction)
                .await?;
            return Ok(if account.is_some() { Moved::InsufficientBalance } else { Moved::NoSuchAccount });
        }
        let entry = sqlx::query_as(
            "INSERT INTO balance_transactions (account_id, type, amount, currency, reference, created_at)
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
        )
        .bind(new.account_id.get())
        .bind(new.kind.as_str())
        .bind(new.amount.get())
        .bind(new.currency.as_str())
        .bind(new.reference.as_ref().map(Reference::as_str))
        .bind(clock::now());
        let entry = database::written(entry, &mut *transaction).await?;
        transaction.commit().await?;
        Ok(Moved::Transaction(entry))
    }

    pub(super) async fn find_account(&self, id: i64) -> Result<Option<Account>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM accounts WHERE id = $1").bind(id).fetch_optional(&self.pool).await
    }

    pub(super) async fn find_account_of_user(&self, user_id: i64) -> Result<Option<Account>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM accounts WHERE user_id = $1").bind(user_id).fetch_optional(&self.pool).await
    }

    /// The newest accounts first.
    pub(super) async fn list_accounts(&self, listing: &Listing) -> Result<Vec<Account>, sqlx::Error> {
        let query = match &listing.reference {
            Some(reference) => sqlx::query_as("SELECT * FROM accounts WHERE reference = $2 ORDER BY id DESC LIMIT $1")
                .bind(listing.limit())
                .bind(reference.as_str()),
            None => sqlx::query_as("SELECT * FROM accounts ORDER BY id DESC LIMIT $1").bind(listing.limit()),
        };
        query.fetch_all(&self.pool).await
    }

    /// The newest transactions first.
    pub(super) async fn list_transactions(&self, listing: &Listing) -> Result<Vec<Transaction>, sqlx::Error> {
        let query = match &listing.reference {
            Some(reference) => {
                sqlx::query_as("SELECT * FROM balance_transactions WHERE reference = $2 ORDER BY id DESC LIMIT $1")
                    .bind(listing.limit())
                    .bind(reference.as_str())
            }
            None => sqlx::query_as("SELECT * FROM balance_transactions ORDER BY id DESC LIMIT $1").bind(listing.limit()),
        };
        query.fetch_all(&self.pool).await
    }

    /// The newest transactions first, of those on the user's account.
    pub(super) async fn list_transactions_of_user(
        &self,
        user_id: i64,
        listing: &Listing,
    ) -> Result<Vec<Transaction>, sqlx::Error> {
        sqlx::query_as(
            "SELECT * FROM balance_transactions
             WHERE account_id = (SELECT id FROM accounts WHERE user_id = $1) AND ($2 IS NULL OR reference = $2)
             ORDER BY id DESC LIMIT $3",
        )
        .bind(user_id)
        .bind(listing.reference.as_ref().map(Reference::as_str))
        .bind(listing.limit())
        .fetch_all(&self.pool)
        .await
    }
}
