//! From source to something that evaluates cheaply.
//!
//! The parser recurses with the source, so that it runs on a thread with a stack of its own size. What it gives is
//! bounded here, and checked and rewritten in [`rewrite`](super::rewrite).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr};

use super::builtins::{self, GIVE, METER};
use super::check::{self, Clash};
use super::reference::{Reading, Reference};
use super::rewrite::{Rewriter, call, ident, slot_index};
use super::scan::refuse_oversized;
use super::scope::Names;
use super::secret::{self, Secrets};
use super::types::Type;
use super::{ExprError, limits};

/// A checked and rewritten expression.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) plan: Plan,
    pub(super) references: Vec<Reference>,
    pub(super) patterns: Vec<builtins::Pattern>,
    pub(super) helpers: BTreeSet<String>,
    /// What is known of the value.
    pub(super) gives: Type,
    pub(super) clashes: Vec<Clash>,
    pub(super) secrets: Secrets,
}

/// How to evaluate.
#[derive(Debug)]
pub(super) enum Plan {
    /// The whole expression is one path, the only reference: its JSON is the answer, untouched.
    Path,
    /// Anything else goes to the interpreter.
    Tree(IdedExpr),
}

/// Compiles `source` on a thread with a large stack.
pub(super) fn compile(source: &str, names: &Names) -> Result<Compiled, ExprError> {
    refuse_oversized(source)?;
    if source.trim().is_empty() {
        return Err(ExprError::new("the expression is empty"));
    }
    on_a_large_stack(|| compile_on_this_stack(source, names))
        .unwrap_or_else(|error| Err(ExprError::new(format!("no thread to parse the expression on: {error}"))))
}

thread_local! {
    static HAS_A_LARGE_STACK: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` where expressions can be parsed: on a thread with a large stack, which is made unless this is one. Whoever compiles many
/// saves most of the time by doing all of it within one such call.
///
/// # Errors
///
/// Why there is no such thread.
pub(crate) fn on_a_large_stack<R: Send>(work: impl FnOnce() -> R + Send) -> io::Result<R> {
    if HAS_A_LARGE_STACK.get() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("expression parser".to_owned()).stack_size(limits::PARSER_STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || {
            HAS_A_LARGE_STACK.set(true);
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn compile_on_this_stack(source: &str, names: &Names) -> Result<Compiled, ExprError> {
    let parser = builtins::environment().parser().enable_ident_escape_syntax(true);
    // The parser is generated code over any text an operator types; a panic in it is an unreadable expression.
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse_with_source_info(source)))
        .map_err(|_| ExprError::new("the parser gave up on this expression"))?;
    let (mut tree, info) = parsed.map_err(|errors| syntax_error(source, &errors))?;
    let depth = depth(&tree);
    if depth > limits::TREE_DEPTH {
        return Err(ExprError::new(format!("the expression nests {depth} operations; the limit is {}", limits::TREE_DEPTH))
            .help("compute the value in the service, or in steps"));
    }
    let (gives, clashes) = check::check(&tree, source, names, &info);
    let secrets = secret::find(&tree, source, names, &info)?;
    let mut rewriter = Rewriter::new(source, names, info);
    rewriter.rewrite(&mut tree)?;
    let is_path =
        matches!(&tree.expr, Expr::Ident(name) if slot_index(name).is_some()) && rewriter.references[0].reading == Reading::Value;
    Ok(Compiled {
        plan: if is_path { Plan::Path } else { Plan::Tree(call(0, GIVE, vec![tree, ident(METER)])) },
        references: rewriter.references,
        patterns: rewriter.patterns,
        helpers: rewriter.helpers,
        gives,
        clashes,
        secrets,
    })
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> ExprError {
    let Some(error) = errors.errors.first() else {
        return ExprError::new("the expression cannot be read");
    };
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let offending = ["input '", "error at: '"].iter().find_map(|before| {
        let (_, rest) = message.split_once(before)?;
        Some(rest.rsplit_once("' expecting").map_or(rest.trim_end_matches('\''), |(token, _)| token))
    });
    let message = match offending {
        Some("<EOF>") => "the expression ends too early".to_owned(),
        Some(token) => format!("`{token}` is unexpected here"),
        None => message.to_owned(),
    };
    let (line, column) = error.pos;
    let line_start: usize = source.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(str::len).sum();
    let rest = &source[line_start..];
    let column = usize::try_from(column - 1).unwrap_or(0);
    let in_line = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    ExprError::new(message).at(line_start + in_line)
}

fn depth(expr: &IdedExpr) -> usize {
    let mut deepest = 0;
    each_child(expr, &mut |child| deepest = deepest.max(depth(child)));
    deepest + 1
}

/// Shows what stands directly in `expr`.
pub(super) fn each_child(expr: &IdedExpr, visit: &mut dyn FnMut(&IdedExpr)) {
    match &expr.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(visit),
        Expr::Comprehension(comprehension) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } = &**comprehension;
            [iter_range, accu_init, loop_cond, loop_step, result].into_iter().for_each(visit);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Select(select) => visit(&select.operand),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].into_iter().for_each(&mut *visit),
            EntryExpr::StructField(field) => visit(&field.value),
        }),
        Expr::Struct(message) => message.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].into_iter().for_each(&mut *visit),
            EntryExpr::StructField(field) => visit(&field.value),
        }),
    }
}
