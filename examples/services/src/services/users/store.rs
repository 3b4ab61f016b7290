use sqlx::AnyPool;

use super::model::{Authenticated, Kept, NewUser, Time, User, UserChange};
use super::password::Hash;
use crate::services::clock;
use crate::services::database::{written, written_if_any};
use crate::services::text::{Email, Name, Phone};
use crate::services::values::{Listing, Reference};

/// The users in the database.
#[derive(Clone)]
pub(super) struct Users {
    pool: AnyPool,
}

/// Why a user was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("email: another user has this address")]
    EmailTaken,
    #[error("phone: another user has this number")]
    PhoneTaken,
    #[error(transparent)]
    Database(sqlx::Error),
}

impl Users {
    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool }
    }

    pub(super) async fn add(&self, new: &NewUser, password: Option<&Hash>) -> Result<User, WriteError> {
        let insert = sqlx::query_as(
            "INSERT INTO users (email, email_folded, phone, first_name, last_name, password_hash, reference, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
        )
        .bind(new.email.as_str())
        .bind(new.email.folded())
        .bind(new.phone.as_ref().map(Phone::as_str))
        .bind(new.first_name.as_str())
        .bind(new.last_name.as_str())
        .bind(password.map(Hash::as_str))
        .bind(new.reference.as_ref().map(Reference::as_str))
        .bind(clock::now());
        Ok(written(insert, &self.pool).await?)
    }

    /// The user as it is then; `None`: there is no such user.
    pub(super) async fn change(&self, id: i64, change: &UserChange) -> Result<Option<User>, WriteError> {
        let update = sqlx::query_as(
            "UPDATE users
             SET first_name = COALESCE($2, first_name),
                 last_name = COALESCE($3, last_name),
                 phone = CASE WHEN $4 = 1 THEN $5 ELSE phone END,
                 last_login = CASE WHEN $6 = 1 THEN $7 ELSE last_login END
             WHERE id = $1 RETURNING *",
        )
        .bind(id)
        .bind(change.first_name.as_ref().map(Name::as_str))
        .bind(change.last_name.as_ref().map(Name::as_str))
        .bind(i64::from(change.phone.is_some()))
        .bind(change.phone.as_ref().and_then(Option::as_ref).map(Phone::as_str))
        .bind(i64::from(change.last_login.is_some()))
        .bind(change.last_login.as_ref().and_then(Option::as_ref).map(Time::as_str));
        Ok(written_if_any(update, &self.pool).await?)
    }

    /// Whether there was such a user.
    pub(super) async fn remove(&self, id: i64) -> Result<bool, sqlx::Error> {
        let removed = sqlx::query("DELETE FROM users WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(removed.rows_affected() > 0)
    }

    pub(super) async fn find(&self, id: i64) -> Result<Option<User>, sqlx::Error> {
        sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(id).fetch_optional(&self.pool).await
    }

    /// The newest users first.
    pub(super) async fn list(&self, listing: &Listing) -> Result<Vec<User>, sqlx::Error> {
        let query = match &listing.reference {
            Some(reference) => sqlx::query_as("SELECT * FROM users WHERE reference = $2 ORDER BY id DESC LIMIT $1")
                .bind(listing.limit())
                .bind(reference.as_str()),
            None => sqlx::query_as("SELECT * FROM users ORDER BY id DESC LIMIT $1").bind(listing.limit()),
        };
        query.fetch_all(&self.pool).await
    }

    /// What is kept of the password of the user with this address, whatever its case.
    pub(super) async fn kept(&self, email: &Email) -> Result<Option<Kept>, sqlx::Error> {
        sqlx::query_as("SELECT id, password_hash FROM users WHERE email_folded = $1")
            .bind(email.folded())
            .fetch_optional(&self.pool)
            .await
    }

    /// Writes down that the user has logged in now. `None`: the user is gone meanwhile.
    pub(super) async fn log_in(&self, id: i64) -> Result<Option<Authenticated>, sqlx::Error> {
        let update =
            sqlx::query_as("UPDATE users SET previous_last_login = last_login, last_login = $2 WHERE id = $1 RETURNING *");
        written_if_any(update.bind(id).bind(clock::now()), &self.pool).await
    }
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // Both databases name the column (SQLite) or the constraint that is named by it (PostgreSQL).
            sqlx::Error::Database(error) if error.is_unique_violation() => match error.message().contains("phone") {
                true => Self::PhoneTaken,
                false => Self::EmailTaken,
            },
            error => Self::Database(error),
        }
    }
}
