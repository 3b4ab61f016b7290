//! Refrain
