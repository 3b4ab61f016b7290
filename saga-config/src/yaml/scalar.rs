//! What a plain (unquoted) scalar means: YAML 1.2.2 section 10.3, the core schema, with the numbers of JSON.

use serde_json::Number;

use super::Data;

/// More digits than any number that a service could mean.
const MAX_NUMBER_BYTES: usize = 128;

/// The value of a plain scalar, or how a number would have to be written.
pub(super) fn resolve(text: &str) -> Result<Data, NumberForm> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => match number(text)? {
            Some(number) => Data::Number(number),
            None => Data::String(text.to_owned()),
        },
    })
}

/// Numbers of YAML that JSON cannot write, or that people read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberForm {
    /// `.inf` and `.nan`.
    NotFinite,
    /// `0x1F` and `0o17`.
    Radix,
    /// `007`: seven in YAML 1.2, octal in 1.1, and mostly meant as text.
    LeadingZero,
    /// `+1`.
    PlusSign,
    /// `.5` and `5.`.
    BarePoint,
    /// Over [`MAX_NUMBER_BYTES`].
    TooLong,
}

impl NumberForm {
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::NotFinite => "infinity and not-a-number are no values here",
            Self::Radix => "numbers are written in decimal",
            Self::LeadingZero => "a number does not begin with a zero",
            Self::PlusSign => "a number carries no plus sign",
            Self::BarePoint => "a number has digits on both sides of its point",
            Self::TooLong => "a number has at most 128 digits",
        }
    }
}

fn number(text: &str) -> Result<Option<Number>, NumberForm> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(NumberForm::NotFinite);
    }
    let radix = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    if radix("0x", 16) || radix("0o", 8) {
        return Err(NumberForm::Radix);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    let some_digit = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
    if !(some_digit && digits(whole) && fraction.is_none_or(digits) && exponent_is_fine) {
        return Ok(None);
    }
    if text.starts_with('+') {
        return Err(NumberForm::PlusSign);
    }
    if whole.is_empty() || fraction.is_some_and(str::is_empty) {
        return Err(NumberForm::BarePoint);
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err(NumberForm::LeadingZero);
    }
    if text.len() > MAX_NUMBER_BYTES {
        return Err(NumberForm::TooLong);
    }
    // What is left is the grammar of RFC 8259 section 6.
    text.parse().map(Some).map_err(|_| NumberForm::TooLong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_true_and_false_are_booleans() {
        assert_eq!(resolve("true"), Ok(Data::Bool(true)));
        assert_eq!(resolve("FALSE"), Ok(Data::Bool(false)));
        for text in ["yes", "no", "on", "off", "y", "n", "tRue"] {
            assert_eq!(resolve(text), Ok(Data::String(text.to_owned())));
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        for text in ["0", "-0", "1.10", "1e+5", "-2.5e-3", "12345678901234567890123", "1.0000000000000000001"] {
            let Ok(Data::Number(number)) = resolve(text) else {
                panic!("{text} is a number");
            };
            assert_eq!(number.to_string(), text);
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in ["1.2.3", "1_000", "12:30", "-", ".", "1e", "e5", "0xg", "--1", "1 2", "30s", "+", "0x", "1e+"] {
            assert_eq!(resolve(text), Ok(Data::String(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn numbers_that_read_two_ways_are_refused() {
        let form = |text: &str| resolve(text).unwrap_err();
        assert_eq!(form("007"), NumberForm::LeadingZero);
        assert_eq!(form("-01.5"), NumberForm::LeadingZero);
        assert_eq!(form("+1"), NumberForm::PlusSign);
        assert_eq!(form(".5"), NumberForm::BarePoint);
        assert_eq!(form("5."), NumberForm::BarePoint);
        assert_eq!(form("0x1F"), NumberForm::Radix);
        assert_eq!(form("0o17"), NumberForm::Radix);
        assert_eq!(form("-.inf"), NumberForm::NotFinite);
        assert_eq!(form(".nan"), NumberForm::NotFinite);
        assert_eq!(form(&"1".repeat(200)), NumberForm::TooLong);
    }
}
