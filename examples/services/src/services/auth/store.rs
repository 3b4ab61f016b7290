use jsonwebtoken::jwk::Jwk;
use sqlx::AnyPool;

use super::keys::{KeyError, KeyPair, PrivateKey};
use super::token::Verified;
use crate::services::api::ApiError;
use crate::services::clock;
use crate::services::database::written_if_any;

/// The keys and the blacklist in the database. All times are Unix times in seconds.
#[derive(Clone)]
pub(super) struct Store {
    pool: AnyPool,
}

/// What signs.
#[derive(sqlx::FromRow)]
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) private_key: PrivateKey,
}

pub(super) enum Added {
    Key,
    TooMany,
}

#[derive(sqlx::FromRow)]
struct Public {
    public_key: String,
}

impl Store {
    /// Keys that are published at once: who verifies tokens bounds what it reads.
    pub(super) const MAX_KEYS: i64 = 20;

    /// How long after its expiry a token may still be taken by who verifies it, for clocks differ. Until then its key stays
    /// published, and it stays blacklisted.
    const LEEWAY: i64 = 300;

    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool }
    }

    pub(super) async fn has_key(&self) -> Result<bool, sqlx::Error> {
        let key = sqlx::query("SELECT kid FROM signing_keys LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(key.is_some())
    }

    /// Makes `pair` the key that signs, and removes those whose tokens have all expired.
    pub(super) async fn add_key(&self, pair: &KeyPair, now: i64) -> Result<Added, ApiError> {
        sqlx::query("DELETE FROM signing_keys WHERE tokens_expire_at <= $1 AND id < (SELECT max(id) FROM signing_keys)")
            .bind(now - Self::LEEWAY)
            .execute(&self.pool)
            .await?;
        let added = sqlx::query(
            "INSERT INTO signing_keys (kid, private_key, public_key, created_at)
             SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM signing_keys) < $5",
        )
        .bind(&pair.kid)
        .bind(pair.private.pem())
        .bind(serde_json::to_string(&pair.public).map_err(KeyError::from)?)
        .bind(clock::now())
        .bind(Self::MAX_KEYS)
        .execute(&self.pool)
        .await?;
        Ok(if added.rows_affected() == 0 { Added::TooMany } else { Added::Key })
    }

    /// The key to sign a token with that expires then. From here on the key is published until that time, whatever keys come
    /// meanwhile. `None`: it was replaced this moment.
    pub(super) async fn signing_key(&self, token_expires_at: i64) -> Result<Option<SigningKey>, sqlx::Error> {
        let key = sqlx::query_as(
            "UPDATE signing_keys
             SET tokens_expire_at = CASE WHEN tokens_expire_at < $1 THEN $1 ELSE tokens_expire_at END
             WHERE id = (SELECT max(id) FROM signing_keys)
             RETURNING kid, private_key",
        );
        written_if_any(key.bind(token_expires_at), &self.pool).await
    }

    /// The keys by which a token can be known as good: the newest first.
    pub(super) async fn public_keys(&self, now: i64) -> Result<Vec<Jwk>, ApiError> {
        let keys: Vec<Public> = sqlx::query_as(
            "SELECT public_key FROM signing_keys
             WHERE tokens_expire_at > $1 OR id = (SELECT max(id) FROM signing_keys)
             ORDER BY id DESC LIMIT $2",
        )
        .bind(now - Self::LEEWAY)
        .bind(Self::MAX_KEYS)
        .fetch_all(&self.pool)
        .await?;
        keys.iter().map(Public::jwk).collect()
    }

    pub(super) async fn public_key(&self, kid: &str) -> Result<Option<Jwk>, ApiError> {
        let key: Option<Public> =
            sqlx::query_as("SELECT public_key FROM signing_keys WHERE kid = $1").bind(kid).fetch_optional(&self.pool).await?;
        key.as_ref().map(Public::jwk).transpose()
    }

    /// Blacklists the token, and forgets those that nobody takes any more.
    pub(super) async fn blacklist(&self, token: &Verified, now: i64) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM blacklist WHERE expires_at <= $1").bind(now - Self::LEEWAY).execute(&self.pool).await?;
        sqlx::query("INSERT INTO blacklist (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING")
            .bind(&token.jti)
            .bind(token.exp)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// When the blacklisted token `jti` expires; `None`: there is no such token.
    pub(super) async fn blacklisted(&self, jti: &str) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT expires_at FROM blacklist WHERE jti = $1").bind(jti).fetch_optional(&self.pool).await
    }
}

impl Public {
    fn jwk(&self) -> Result<Jwk, ApiError> {
        Ok(serde_json::from_str(&self.public_key).map_err(KeyError::from)?)
    }
}
