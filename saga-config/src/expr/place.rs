//! Where in the source a part of the parser's tree stands.

use std::ops::Range;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, SourceInfo, operators};

use super::scan::{Scanner, Token};
use super::vocabulary::OPERATORS;

/// Finds the text of parts of a tree. The parser knows of each only one token: of a call the bracket, of an operation the operator.
pub(super) struct Places<'s> {
    source: &'s str,
    info: &'s SourceInfo,
    tokens: Vec<Piece>,
    /// Offsets of brackets that belong together.
    pairs: Vec<(usize, usize)>,
}

/// A token and its span.
struct Piece {
    span: Range<usize>,
    token: Token,
}

impl<'s> Places<'s> {
    /// Of a source that was parsed.
    pub(super) fn new(source: &'s str, info: &'s SourceInfo) -> Self {
        let mut scanner = Scanner::new(source, 0);
        let (mut tokens, mut pairs, mut open) = (Vec::new(), Vec::new(), Vec::new());
        // What was parsed has no string without an end.
        while let Ok(Some((start, token))) = scanner.next() {
            tokens.push(Piece { span: start..scanner.offset(), token });
            match token {
                Token::Open => open.push(start),
                Token::Close(_) => pairs.extend(open.pop().map(|open| (open, start))),
                _ => {}
            }
        }
        Self { source, info, tokens, pairs }
    }

    /// The span of `expr`, in bytes: never empty, and on the boundaries of characters.
    pub(super) fn of(&self, expr: &IdedExpr) -> Range<usize> {
        let mut span = self.span(expr).unwrap_or(0..self.source.len());
        // Brackets around a part do not belong to it, those around a part of it do.
        for _ in 0..self.pairs.len() {
            let contains = |at: usize| span.contains(&at);
            let Some((open, close)) = self.pairs.iter().find(|(open, close)| contains(*open) != contains(*close)) else { break };
            span = span.start.min(*open)..span.end.max(close + 1);
        }
        match self.source.get(span.clone()) {
            Some(text) if !text.is_empty() => span,
            _ => 0..self.source.len(),
        }
    }

    /// The name of the function or macro whose call has its bracket at the offset of `id`.
    pub(super) fn name_of_call(&self, id: u64) -> Option<Range<usize>> {
        let bracket = self.index_at(self.offset(id)?)?;
        let name = self.tokens.get(bracket.checked_sub(1)?)?;
        (name.token == Token::Other).then(|| name.span.clone())
    }

    fn span(&self, expr: &IdedExpr) -> Option<Range<usize>> {
        let at = self.offset(expr.id)?;
        match &expr.expr {
            Expr::Call(call) if OPERATORS.contains(&call.func_name.as_str()) => {
                let first = self.span(call.args.first()?)?;
                let end = match call.func_name.as_str() {
                    operators::INDEX | operators::OPT_INDEX => self.closing(at)?,
                    operators::OPT_SELECT => self.token_after(at, 2)?.end,
                    _ => self.span(call.args.last()?)?.end,
                };
                Some(first.start.min(at)..end)
            }
            Expr::Call(call) => {
                let start = match &call.target {
                    Some(target) => self.span(target)?.start,
                    None => self.name_of_call(expr.id)?.start,
                };
                Some(start..self.closing(at)?)
            }
            Expr::Comprehension(comprehension) => {
                let start = self.span(&comprehension.iter_range).filter(|range| range.start < at);
                Some(start.or_else(|| self.name_of_call(expr.id))?.start..self.closing(at)?)
            }
            Expr::Select(select) if select.test => Some(self.name_of_call(expr.id)?.start..self.closing(at)?),
            Expr::Select(select) => Some(self.span(&select.operand)?.start..self.token_after(at, 1)?.end),
            Expr::List(_) | Expr::Map(_) => Some(at..self.closing(at)?),
            Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)) => self.number(at),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {
                Some(self.tokens[self.index_at(at)?].span.clone())
            }
        }
    }

    /// A number's digits, which the scanner may take apart, and its sign.
    fn number(&self, at: usize) -> Option<Range<usize>> {
        let rest = self.source.get(at..)?;
        let mut length = 0;
        for (index, c) in rest.char_indices() {
            let is_exponents_sign = matches!(c, '+' | '-') && rest[..index].ends_with(['e', 'E']);
            if !(c.is_ascii_alphanumeric() || c == '.' || is_exponents_sign) {
                break;
            }
            length = index + 1;
        }
        Some(at..at + length.max(1))
    }

    fn offset(&self, id: u64) -> Option<usize> {
        usize::try_from(self.info.offset_for(id)?.0).ok()
    }

    fn index_at(&self, offset: usize) -> Option<usize> {
        self.tokens.iter().position(|token| token.span.contains(&offset))
    }

    fn token_after(&self, offset: usize, count: usize) -> Option<Range<usize>> {
        self.tokens.get(self.index_at(offset)? + count).map(|token| token.span.clone())
    }

    /// Past the bracket that closes the one at `offset`.
    fn closing(&self, offset: usize) -> Option<usize> {
        self.pairs.iter().find_map(|(open, close)| (*open == offset).then_some(close + 1))
    }
}
