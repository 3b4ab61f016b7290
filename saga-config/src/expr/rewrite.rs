//! From the parser's tree to one that evaluates cheaply, refusing what has no meaning here.
//!
//! - A path such as `request.body.items[0].?sku` becomes one name, `@3`, which the evaluation resolves in the JSON
//!   itself. Nothing around the path is converted.
//! - What a loop goes over becomes `@items(range, @meter)`, which bounds it and gives the keys of a map in order.
//! - `a + b` becomes `@add(a, b, @meter)`, and likewise `-`, `*` and `/`; see [`arithmetic`](super::arithmetic).
//! - `matches` gets its pattern compiled: `@matches(text, @r0)`.
//!
//! No source can contain a name that begins with `@`.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SourceInfo, operators};
use regex::{Regex, RegexBuilder};

use super::arithmetic::OPERATIONS;
use super::builtins::{self, ITEMS, MATCHES, METER};
use super::reference::{Key, Reading, Reference, Segment};
use super::scope::{Names, suggest};
use super::vocabulary::{self, Form, Function, MACROS, NAMESPACES, OPERATORS, TYPES};
use super::{ExprError, limits};

/// The reference that a rewritten name stands for.
pub(super) fn slot_index(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

/// The pattern that a rewritten name stands for.
pub(super) fn pattern_index(name: &str) -> Option<usize> {
    name.strip_prefix("@r")?.parse().ok()
}

/// Walks over a tree and changes it in place.
pub(super) struct Rewriter<'n> {
    source: &'n str,
    names: &'n Names,
    info: SourceInfo,
    /// Names that loops bind around the current node.
    scope: Vec<String>,
    loops: usize,
    pub(super) references: Vec<Reference>,
    pub(super) patterns: Vec<builtins::Pattern>,
    pub(super) helpers: BTreeSet<String>,
}

impl<'n> Rewriter<'n> {
    pub(super) fn new(source: &'n str, names: &'n Names, info: SourceInfo) -> Self {
        Self {
            source,
            names,
            info,
            scope: Vec::new(),
            loops: 0,
            references: Vec::new(),
            patterns: Vec::new(),
            helpers: BTreeSet::new(),
        }
    }

