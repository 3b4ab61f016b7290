//! Passwords: what is kept of one, and whether another is the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task;

/// A password as somebody says it. `Debug` does not show it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A password to be kept: 8 to 128 characters. `Debug` does not show it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NewPassword(Password);

impl NewPassword {
    /// NIST SP 800-63B section 5.1.1.2: at least 8, and no cap below 64.
    const MIN_CHARACTERS: usize = 8;
    const MAX_CHARACTERS: usize = 128;
}

impl TryFrom<String> for NewPassword {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            n if n < Self::MIN_CHARACTERS => Err(format!("a password has at least {} characters", Self::MIN_CHARACTERS)),
            n if n > Self::MAX_CHARACTERS => Err(format!("a password has at most {} characters", Self::MAX_CHARACTERS)),
            _ => Ok(Self(Password(text))),
        }
    }
}

/// What is kept of a password: an Argon2id hash in the PHC string format. `Debug` does not show it.
#[derive(Clone, sqlx::Type)]
#[sqlx(transparent)]
pub(super) struct Hash(String);

impl Hash {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// A password cannot be hashed or compared now.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
    /// Too many others are being hashed: nothing was done.
    #[error("too many passwords are being checked")]
    Busy,
    /// What was kept of a password is no hash, or there is no memory or no chance to hash.
    #[error("cannot hash a password")]
    Hash(#[from] password_hash::Error),
}

/// Whether a password is the one that a hash was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Same,
    Other,
}

/// Hashes passwords with Argon2id, a few at a time, apart from the threads that serve requests.
#[derive(Clone)]
pub(super) struct Hasher {
    turns: Arc<Semaphore>,
    /// What nobody's password is compared with, so that nobody's takes as long as somebody's.
    nobodys: Hash,
}

impl Hasher {
    /// 19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's setting for Argon2id.
    const MEMORY_KIB: u32 = 19 * 1024;
    const PASSES: u32 = 2;
    const LANES: u32 = 1;

    /// Passwords hashed at once, which bounds the memory for it to 76 MiB.
    const AT_ONCE: usize = 4;

    /// How long a password waits for its turn.
    const MAX_WAIT: Duration = Duration::from_secs(5);

    pub(super) async fn new() -> Result<Self, PasswordError> {
        let mut hasher = Self { turns: Arc::new(Semaphore::new(Self::AT_ONCE)), nobodys: Hash(String::new()) };
        hasher.nobodys = hasher.hash(NewPassword(Password("the password of nobody".to_owned()))).await?;
        Ok(hasher)
    }

    pub(super) async fn hash(&self, password: NewPassword) -> Result<Hash, PasswordError> {
        self.in_turn(move || Ok(Hash(argon2()?.hash_password(password.0.0.as_bytes())?.to_string()))).await
    }

    /// Compares the password with what was kept of a user's. Without one (there is no such user, or none with a password) it is
    /// never the same, and finding that out takes as long.
    pub(super) async fn compare(&self, password: Password, kept: Option<Hash>) -> Result<Match, PasswordError> {
        let is_somebodys = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobodys.clone());
        let found = self.in_turn(move || compare(&password, &kept)).await?;
        Ok(if is_somebodys { found } else { Match::Other })
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = tokio::time::timeout(Self::MAX_WAIT, self.turns.clone().acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(PasswordError::Busy);
        };
        // The turn goes with the work: who hangs up while it goes on frees no place.
        let work = task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        match work.await {
            Ok(done) => done,
            // The runtime ends.
            Err(stopped) if stopped.is_cancelled() => Err(PasswordError::Busy),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

fn argon2() -> Result<Argon2<'static>, password_hash::Error> {
    let params = Params::new(Hasher::MEMORY_KIB, Hasher::PASSES, Hasher::LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn compare(password: &Password, kept: &Hash) -> Result<Match, PasswordError> {
    // A hash says itself what it was made with: one made with less, or more, still counts.
    let kept = PasswordHash::new(&kept.0).map_err(password_hash::Error::from)?;
    match argon2()?.verify_password(password.0.as_bytes(), &kept) {
        Ok(()) => Ok(Match::Same),
        Err(password_hash::Error::PasswordInvalid) => Ok(Match::Other),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn password(text: &str) -> Password {
        Password(text.to_owned())
    }

    fn new_password(text: &str) -> NewPassword {
        NewPassword::try_from(text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn only_the_same_password_matches_and_nobody_has_one() {
        let hasher = Hasher::new().await.unwrap();
        let kept = hasher.hash(new_password("correct horse")).await.unwrap();
        assert_eq!(hasher.compare(password("correct horse"), Some(kept.clone())).await.unwrap(), Match::Same);
        assert_eq!(hasher.compare(password("Correct horse"), Some(kept)).await.unwrap(), Match::Other);
        assert_eq!(hasher.compare(password("the password of nobody"), None).await.unwrap(), Match::Other);
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_with_the_parameters_of_owasp_and_a_salt_of_its_own() {
        let hasher = Hasher::new().await.unwrap();
        let [first, second] =
            [hasher.hash(new_password("correct horse")).await, hasher.hash(new_password("correct horse")).await];
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", first.as_str());
        assert_ne!(first.as_str(), second.as_str());
        // Nobody's is of the same making, or it would take another time.
        assert!(hasher.nobodys.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_gets_no_turn_is_told_so_in_time() {
        let hasher = Hasher::new().await.unwrap();
        let _all = hasher.turns.clone().acquire_many_owned(u32::try_from(Hasher::AT_ONCE).unwrap()).await.unwrap();
        let refused = hasher.hash(new_password("correct horse")).await;
        assert!(matches!(refused, Err(PasswordError::Busy)), "{refused:?}");
        // A turn is what nobody's password needs as well: it is hashed like any other.
        let refused = hasher.compare(password("correct horse"), None).await;
        assert!(matches!(refused, Err(PasswordError::Busy)), "{refused:?}");
    }

    #[test]
    fn passwords_and_hashes_are_not_shown_by_debug() {
        assert_eq!(format!("{:?}", password("correct horse")), "Password(…)");
        assert_eq!(format!("{:?}", new_password("correct horse")), "NewPassword(Password(…))");
        assert_eq!(format!("{:?}", Hash("$argon2id$".to_owned())), "Hash(…)");
    }

    #[test]
    fn a_password_is_neither_short_nor_endless_and_its_refusal_does_not_repeat_it() {
        for (text, reason) in [("1234567", "at least 8"), (&*"x".repeat(129), "at most 128")] {
            let refused = NewPassword::try_from(text.to_owned()).unwrap_err();
            assert!(refused.contains(reason) && !refused.contains(text), "{refused}");
        }
        assert!(NewPassword::try_from("пароль-8".to_owned()).is_ok());
    }
}
