//! Names that a configuration gives: each a type of its own, built through one checked door.
//!
//! ```
//! use saga_config::names::{StepId, UpstreamName};
//!
//! let step: StepId = "create_order".parse().unwrap();
//! assert_eq!(step.as_ref(), "create_order");
//! let error = "Billing".parse::<UpstreamName>().unwrap_err();
//! assert_eq!(error.to_string(), "`Billing` is not an upstream's name: `B` is not a lowercase letter");
//! ```

mod path;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use path::{PATH_DEPTH, StepPath, StepPathError};

/// Longest name, in bytes; names are ASCII.
pub const MAX_LENGTH: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not {what}: {reason}")]
pub struct NameError {
    name: String,
    what: &'static str,
    reason: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:ident, $pattern:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Box<str>);

        impl $type {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                match $check(&name) {
                    Ok(()) => Ok(Self(name.into_boxed_str())),
                    // A long text is shown in part: messages have a bound too.
                    Err(reason) => Err(NameError { name: name.chars().take(MAX_LENGTH).collect(), what: $what, reason }),
                }
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::try_from(name.to_owned())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "maxLength": MAX_LENGTH})
            }
        }
    };
}

const NAME_PATTERN: &str = "^[a-z][a-z0-9]*([_-][a-z0-9]+)*$";
const VARIABLE_PATTERN: &str = "^[a-z_][a-z0-9_]*$";

name! {
    /// An upstream, as in `upstreams: {billing: …}` and `call: billing GET /`.
    ///
    /// 1 to 64 lowercase letters and digits, a letter first, in words joined by single `_` or `-`.
    UpstreamName, "an upstream's name", check_words, NAME_PATTERN
}

name! {
    /// A saga, as in `saga: create-order`; it is part of addresses and of saga ids.
    ///
    /// 1 to 64 lowercase letters and digits, a letter first, in words joined by single `_` or `-`.
    SagaName, "a saga's name", check_words, NAME_PATTERN
}

name! {
    /// A step, as in `id: create_order`; expressions read its outputs as `steps.create_order.…`.
    ///
    /// 1 to 64 lowercase letters and digits, a letter first, in words joined by single `_` or `-`. With a `-`,
    /// expressions have to write `steps['create-order']`.
    StepId, "a step's id", check_words, NAME_PATTERN
}

name! {
    /// A secret, as in `secrets: {visa_token: …}` and `secret('visa_token')`.
    ///
    /// 1 to 64 lowercase letters and digits, a letter first, in words joined by single `_` or `-`.
    SecretName, "a secret's name", check_words, NAME_PATTERN
}

name! {
    /// A name that the configuration binds for expressions, as `foreach: {as: item}` does.
    ///
    /// 1 to 64 lowercase letters, digits and `_`, no digit first, and no word that expressions reserve.
    VariableName, "a variable's name", check_variable, VARIABLE_PATTERN
}

/// Words that the expression language keeps, and its types.
const RESERVED: [&str; 33] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "optional_type",
    "optional",
];

fn check_words(name: &str) -> Result<(), String> {
    check_length(name)?;
    let mut previous = None;
    for c in name.chars() {
        match (previous, c) {
            (_, 'a'..='z') => {}
            (Some(_), '0'..='9') => {}
            (Some(before), '_' | '-') if !matches!(before, '_' | '-') => {}
            (None, '0'..='9' | '_' | '-') => {
                return Err(format!("it begins with `{c}`, not with a letter"));
            }
            (Some(before), '_' | '-') => {
                return Err(format!("`{before}{c}` has to be one `_` or one `-`"));
            }
            (_, 'A'..='Z') => return Err(format!("`{c}` is not a lowercase letter")),
            _ => {
                return Err(format!("`{}` is not a lowercase letter, a digit, `_` or `-`", c.escape_debug()));
            }
        }
        previous = Some(c);
    }
    match previous {
        Some(last @ ('_' | '-')) => Err(format!("it ends with `{last}`")),
        _ => Ok(()),
    }
}

fn check_variable(name: &str) -> Result<(), String> {
    check_length(name)?;
    if RESERVED.contains(&name) {
        return Err("expressions reserve this word".to_owned());
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it begins with a digit".to_owned());
    }
    match name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_')) {
        Some(c) => Err(format!("`{}` is not a lowercase letter, a digit or `_`", c.escape_debug())),
        None => Ok(()),
    }
}

fn check_length(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("it is empty".to_owned()),
        length if length > MAX_LENGTH => Err(format!("it is {length} bytes long; the limit is {MAX_LENGTH}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_one_word_and_of_joined_words_are_names() {
        for name in ["a", "orders", "create-order", "create_order2", "v2-a_b", &"a".repeat(MAX_LENGTH)] {
            assert_eq!(name.parse::<StepId>().unwrap().to_string(), name);
            assert!(name.parse::<SagaName>().is_ok() && name.parse::<UpstreamName>().is_ok());
        }
    }

    #[test]
    fn what_is_not_a_name_says_why() {
        let long = "a".repeat(65);
        for (name, reason) in [
            ("", "it is empty"),
            (long.as_str(), "it is 65 bytes long; the limit is 64"),
            ("2fast", "it begins with `2`, not with a letter"),
            ("-a", "it begins with `-`, not with a letter"),
            ("a-", "it ends with `-`"),
            ("a--b", "`--` has to be one `_` or one `-`"),
            ("a_-b", "`_-` has to be one `_` or one `-`"),
            ("createOrder", "`O` is not a lowercase letter"),
            ("a b", "` ` is not a lowercase letter, a digit, `_` or `-`"),
            ("a\n", "`\\n` is not a lowercase letter, a digit, `_` or `-`"),
            ("größe", "`ö` is not a lowercase letter, a digit, `_` or `-`"),
        ] {
            assert_eq!(name.parse::<StepId>().unwrap_err().reason, reason, "{name:?}");
        }
    }

    #[test]
    fn a_variable_is_a_name_that_expressions_can_use() {
        assert_eq!("line_item2".parse::<VariableName>().unwrap().as_str(), "line_item2");
        for name in ["in", "int", "optional", "a-b", "2a", "", "aB"] {
            assert!(name.parse::<VariableName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn deserializing_goes_through_the_same_door() {
        assert_eq!(serde_json::from_str::<SagaName>("\"create-order\"").unwrap().as_str(), "create-order");
        let error = serde_json::from_str::<SagaName>("\"Create\"").unwrap_err();
        assert!(error.to_string().contains("`C` is not a lowercase letter"), "{error}");
    }

    proptest! {
        #[test]
        fn the_door_and_the_published_patterns_agree(name in "[a-c2_-]{0,8}") {
            let words = regex::Regex::new(NAME_PATTERN).unwrap();
            let variable = regex::Regex::new(VARIABLE_PATTERN).unwrap();
            prop_assert_eq!(name.parse::<StepId>().is_ok(), words.is_match(&name));
            prop_assert_eq!(name.parse::<VariableName>().is_ok(), variable.is_match(&name));
        }

        #[test]
        fn any_text_is_a_name_or_an_error(name in ".*") {
            let _ = name.parse::<StepId>();
            let _ = name.parse::<VariableName>();
        }
    }
}