    /// Checks and rewrites `expr` and all below it. The tree's depth is bounded by the caller.
    pub(super) fn rewrite(&mut self, expr: &mut IdedExpr) -> Result<(), ExprError> {
        if let Some(path) = self.path(expr) {
            let reading = if path.is_optional() { Reading::Optional } else { Reading::Value };
            expr.expr = self.slot(path, reading);
            return Ok(());
        }
        let id = expr.id;
        match &mut expr.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.ident(id, name),
            Expr::Select(select) if select.test => {
                if let Some(path) = self.path(&select.operand) {
                    let path = path.then(field_key(&select.field), false);
                    expr.expr = self.slot(path, Reading::Presence);
                    return Ok(());
                }
                self.rewrite(&mut select.operand)
            }
            Expr::Select(select) => self.rewrite(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.rewrite(element)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.rewrite(&mut entry.key)?;
                    self.rewrite(&mut entry.value)
                }
                EntryExpr::StructField(_) => Err(self.error(entry.id, "a map entry needs a key and a value")),
            }),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension),
            Expr::Call(_) => self.call(expr),
            Expr::Struct(message) => {
                let message = format!("`{}{{…}}` builds a message, and there are none here", message.type_name);
                Err(self.error(id, message))
            }
            Expr::Unspecified => Err(self.error(id, "the expression cannot be read")),
        }
    }

    /// The path that `expr` spells, if it begins with a bound name and has only literal steps.
    fn path(&self, expr: &IdedExpr) -> Option<Path> {
        match &expr.expr {
            Expr::Ident(name) if !self.scope.contains(name) && self.names.has_root(name) => {
                Some(Path { root: name.clone(), offset: self.offset(expr.id), segments: Vec::new() })
            }
            Expr::Select(select) if !select.test => Some(self.path(&select.operand)?.then(field_key(&select.field), false)),
            Expr::Call(CallExpr { func_name, target: None, args }) => {
                let optional = match func_name.as_str() {
                    operators::INDEX => false,
                    operators::OPT_INDEX | operators::OPT_SELECT => true,
                    _ => return None,
                };
                let [operand, step] = args.as_slice() else {
                    return None;
                };
                let key = match &step.expr {
                    Expr::Literal(LiteralValue::String(name)) => field_key(name.inner()),
                    Expr::Literal(LiteralValue::Int(index)) => Key::Index(usize::try_from(*index.inner()).ok()?),
                    _ => return None,
                };
                Some(self.path(operand)?.then(key, optional))
            }
            _ => None,
        }
    }

    /// Notes that the path is read, and gives the name that stands for it.
    fn slot(&mut self, path: Path, reading: Reading) -> Expr {
        let Path { root, offset, segments } = path;
        let same = |known: &Reference| known.root == root && known.segments == segments && known.reading == reading;
        let index = self.references.iter().position(same).unwrap_or(self.references.len());
        if index == self.references.len() {
            self.references.push(Reference { root, segments, reading, offset });
        }
        Expr::Ident(format!("@{index}"))
    }

    fn ident(&self, id: u64, name: &str) -> Result<(), ExprError> {
        if self.scope.iter().any(|bound| bound == name) || TYPES.contains(&name) {
            return Ok(());
        }
        let mut error = self.error(id, format!("there is no `{name}` here"));
        if let Some(kebab) = error.offset_bytes.and_then(|offset| self.kebab_name(offset, name)) {
            return Err(error.help(format!("`-` subtracts; write ['{kebab}'] for a name with a dash")));
        }
        error.help = suggest(name, self.names.roots().chain(self.scope.iter().map(String::as_str)));
        Err(error)
    }

    /// `create-order`, if that is what stands around the `order` at `offset`.
    fn kebab_name(&self, offset: usize, name: &str) -> Option<String> {
        let before = self.source.get(..offset)?.strip_suffix('-')?;
        let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let first = &before[start..];
        first.starts_with(|c: char| c.is_ascii_alphabetic()).then(|| format!("{first}-{name}"))
    }

    fn comprehension(&mut self, id: u64, comprehension: &mut ComprehensionExpr) -> Result<(), ExprError> {
        // `optMap` binds its name with a comprehension over no items, which is not a loop.
        let is_loop = !matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty());
        self.rewrite(&mut comprehension.accu_init)?;
        if is_loop {
            self.rewrite(&mut comprehension.iter_range)?;
            let range = std::mem::take(&mut comprehension.iter_range);
            comprehension.iter_range = call(range.id, ITEMS, vec![range, ident(METER)]);
            self.loops += 1;
            if self.loops > limits::LOOP_DEPTH {
                let message = format!("loops nest {} deep; the limit is {}", self.loops, limits::LOOP_DEPTH);
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
        if let Some(path) = self.path_of_size(expr) {
            expr.expr = self.slot(path, Reading::Size);
            return Ok(());
        }
        let id = expr.id;
        let Expr::Call(call) = &mut expr.expr else {
            return Ok(());
        };
        if call.func_name == "matches" {
            return self.matches(id, call);
        }
        let function = if let Some(namespace) = call.target.as_deref().and_then(|target| self.namespace(target)) {
            self.known(id, Form::Function, Some(namespace), call)?
        } else if let Some(target) = &mut call.target {
            self.rewrite(target)?;
            self.known(id, Form::Method, None, call)?
        } else if self.names.has_function(&call.func_name) {
            self.helpers.insert(call.func_name.clone());
            None
        } else if OPERATORS.contains(&call.func_name.as_str()) {
            None
        } else {
            self.known(id, Form::Function, None, call)?
        };
        call.args.iter_mut().try_for_each(|arg| self.rewrite(arg))?;
        // The accumulator of a loop is added to by the interpreter itself, in place.
        let accumulates = matches!(call.args.first(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if name == "@result");
        let ours = OPERATIONS.iter().find(|(theirs, ..)| *theirs == call.func_name);
        if let (Some((_, ours, _)), false) = (ours, accumulates) {
            (*ours).clone_into(&mut call.func_name);
            call.args.push(ident(METER));
        }
        if let Some(function) = function.filter(|function| function.run.is_some()) {
            let target = call.target.take().filter(|_| function.form == Form::Method);
            call.func_name = function.inner_name();
            call.args.splice(0..0, target.map(|target| *target));
            call.args.push(ident(METER));
        }
        Ok(())
    }

    /// The namespace that a name stands for.
    fn namespace(&self, target: &IdedExpr) -> Option<&'static str> {
        let Expr::Ident(name) = &target.expr else { return None };
        NAMESPACES.into_iter().find(|namespace| *namespace == name.as_str() && !self.is_bound(name))
    }

    fn is_bound(&self, name: &str) -> bool {
        self.names.has_root(name) || self.scope.iter().any(|bound| bound == name)
    }

    fn path_of_size(&self, expr: &IdedExpr) -> Option<Path> {
        let Expr::Call(call) = &expr.expr else {
            return None;
        };
        let of = match (&call.target, call.args.as_slice()) {
            (Some(target), []) => target,
            (None, [of]) => of,
            _ => return None,
        };
        if call.func_name != "size" {
            return None;
        }
        self.path(of).filter(|path| !path.is_optional())
    }

    fn matches(&mut self, id: u64, call: &mut CallExpr) -> Result<(), ExprError> {
        let args = call.target.take().map(|target| *target).into_iter().chain(call.args.drain(..));
        let Ok([mut text, pattern]) = <[IdedExpr; 2]>::try_from(args.collect::<Vec<_>>()) else {
            let bracket = self.error(id, "`matches` takes one pattern: text.matches('^[a-z]+$')");
            let offset_bytes = bracket.offset_bytes.map(|offset| self.name_before(offset, "matches"));
            return Err(ExprError { offset_bytes, ..bracket });
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return Err(self.error(pattern.id, "the pattern of `matches` has to be a literal string"));
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
        form: Form,
        namespace: Option<&str>,
        call: &CallExpr,
    ) -> Result<Option<&'static Function>, ExprError> {
        let name = namespace.map_or_else(|| call.func_name.clone(), |namespace| format!("{namespace}.{}", call.func_name));
        let what = if form == Form::Method { "method" } else { "function" };
        let error = |message: String| {
            let error = self.error(id, message);
            ExprError { offset_bytes: error.offset_bytes.map(|offset| self.name_before(offset, &call.func_name)), ..error }
        };
        let Some(function) = vocabulary::find(&name, form) else {
            let mut error = error(format!("there is no {what} `{name}`"));
            error.help = self.instead_of(&call.func_name, form, namespace);
            return Err(error);
        };
        let (given, arities) = (call.args.len(), function.arities());
        if arities.contains(&given) {
            return Ok(Some(function));
        }
        let takes: Vec<String> = arities.iter().map(usize::to_string).collect();
        let arguments = if takes == ["1"] { "argument" } else { "arguments" };
        Err(error(format!("the {what} `{name}` takes {} {arguments}, not {given}", takes.join(" or "))))
    }

    /// What could be written where `name` is no function of that form.
    fn instead_of(&self, name: &str, form: Form, namespace: Option<&str>) -> Option<String> {
        if let Some((_, shape)) = MACROS.iter().find(|(known, _)| *known == name) {
            return Some(format!("it is written {shape}"));
        }
        if let Some(namespace) = namespace {
            let prefix = format!("{namespace}.");
            let known = vocabulary::FUNCTIONS.iter().filter_map(|function| function.name.strip_prefix(&prefix));
            return suggest(name, known);
        }
        let macros = MACROS.iter().map(|(name, _)| -> &str { name }).filter(|name| (*name == "has") == (form == Form::Function));
        match form {
            Form::Function if vocabulary::find(name, Form::Method).is_some() => {
                Some(format!("`{name}` is a method: write value.{name}(…)"))
            }
            Form::Method if vocabulary::find(name, Form::Function).is_some() => {
                Some(format!("`{name}` is a function: write {name}(value)"))
            }
            Form::Function => suggest(name, vocabulary::names(form).chain(macros).chain(self.names.functions())),
            Form::Method => suggest(name, vocabulary::names(form).chain(macros)),
        }
    }

    /// Where the name begins that stands before the bracket at `bracket`.
    fn name_before(&self, bracket: usize, name: &str) -> usize {
        let before = self.source.get(..bracket).map(str::trim_end);
        before.and_then(|before| before.strip_suffix(name)).map_or(bracket, str::len)
    }

    fn error(&self, id: u64, message: impl Into<String>) -> ExprError {
        let error = ExprError::new(message);
        match self.offset(id) {
            Some(offset) => error.at(offset),
            None => error,
        }
    }

    fn offset(&self, id: u64) -> Option<usize> {
        let (start, _) = self.info.offset_for(id)?;
        let start = usize::try_from(start).ok()?;
        self.source.is_char_boundary(start).then_some(start)
    }
}

/// A path while it is being read off the tree.
struct Path {
    root: String,
    offset: Option<usize>,
    segments: Vec<Segment>,
}

impl Path {
    fn then(mut self, key: Key, optional: bool) -> Self {
        self.segments.push(Segment { key, optional });
        self
    }

    fn is_optional(&self) -> bool {
        self.segments.iter().any(|segment| segment.optional)
    }
}

fn field_key(name: &str) -> Key {
    Key::Field(name.to_owned())
}

/// A name made here. Ids serve messages alone, and these never get one.
pub(super) fn ident(name: &str) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) }
}

/// A call made here.
pub(super) fn call(id: u64, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }) }
}
