//! Short texts that people and programs give: names, addresses, numbers to call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text of 1 to `MAX` characters, in one line and not blank; blanks around it are dropped.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Line<const MAX: usize>(String);

/// A first or a last name.
pub type Name = Line<100>;

impl<const MAX: usize> Line<MAX> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Line<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        match text.chars().count() {
            0 => Err("must not be empty".to_owned()),
            n if n > MAX => Err(format!("must have at most {MAX} characters, not {n}")),
            _ if text.contains(char::is_control) => Err("must be one line without control characters".to_owned()),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl<const MAX: usize> fmt::Display for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address as the HTML standard takes it (section 4.10.5.1.5, "valid email address"): ASCII, at most 254 characters
/// (RFC 5321 section 4.5.3.1.3, less the angle brackets).
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Email(String);

impl Email {
    const MAX_CHARACTERS: usize = 254;

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same for addresses that differ in case only.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    fn is_local_part(text: &str) -> bool {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&c);
        !text.is_empty() && text.bytes().all(allowed)
    }

    fn is_label(text: &str) -> bool {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
    }
}

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > Self::MAX_CHARACTERS {
            return Err(format!("an e-mail address has at most {} characters, not {}", Self::MAX_CHARACTERS, text.len()));
        }
        match text.split_once('@') {
            Some((local, domain)) if Self::is_local_part(local) && domain.split('.').all(Self::is_label) => Ok(Self(text)),
            _ => Err("must be an e-mail address, as in name@example.com".to_owned()),
        }
    }
}

/// A telephone number as ITU-T E.164 writes it: `+` and 7 to 15 digits, of which the first is not 0. Blanks, points, hyphens
/// and brackets, by which people group digits, are dropped.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Phone(String);

impl Phone {
    /// The number: `+` and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Phone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number: String = text.chars().filter(|c| !" .-()".contains(*c)).collect();
        let is_number = number.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0')
        });
        match is_number {
            true => Ok(Self(number)),
            false => Err("must be a telephone number with its country, as in +12025550123: + and 7 to 15 digits".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_is_trimmed_and_neither_empty_nor_long_nor_more_than_one() {
        let line = |text: &str| Line::<5>::try_from(text.to_owned());
        assert_eq!(line("  Ada ").unwrap().as_str(), "Ada");
        assert_eq!(line("Zoë Ł").unwrap().as_str(), "Zoë Ł");
        for (text, reason) in [
            ("", "must not be empty"),
            ("  ", "must not be empty"),
            ("Augusta", "must have at most 5 characters, not 7"),
            ("A\nda", "must be one line without control characters"),
        ] {
            assert_eq!(line(text).unwrap_err(), reason, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_kept_as_given_and_compared_without_case() {
        let email = |text: &str| Email::try_from(text.to_owned());
        let given = email("Ada.Lovelace+shop@Example.COM").unwrap();
        assert_eq!(given.as_str(), "Ada.Lovelace+shop@Example.COM");
        assert_eq!(given.folded(), email("ada.lovelace+SHOP@example.com").unwrap().folded());
        let long = format!("{}@example.com", "a".repeat(243));
        for text in ["", "ada", "@", "ada@", "@example.com", "a da@example.com", "ada@example..com", "ada@-example.com", "a@b@c"]
        {
            assert!(email(text).unwrap_err().contains("name@example.com"), "{text:?}");
        }
        assert!(email("zoë@example.com").is_err());
        assert!(email("ada@example.com\n").is_err());
        assert!(email(&long).unwrap_err().contains("at most 254 characters, not 255"));
        assert!(email(&long[1..]).is_ok());
    }

    #[test]
    fn a_number_is_the_same_however_its_digits_are_grouped() {
        let phone = |text: &str| Phone::try_from(text.to_owned());
        for text in ["+12025550123", "+1 202 555-0123", "+1 (202) 555.0123"] {
            assert_eq!(phone(text).unwrap().as_str(), "+12025550123");
        }
        for text in ["", "+", "12025550123", "+123456", "+1234567890123456", "+02025550123", "+1202555012a", "++12025550123"] {
            assert!(phone(text).unwrap_err().contains("+12025550123"), "{text:?}");
        }
    }
}
