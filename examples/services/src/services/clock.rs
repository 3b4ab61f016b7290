//! What time it is.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const RFC_3339: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Now, as RFC 3339 writes it, in UTC and with milliseconds. Texts of this form sort by time.
pub fn now() -> String {
    written(OffsetDateTime::now_utc())
}

fn written(at: OffsetDateTime) -> String {
    at.format(RFC_3339).expect("every part of it is known")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_time_is_written_with_all_its_digits() {
        for (seconds, text) in [(0, "1970-01-01T00:00:00.000Z"), (1_792_022_400, "2026-10-15T00:00:00.000Z")] {
            assert_eq!(written(OffsetDateTime::from_unix_timestamp(seconds).unwrap()), text);
        }
        assert_eq!(now().len(), "1970-01-01T00:00:00.000Z".len());
    }
}
