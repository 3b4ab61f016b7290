//! A step as a saga's journal names it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{NameError, StepId};

/// The most ids of a path: how deep sub-sagas stand in each other, and one.
pub const PATH_DEPTH: usize = 5;

/// A step as a saga's journal, its keys and its operators name it.
///
/// | path | what it is |
/// |---|---|
/// | `create_order` | a step of the saga itself |
/// | `mail.3` | a step of a loop, for the item at place 3, the first is at 0 |
/// | `stay/reserve` | a step of the sub-saga that the step `stay` runs |
/// | `stay/reserve.3` | the same, in a loop |
/// | `stay/(input)` | the beginning of the sub-saga: its inputs |
///
/// In a definition a path has no place: there a step of a loop stands for all of its items.
///
/// ```
/// use saga_config::names::StepPath;
///
/// let path: StepPath = "stay/reserve.3".parse().unwrap();
/// assert_eq!((path.name(), path.place()), ("stay/reserve", Some(3)));
/// assert_eq!(path.without_place().to_string(), "stay/reserve");
/// assert!("reserve.03".parse::<StepPath>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepPath {
    /// The whole path.
    text: Arc<str>,
    /// How much of it is the name, in bytes.
    name: usize,
    place: Option<u32>,
}

/// The last part of the path of a sub-saga's beginning: no id is spelled so.
const INPUT: &str = "(input)";

/// Why a text is not a step's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepPathError {
    /// A part of it is not an id.
    #[error(transparent)]
    Id(#[from] NameError),
    /// It has more than [`PATH_DEPTH`] ids.
    #[error("a step's path has at most {PATH_DEPTH} ids")]
    Depth,
    /// What comes after `.` is not a place in a list.
    #[error("what comes after `.` is the place of an item, such as 0 or 12")]
    Place,
}

impl StepPath {
    /// The step `id` of the sub-saga at `self`.
    #[must_use]
    pub fn child(&self, id: &StepId) -> Self {
        Self::named(&format!("{}/{id}", self.name()))
    }

    /// The beginning of the sub-saga at `self`.
    #[must_use]
    pub fn input(&self) -> Self {
        Self::named(&format!("{}/{INPUT}", self.name()))
    }

    /// The step at `self` of the sub-saga at `outer`. Without a place.
    #[must_use]
    pub fn below(&self, outer: &Self) -> Self {
        Self::named(&format!("{}/{}", outer.name(), self.name()))
    }

    /// The same step for the item at `place`.
    #[must_use]
    pub fn at(&self, place: u32) -> Self {
        Self { text: format!("{}.{place}", self.name()).into(), name: self.name, place: Some(place) }
    }

    /// The step in its definition.
    #[must_use]
    pub fn without_place(&self) -> Self {
        Self::named(self.name())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path without its place: how the definition names the step.
    pub fn name(&self) -> &str {
        &self.text[..self.name]
    }

    /// For which item of its loop's list, if it is in a loop. The first is 0.
    pub const fn place(&self) -> Option<u32> {
        self.place
    }

    /// The step's own id: the last part of [`StepPath::name`]. `(input)` at a sub-saga's beginning.
    pub fn id(&self) -> &str {
        self.name().rsplit('/').next().unwrap_or(self.name())
    }

    fn named(name: &str) -> Self {
        Self { text: name.into(), name: name.len(), place: None }
    }
}

impl From<StepId> for StepPath {
    fn from(id: StepId) -> Self {
        Self::named(id.as_str())
    }
}

impl FromStr for StepPath {
    type Err = StepPathError;

    fn from_str(text: &str) -> Result<Self, StepPathError> {
        let (name, place) = match text.split_once('.') {
            None => (text, None),
            Some((name, place)) => {
                let is_plain = place.bytes().all(|byte| byte.is_ascii_digit()) && (place == "0" || !place.starts_with('0'));
                let place = is_plain.then(|| place.parse().ok()).flatten().ok_or(StepPathError::Place)?;
                (name, Some(place))
            }
        };
        let ids: Vec<&str> = name.split('/').take(PATH_DEPTH + 1).collect();
        for (nth, id) in ids.iter().enumerate() {
            if *id != INPUT || nth == 0 || nth + 1 != ids.len() {
                id.parse::<StepId>()?;
            }
        }
        match ids.len() > PATH_DEPTH {
            true => Err(StepPathError::Depth),
            false => Ok(Self { text: text.into(), name: name.len(), place }),
        }
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for StepPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for StepPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["pay", "mail.0", "mail.12", "stay/reserve", "stay/room/reserve.4", "stay/(input)", "stay/(input).7"] {
            assert_eq!(text.parse::<StepPath>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ".",
            "pay.",
            "pay.-1",
            "pay.+1",
            "pay.01",
            "pay.1.2",
            "/pay",
            "pay/",
            "a//b",
            "(input)",
            "(input)/pay",
            "Pay",
            "pay.4294967296",
        ] {
            assert!(text.parse::<StepPath>().is_err(), "{text}");
        }
        assert_eq!("a/b/c/d/e/f".parse::<StepPath>(), Err(StepPathError::Depth));
    }

    #[test]
    fn a_path_is_built_from_its_parts() {
        let stay = StepPath::from("stay".parse::<StepId>().unwrap());
        let reserve = stay.child(&"reserve".parse().unwrap());
        assert_eq!(reserve.to_string(), "stay/reserve");
        assert_eq!((reserve.id(), stay.input().id()), ("reserve", "(input)"));
        assert_eq!(stay.input().at(2).to_string(), "stay/(input).2");
        assert_eq!(stay.at(2).without_place(), stay);
        assert_eq!(reserve.at(1).below(&StepPath::from("trip".parse::<StepId>().unwrap())).to_string(), "trip/stay/reserve");
    }
}
