//! What an expression may cost.
//!
//! Expressions are an operator's configuration, but their inputs are not. The interpreter has no cost limit of its
//! own and cannot be interrupted, so everything that makes it recurse, loop or copy is bounded here.

/// Longest source, in bytes.
pub const SOURCE_BYTES: usize = 1024;
/// Most operators in a source; `.` counts as one. A chain of some two thousand overflows an ordinary stack.
pub const OPERATORS: usize = 256;
/// Most brackets open at once in a source.
pub const BRACKET_DEPTH: usize = 24;
/// Most `c ? a : b` in a source.
pub const CONDITIONALS: usize = 24;
/// Most `!` or `-` in a row.
pub const PREFIXES: usize = 4;
/// Deepest syntax tree, macros expanded.
pub const TREE_DEPTH: usize = 48;
/// Most macros that loop (`all`, `exists`, `exists_one`, `map`, `filter`) inside each other.
pub const LOOP_DEPTH: usize = 2;
/// Longest list, or largest map, that a loop may go over.
pub const LOOP_ITEMS: usize = 1000;
/// Most items that all loops of one evaluation may go over.
pub const LOOP_ITEMS_IN_ALL: usize = 50_000;
/// Most bytes of JSON that one evaluation converts: the text, and [`VALUE_BYTES`] for each value.
pub const INPUT_BYTES: usize = 256 * 1024;
/// Most bytes that one evaluation reads, concatenates and copies, counted like [`INPUT_BYTES`] at each use.
pub const WORK_BYTES: usize = 16 * 1024 * 1024;
/// Most bytes of a computed result, counted like [`INPUT_BYTES`].
pub const RESULT_BYTES: usize = 1024 * 1024;
/// What one value counts for, its text apart.
pub const VALUE_BYTES: usize = 16;
/// Deepest JSON that is converted.
pub const JSON_DEPTH: usize = 128;
/// The stack of the thread that parses, in bytes.
pub(super) const PARSER_STACK_BYTES: usize = 32 * 1024 * 1024;
