//! Promises of the machine.
