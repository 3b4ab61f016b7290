//! What loading promises.
