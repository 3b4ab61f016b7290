//! Text with a grammar of its own, by the name of its JSON Schema `format`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::units::{ByteCount, DURATION_FORMAT, DurationText, SIZE_FORMAT};

/// A grammar of text values.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// The value of `format` in the schema.
    pub name: &'static str,
    /// What to write, as a noun with an example: "a duration such as 30s".
    pub expected: &'static str,
    /// Says why a text does not fit, in a sentence that needs no context.
    pub parse: fn(&str) -> Result<(), String>,
}

/// The formats of this crate, and those of addresses.
pub const STANDARD_FORMATS: &[Format] = &[
    Format { name: DURATION_FORMAT, expected: "a duration such as 30s", parse: parse_as::<DurationText> },
    Format { name: SIZE_FORMAT, expected: "a size such as 64KiB", parse: parse_as::<ByteCount> },
    Format { name: "ip", expected: "an IP address such as 10.0.0.1 or ::1", parse: parse_as::<IpAddr> },
    Format { name: "ipv4", expected: "an IPv4 address such as 10.0.0.1", parse: parse_as::<Ipv4Addr> },
    Format { name: "ipv6", expected: "an IPv6 address such as ::1", parse: parse_as::<Ipv6Addr> },
];

/// Checks text with the `FromStr` of a type: what goes into [`Format::parse`].
///
/// # Errors
///
/// The type's own error, as text.
pub fn parse_as<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    match text.parse::<T>() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
