//! The real engine does what the table says, fault by fault.
