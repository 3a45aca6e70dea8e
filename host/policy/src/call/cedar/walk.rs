//! Conditions of a policy, looked through once at load: what they read, and what they must not say.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Template, Var};

/// Facts that a policy's conditions read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Names of the circumstances that are read.
    pub(super) circumstances: BTreeSet<String>,
    /// The arguments.
    pub(super) arguments: bool,
    /// Names of the arguments, unless all of them may be read.
    pub(super) argument_names: BTreeSet<String>,
    /// All arguments are read as one value.
    pub(super) all_arguments: bool,
    /// The caller's scopes.
    pub(super) scopes: bool,
    /// Texts in the conditions.
    pub(super) texts: BTreeSet<String>,
}

/// Looks through all conditions of a policy. It keeps its own stack, since a condition may be as deep as its text is long.
pub(super) fn reads(policy: &Template) -> Result<Reads, &'static str> {
    let mut reads = Reads::default();
    let mut left: Vec<&Expr> = policy
        .clauses()
        .iter()
        .map(|clause| match clause {
            Clause::When(condition) | Clause::Unless(condition) => &**condition,
        })
        .collect();
    while let Some(expression) = left.pop() {
        visit(expression, &mut reads, &mut left)?;
    }
    Ok(reads)
}

fn visit<'a>(expression: &'a Expr, reads: &mut Reads, left: &mut Vec<&'a Expr>) -> Result<(), &'static str> {
    match expression {
        Expr::Literal(Literal::String(text)) => {
            reads.texts.insert(text.to_string());
        }
        Expr::Literal(Literal::EntityUID(uid)) if uid.ty.0.id.to_string() == "Action" => return Err(ACTION),
        Expr::Literal(_) => {}
        Expr::Var(Var::Principal | Var::Resource) => {}
        Expr::Var(Var::Action) => return Err(ACTION),
        Expr::Var(Var::Context) => return Err("`context` is read by its parts, such as context.hour"),
        Expr::UnaryOp { expr, .. } => left.push(expr),
        Expr::BinaryOp { op, left: one, right: other } => {
            if matches!(op, BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag) {
                refuse_entity(one)?;
            }
            left.extend([&**one, &**other]);
        }
        Expr::GetAttr { expr, attr } => {
            refuse_entity(expr)?;
            return read_attribute(expr, attr, reads, left);
        }
        Expr::HasAttr { expr, attrs } => {
            refuse_entity(expr)?;
            return ask_attribute(expr, attrs.iter().map(|attr| attr.as_str()), reads, left);
        }
        Expr::Like { expr, .. } => left.push(expr),
        Expr::Is { expr, in_expr, .. } => {
            refuse_entity(expr)?;
            left.push(expr);
            left.extend(in_expr.as_deref());
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            refuse_entity(then_expr)?;
            refuse_entity(else_expr)?;
            left.extend([&**cond, &**then_expr, &**else_expr]);
        }
        Expr::Set(items) => left.extend(items.iter().map(Arc::as_ref)),
        Expr::Record(fields) => left.extend(fields.values().map(Arc::as_ref)),
        _ => return Err("it uses a form of expression that is not supported"),
    }
    Ok(())
}

const ACTION: &str = "actions are named in the scope of a policy, not in its conditions";

fn read_attribute<'a>(
    of: &'a Expr,
    name: &str,
    reads: &mut Reads,
    left: &mut Vec<&'a Expr>,
) -> Result<(), &'static str> {
    if is_context(of) {
        reads.circumstances.insert(name.to_owned());
        if name == "args" {
            (reads.arguments, reads.all_arguments) = (true, true);
        }
    } else if is_arguments(of) {
        note_argument(name, reads);
    } else {
        reads.scopes |= name == "scopes";
        left.push(of);
    }
    Ok(())
}

fn ask_attribute<'a, 'b>(
    of: &'a Expr,
    mut names: impl Iterator<Item = &'b str>,
    reads: &mut Reads,
    left: &mut Vec<&'a Expr>,
) -> Result<(), &'static str> {
    let first = names.next().unwrap_or_default();
    if is_context(of) {
        reads.circumstances.insert(first.to_owned());
        if first == "args" {
            reads.arguments = true;
            match names.next() {
                Some(argument) => note_argument(argument, reads),
                None => reads.all_arguments = true,
            }
        }
    } else if is_arguments(of) {
        note_argument(first, reads);
    } else {
        reads.scopes |= first == "scopes";
        left.push(of);
    }
    Ok(())
}

fn note_argument(name: &str, reads: &mut Reads) {
    reads.arguments = true;
    reads.circumstances.insert("args".to_owned());
    reads.argument_names.insert(name.to_owned());
}

fn is_context(expression: &Expr) -> bool {
    matches!(expression, Expr::Var(Var::Context))
}

fn is_arguments(expression: &Expr) -> bool {
    matches!(expression, Expr::GetAttr { expr, attr } if attr == "args" && is_context(expr))
}

/// Entities other than the caller and the target are not at hand in a decision: their attributes and parents would
/// silently be absent. They are what others are compared with.
fn refuse_entity(expression: &Expr) -> Result<(), &'static str> {
    match expression {
        Expr::Literal(Literal::EntityUID(_)) => Err(
            "only `principal` and `resource` have attributes and parents here; compare with an entity instead",
        ),
        _ => Ok(()),
    }
}
