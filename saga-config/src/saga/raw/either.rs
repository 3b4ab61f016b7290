//! Values that are one of two things. Derived, they would lose the digits of numbers on the way.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use super::{Compensate, NotAtAll, Status, Undo};

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
        match (number, value) {
            (Some(number), _) => Ok(Self::Number(number)),
            (None, Value::String(text)) => Ok(Self::Text(text)),
            _ => Err(de::Error::custom("a status is a number from 200 to 599 or one `${…}`")),
        }
    }
}

impl<'de> Deserialize<'de> for Compensate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CompensateVisitor)
    }
}

struct CompensateVisitor;

impl<'de> Visitor<'de> for CompensateVisitor {
    type Value = Compensate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`none` or a call")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Compensate, E> {
        NotAtAll::deserialize(text.into_deserializer()).map(Compensate::None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Compensate, A::Error> {
        Undo::deserialize(MapAccessDeserializer::new(map)).map(|undo| Compensate::Call(Box::new(undo)))
    }
}
