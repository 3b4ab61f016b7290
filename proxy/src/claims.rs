//! Who the caller is: the claims of a verified token, as expressions see them (`claims`).
//!
//! They travel as an extension of the request that they came with. Only what verifies tokens makes them.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use http::{HeaderName, Request};
use serde_json::{Map, Value};

/// What `claims` is where no token was verified: nothing is in it.
static NONE: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));

/// The claims of a verified token (RFC 7519, section 4). `Debug` hides them: they are personal data.
#[derive(Clone)]
pub struct Claims(Arc<Value>);

impl Claims {
    /// The claims of a token that has been verified.
    pub fn new(claims: Map<String, Value>) -> Self {
        Self(Arc::new(Value::Object(claims)))
    }

    /// The value of `claims` for this request: an object, empty where no token was verified.
    pub fn of<B>(request: &Request<B>) -> &Value {
        request.extensions().get::<Self>().map_or(&NONE, |claims| &claims.0)
    }

    /// The value of `claims`: an object.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// The header that tells the service who the caller is, as an extension of a request that carries it: whoever asks the service something
/// on the caller's behalf passes it on.
#[derive(Clone, Debug)]
pub struct CallersHeader(pub HeaderName);

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(claims)")
    }
}
