//! `secret('name')`: what an expression names that is not to be written down.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo};

use super::compile::each_child;
use super::scope::Names;
use super::{ExprError, Expression};
use crate::names::SecretName;

/// The function that gives a secret.
pub(super) const SECRET: &str = "secret";

/// Where an expression names a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// Which.
    pub name: SecretName,
    /// Where the call stands in the source, in bytes, where it is known.
    pub offset_bytes: Option<usize>,
}

/// The secrets of an expression.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// In the order they stand.
    pub(super) uses: Vec<SecretUse>,
    /// Whether the expression is one call, and nothing else.
    pub(super) is_whole: bool,
}

impl Expression {
    /// Where it names secrets, in the order they stand.
    pub fn secrets(&self) -> &[SecretUse] {
        &self.compiled.secrets.uses
    }

    /// The secret that it is, if it is `secret('name')` and nothing else.
    pub fn as_secret(&self) -> Option<&SecretName> {
        let secrets = &self.compiled.secrets;
        secrets.uses.first().filter(|_| secrets.is_whole).map(|secret| &secret.name)
    }
}

/// The secrets that a tree names; nothing where `secret` is no function here. Which they are has to be known without evaluating it.
pub(super) fn find(tree: &IdedExpr, source: &str, names: &Names, info: &SourceInfo) -> Result<Secrets, ExprError> {
    let mut secrets = Secrets::default();
    if names.has_function(SECRET) {
        collect(tree, source, info, &mut secrets.uses)?;
        secrets.is_whole = is_call(tree).is_some();
    }
    Ok(secrets)
}

/// As deep as a tree is at most.
fn collect(tree: &IdedExpr, source: &str, info: &SourceInfo, uses: &mut Vec<SecretUse>) -> Result<(), ExprError> {
    if let Some(call) = is_call(tree) {
        uses.push(named(tree.id, call, source, info)?);
        return Ok(());
    }
    let mut result = Ok(());
    each_child(tree, &mut |child| {
        if result.is_ok() {
            result = collect(child, source, info, uses);
        }
    });
    result
}

fn is_call(tree: &IdedExpr) -> Option<&CallExpr> {
    match &tree.expr {
        Expr::Call(call) if call.func_name == SECRET && call.target.is_none() => Some(call),
        _ => None,
    }
}

fn named(id: u64, call: &CallExpr, source: &str, info: &SourceInfo) -> Result<SecretUse, ExprError> {
    // A call is known by its bracket.
    let bracket = info.offset_for(id).and_then(|(start, _)| usize::try_from(start).ok());
    let offset_bytes = bracket.and_then(|bracket| source.get(..bracket)?.trim_end().strip_suffix(SECRET)).map(str::len);
    let wrong = |message: String| ExprError { message, offset_bytes, help: Some("write secret('name')".to_owned()) };
    let [argument] = call.args.as_slice() else {
        return Err(wrong(format!("`{SECRET}` takes the name of one secret, not {} arguments", call.args.len())));
    };
    let Expr::Literal(LiteralValue::String(name)) = &argument.expr else {
        return Err(wrong("which secret it is has to be known before anything runs: its name is a literal string".to_owned()));
    };
    let name = name.inner().parse::<SecretName>().map_err(|error| wrong(error.to_string()))?;
    Ok(SecretUse { name, offset_bytes })
}
