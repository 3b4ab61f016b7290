//! From source to something that evaluates cheaply.
//!
//! The parser recurses with the source, so that it runs on a thread with a stack of its own size. What it gives is
//! checked, and rewritten:
//!
//! - A path such as `request.body.items[0].?sku` becomes one name, `@3`, which the evaluation resolves in the JSON
//!   itself. Nothing around the path is converted.
//! - What a loop goes over becomes `@items(range, @meter)`, which bounds it and gives the keys of a map in order.
//! - `+` inside a loop becomes `@add(a, b, @meter)`, and `matches` gets its pattern compiled: `@matches(text, @r0)`.
//!
//! No source can contain a name that begins with `@`.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::thread;

use cel::IdedExpr;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators,
};
use regex::{Regex, RegexBuilder};

use super::builtins::{self, ADD_CHECKED, ITEMS, MATCHES, METER};
use super::reference::{Key, Reading, Reference, Segment};
use super::scan::refuse_oversized;
use super::scope::{Names, suggest};
use super::{ExprError, limits};

/// A checked and rewritten expression.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) plan: Plan,
    pub(super) references: Vec<Reference>,
    pub(super) patterns: Vec<builtins::Pattern>,
    pub(super) helpers: BTreeSet<String>,
}

/// How to evaluate.
#[derive(Debug)]
pub(super) enum Plan {
    /// The whole expression is one path, the only reference: its JSON is the answer, untouched.
    Path,
    /// Anything else goes to the interpreter.
    Tree(IdedExpr),
}

const METHODS: [(&str, usize); 8] = [
    ("contains", 1),
    ("startsWith", 1),
    ("endsWith", 1),
    ("size", 0),
    ("hasValue", 0),
    ("value", 0),
    ("or", 1),
    ("orValue", 1),
];
const FUNCTIONS: [(&str, usize); 10] = [
    ("size", 1),
    ("string", 1),
    ("int", 1),
    ("uint", 1),
    ("double", 1),
    ("bytes", 1),
    ("bool", 1),
    ("type", 1),
    ("dyn", 1),
    (builtins::JSON, 1),
];
const OPTIONAL: [(&str, usize); 3] = [("of", 1), ("none", 0), ("ofNonZeroValue", 1)];
const MACROS: [&str; 9] = [
    "has",
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "optMap",
    "optFlatMap",
];
const TYPES: [&str; 11] = [
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
];
const OPERATORS: [&str; 21] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];

/// Compiles `source` on a thread with a large stack.
pub(super) fn compile(source: &str, names: &Names) -> Result<Compiled, ExprError> {
    refuse_oversized(source)?;
    if source.trim().is_empty() {
        return Err(ExprError::new("the expression is empty"));
    }
    thread::scope(|scope| {
        let parser = thread::Builder::new()
            .name("expression parser".to_owned())
            .stack_size(limits::PARSER_STACK_BYTES)
            .spawn_scoped(scope, || compile_on_this_stack(source, names))
            .map_err(|error| {
                ExprError::new(format!("no thread to parse the expression on: {error}"))
            })?;
        parser.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn compile_on_this_stack(source: &str, names: &Names) -> Result<Compiled, ExprError> {
    let parser = builtins::environment()
        .parser()
        .enable_ident_escape_syntax(true);
    // The parser is generated code over any text an operator types; a panic in it is an unreadable expression.
    let parsed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        parser.parse_with_source_info(source)
    }))
    .map_err(|_| ExprError::new("the parser gave up on this expression"))?;
    let (mut tree, info) = parsed.map_err(|errors| syntax_error(source, &errors))?;
    let depth = depth(&tree);
    if depth > limits::TREE_DEPTH {
        return Err(ExprError::new(format!(
            "the expression nests {depth} operations; the limit is {}",
            limits::TREE_DEPTH
        ))
        .help("compute the value in the service, or in steps"));
    }
    let mut rewriter = Rewriter {
        source,
        names,
        info,
        scope: Vec::new(),
        loops: 0,
        references: Vec::new(),
        patterns: Vec::new(),
        helpers: BTreeSet::new(),
    };
    rewriter.rewrite(&mut tree)?;
    let is_path = matches!(&tree.expr, Expr::Ident(name) if slot_index(name).is_some())
        && rewriter.references[0].reading == Reading::Value;
    Ok(Compiled {
        plan: if is_path {
            Plan::Path
        } else {
            Plan::Tree(tree)
        },
        references: rewriter.references,
        patterns: rewriter.patterns,
        helpers: rewriter.helpers,
    })
}

/// The reference that a rewritten name stands for.
pub(super) fn slot_index(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

/// The pattern that a rewritten name stands for.
pub(super) fn pattern_index(name: &str) -> Option<usize> {
    name.strip_prefix("@r")?.parse().ok()
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> ExprError {
    let Some(error) = errors.errors.first() else {
        return ExprError::new("the expression cannot be read");
    };
    let message = error
        .msg
        .strip_prefix("Syntax error: ")
        .unwrap_or(&error.msg);
    let offending = ["input '", "error at: '"].iter().find_map(|before| {
        let (_, rest) = message.split_once(before)?;
        Some(
            rest.rsplit_once("' expecting")
                .map_or(rest.trim_end_matches('\''), |(token, _)| token),
        )
    });
    let message = match offending {
        Some("<EOF>") => "the expression ends too early".to_owned(),
        Some(token) => format!("`{token}` is unexpected here"),
        None => message.to_owned(),
    };
    let (line, column) = error.pos;
    let line_start: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let rest = &source[line_start..];
    let column = usize::try_from(column - 1).unwrap_or(0);
    let in_line = rest
        .char_indices()
        .nth(column)
        .map_or(rest.len(), |(at, _)| at);
    ExprError::new(message).at(line_start + in_line)
}

fn depth(expr: &IdedExpr) -> usize {
    let mut deepest = 0;
    each_child(expr, &mut |child| deepest = deepest.max(depth(child)));
    deepest + 1
}

fn each_child(expr: &IdedExpr, visit: &mut dyn FnMut(&IdedExpr)) {
    match &expr.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .for_each(visit),
        Expr::Comprehension(comprehension) => {
            let ComprehensionExpr {
                iter_range,
                accu_init,
                loop_cond,
                loop_step,
                result,
                ..
            } = &**comprehension;
            [iter_range, accu_init, loop_cond, loop_step, result]
                .into_iter()
                .for_each(visit);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Select(select) => visit(&select.operand),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                [&entry.key, &entry.value].into_iter().for_each(&mut *visit)
            }
            EntryExpr::StructField(field) => visit(&field.value),
        }),
        Expr::Struct(message) => message.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                [&entry.key, &entry.value].into_iter().for_each(&mut *visit)
            }
            EntryExpr::StructField(field) => visit(&field.value),
        }),
    }
}

struct Rewriter<'n> {
    source: &'n str,
    names: &'n Names,
    info: SourceInfo,
    /// Names that loops bind around the current node.
    scope: Vec<String>,
    loops: usize,
    references: Vec<Reference>,
    patterns: Vec<builtins::Pattern>,
    helpers: BTreeSet<String>,
}

impl Rewriter<'_> {
    fn rewrite(&mut self, expr: &mut IdedExpr) -> Result<(), ExprError> {
        if let Some((root, segments)) = self.path(expr) {
            let optional = segments.iter().any(|segment| segment.optional);
            let reading = if optional {
                Reading::Optional
            } else {
                Reading::Value
            };
            expr.expr = self.slot(expr.id, root, segments, reading);
            return Ok(());
        }
        let id = expr.id;
        match &mut expr.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.ident(id, name),
            Expr::Select(select) if select.test => {
                if let Some((root, mut segments)) = self.path(&select.operand) {
                    segments.push(field(&select.field, false));
                    expr.expr = self.slot(id, root, segments, Reading::Presence);
                    return Ok(());
                }
                self.rewrite(&mut select.operand)
            }
            Expr::Select(select) => self.rewrite(&mut select.operand),
            Expr::List(list) => list
                .elements
                .iter_mut()
                .try_for_each(|element| self.rewrite(element)),
            Expr::Map(map) => map
                .entries
                .iter_mut()
                .try_for_each(|entry| match &mut entry.expr {
                    EntryExpr::MapEntry(entry) => {
                        self.rewrite(&mut entry.key)?;
                        self.rewrite(&mut entry.value)
                    }
                    EntryExpr::StructField(_) => {
                        Err(self.error(entry.id, "a map entry needs a key and a value"))
                    }
                }),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension),
            Expr::Call(_) => self.call(expr),
            Expr::Struct(message) => {
                let message = format!(
                    "`{}{{…}}` builds a message, and there are none here",
                    message.type_name
                );
                Err(self.error(id, message))
            }
            Expr::Unspecified => Err(self.error(id, "the expression cannot be read")),
        }
    }

    /// The path that `expr` spells, if it begins with a bound name and has only literal steps.
    fn path(&self, expr: &IdedExpr) -> Option<(String, Vec<Segment>)> {
        match &expr.expr {
            Expr::Ident(name) if !self.scope.contains(name) && self.names.has_root(name) => {
                Some((name.clone(), Vec::new()))
            }
            Expr::Select(SelectExpr {
                operand,
                field: name,
                test: false,
            }) => {
                let (root, mut segments) = self.path(operand)?;
                segments.push(field(name, false));
                Some((root, segments))
            }
            Expr::Call(CallExpr {
                func_name,
                target: None,
                args,
            }) => {
                let optional = match func_name.as_str() {
                    operators::INDEX => false,
                    operators::OPT_INDEX | operators::OPT_SELECT => true,
                    _ => return None,
                };
                let [operand, step] = args.as_slice() else {
                    return None;
                };
                let key = match &step.expr {
                    Expr::Literal(LiteralValue::String(name)) => {
                        Key::Field(name.inner().to_owned())
                    }
                    Expr::Literal(LiteralValue::Int(index)) => {
                        Key::Index(usize::try_from(*index.inner()).ok()?)
                    }
                    _ => return None,
                };
                let (root, mut segments) = self.path(operand)?;
                segments.push(Segment { key, optional });
                Some((root, segments))
            }
            _ => None,
        }
    }

    fn slot(&mut self, id: u64, root: String, segments: Vec<Segment>, reading: Reading) -> Expr {
        let same = |known: &Reference| {
            known.root == root && known.segments == segments && known.reading == reading
        };
        let index = self
            .references
            .iter()
            .position(same)
            .unwrap_or(self.references.len());
        if index == self.references.len() {
            let offset = self.path_offset(id, &root);
            self.references.push(Reference {
                root,
                segments,
                reading,
                offset,
            });
        }
        Expr::Ident(format!("@{index}"))
    }

    fn ident(&self, id: u64, name: &str) -> Result<(), ExprError> {
        if self.scope.iter().any(|bound| bound == name) || TYPES.contains(&name) {
            return Ok(());
        }
        let mut error = self.error(id, format!("there is no `{name}` here"));
        if let Some(kebab) = error
            .offset_bytes
            .and_then(|offset| self.kebab_name(offset, name))
        {
            return Err(error.help(format!(
                "`-` subtracts; write ['{kebab}'] for a name with a dash"
            )));
        }
        error.help = suggest(
            name,
            self.names
                .roots()
                .chain(self.scope.iter().map(String::as_str)),
        );
        Err(error)
    }

    /// `create-order`, if that is what stands around the `order` at `offset`.
    fn kebab_name(&self, offset: usize, name: &str) -> Option<String> {
        let before = self.source.get(..offset)?.strip_suffix('-')?;
        let start = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(0, |at| at + 1);
        let first = &before[start..];
        first
            .starts_with(|c: char| c.is_ascii_alphabetic())
            .then(|| format!("{first}-{name}"))
    }

    fn comprehension(
        &mut self,
        id: u64,
        comprehension: &mut ComprehensionExpr,
    ) -> Result<(), ExprError> {
        // `optMap` binds its name with a comprehension over no items, which is not a loop.
        let is_loop =
            !matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty());
        self.rewrite(&mut comprehension.accu_init)?;
        if is_loop {
            self.rewrite(&mut comprehension.iter_range)?;
            let range = std::mem::take(&mut comprehension.iter_range);
            comprehension.iter_range = call(range.id, ITEMS, vec![range, ident(METER)]);
            self.loops += 1;
            if self.loops > limits::LOOP_DEPTH {
                let message = format!(
                    "loops nest {} deep; the limit is {}",
                    self.loops,
                    limits::LOOP_DEPTH
                );
                return Err(self.error(id, message));
            }
        }
        let outer = self.scope.len();
        self.scope.push(comprehension.accu_var.clone());
        self.rewrite(&mut comprehension.result)?;
        self.scope.push(comprehension.iter_var.clone());
        self.scope.extend(comprehension.iter_var2.clone());
        self.rewrite(&mut comprehension.loop_cond)?;
        self.rewrite(&mut comprehension.loop_step)?;
        self.scope.truncate(outer);
        self.loops -= usize::from(is_loop);
        Ok(())
    }

    fn call(&mut self, expr: &mut IdedExpr) -> Result<(), ExprError> {
        if let Some((root, segments)) = self.path_of_size(expr) {
            expr.expr = self.slot(expr.id, root, segments, Reading::Size);
            return Ok(());
        }
        let id = expr.id;
        let Expr::Call(call) = &mut expr.expr else {
            return Ok(());
        };
        if call.func_name == "matches" {
            return self.matches(id, call);
        }
        let is_optional = call
            .target
            .as_ref()
            .is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == "optional" && !self.is_bound(name)));
        if is_optional {
            self.known(
                id,
                "function `optional.",
                &call.func_name,
                call.args.len(),
                &OPTIONAL,
            )?;
        } else if let Some(target) = &mut call.target {
            self.known(id, "method `", &call.func_name, call.args.len(), &METHODS)?;
            self.rewrite(target)?;
        } else if self.names.has_function(&call.func_name) {
            self.helpers.insert(call.func_name.clone());
        } else if !OPERATORS.contains(&call.func_name.as_str()) {
            self.known(
                id,
                "function `",
                &call.func_name,
                call.args.len(),
                &FUNCTIONS,
            )?;
        }
        call.args.iter_mut().try_for_each(|arg| self.rewrite(arg))?;
        // The accumulator of a loop is added to by the interpreter itself, in place.
        let adds_to_accumulator = matches!(call.args.first(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if name == "@result");
        if self.loops > 0 && call.func_name == operators::ADD && !adds_to_accumulator {
            ADD_CHECKED.clone_into(&mut call.func_name);
            call.args.push(ident(METER));
        }
        Ok(())
    }

    fn is_bound(&self, name: &str) -> bool {
        self.names.has_root(name) || self.scope.iter().any(|bound| bound == name)
    }

    fn path_of_size(&self, expr: &IdedExpr) -> Option<(String, Vec<Segment>)> {
        let Expr::Call(call) = &expr.expr else {
            return None;
        };
        let of = match (&call.target, call.args.as_slice()) {
            (Some(target), []) => target,
            (None, [of]) => of,
            _ => return None,
        };
        let path = self.path(of).filter(|_| call.func_name == "size")?;
        path.1
            .iter()
            .all(|segment| !segment.optional)
            .then_some(path)
    }

    fn matches(&mut self, id: u64, call: &mut CallExpr) -> Result<(), ExprError> {
        let args = call
            .target
            .take()
            .map(|target| *target)
            .into_iter()
            .chain(call.args.drain(..));
        let Ok([mut text, pattern]) = <[IdedExpr; 2]>::try_from(args.collect::<Vec<_>>()) else {
            return Err(self.error(id, "`matches` takes one pattern: text.matches('^[a-z]+$')"));
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return Err(self.error(
                pattern.id,
                "the pattern of `matches` has to be a literal string",
            ));
        };
        let regex: Regex = RegexBuilder::new(literal.inner())
            .size_limit(builtins::PATTERN_BYTES)
            .build()
            .map_err(|error| self.error(pattern.id, format!("not a pattern: {error}")))?;
        self.rewrite(&mut text)?;
        MATCHES.clone_into(&mut call.func_name);
        call.args = vec![text, ident(&format!("@r{}", self.patterns.len()))];
        self.patterns.push(builtins::Pattern(regex));
        Ok(())
    }

    /// Refuses a function that does not exist, or a number of arguments that it does not take.
    fn known(
        &self,
        id: u64,
        what: &str,
        name: &str,
        args: usize,
        table: &[(&'static str, usize)],
    ) -> Result<(), ExprError> {
        let Some((_, takes)) = table.iter().find(|(known, _)| *known == name) else {
            let mut error = self.error(id, format!("there is no {what}{name}`"));
            error.help = if MACROS.contains(&name) {
                Some(format!(
                    "`{name}` loops or tests: has(a.b), list.{name}(item, …)"
                ))
            } else if what == "function `" {
                let known = table.iter().map(|(known, _)| *known);
                suggest(name, known.chain(["has"]).chain(self.names.functions()))
            } else {
                let macros = MACROS.into_iter().filter(|name| *name != "has");
                suggest(name, table.iter().map(|(known, _)| *known).chain(macros))
            };
            return Err(error);
        };
        if *takes == args {
            return Ok(());
        }
        Err(self.error(
            id,
            format!("the {what}{name}` takes {takes} argument(s), not {args}"),
        ))
    }

    fn error(&self, id: u64, message: impl Into<String>) -> ExprError {
        let error = ExprError::new(message);
        match self.offset(id) {
            Some(offset) => error.at(offset),
            None => error,
        }
    }

    /// The parser counts characters, and every caller counts bytes.
    fn offset(&self, id: u64) -> Option<usize> {
        let (start, _) = self.info.offset_for(id)?;
        let start = usize::try_from(start).ok()?;
        Some(
            self.source
                .char_indices()
                .nth(start)
                .map_or(self.source.len(), |(at, _)| at),
        )
    }

    /// The place of a path is that of its root; the parser notes the place of its last operator.
    fn path_offset(&self, id: u64, root: &str) -> Option<usize> {
        let known = self.offset(id)?;
        let until = self.source.len().min(known + root.len());
        self.source.get(..until)?.rfind(root)
    }
}

fn field(name: &str, optional: bool) -> Segment {
    Segment {
        key: Key::Field(name.to_owned()),
        optional,
    }
}

/// A name made here. Ids serve messages alone, and these never get one.
fn ident(name: &str) -> IdedExpr {
    IdedExpr {
        id: 0,
        expr: Expr::Ident(name.to_owned()),
    }
}

fn call(id: u64, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: function.to_owned(),
            target: None,
            args,
        }),
    }
}
