//! Finds out type parameters.

use std::collections::HashMap;
use std::sync::Arc;

use crate::types::Type;

/// What is known of type parameters.
#[derive(Debug, Default)]
pub(super) struct Unifier {
    pub(super) next: u32,
    known: HashMap<u32, Type>,
    /// What to take back if types do not fit after all.
    trail: Vec<(u32, Option<Type>)>,
}

impl Unifier {
    pub(super) fn fresh(&mut self) -> Type {
        self.next += 1;
        Type::Param(self.next - 1)
    }

    pub(super) fn bind(&mut self, number: u32, ty: Type) {
        let before = self.known.insert(number, ty);
        self.trail.push((number, before));
    }

    /// Whether all of these can stand for those; remembers what that needs.
    pub(super) fn all_assignable(&mut self, found: &[Type], wanted: &[Type]) -> bool {
        let mark = self.trail.len();
        let fits = found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| self.fits(f, w));
        if !fits {
            while self.trail.len() > mark {
                match self.trail.pop() {
                    Some((number, Some(before))) => self.known.insert(number, before),
                    Some((number, None)) => self.known.remove(&number),
                    None => None,
                };
            }
        }
        fits
    }

    pub(super) fn assignable(&mut self, found: &Type, wanted: &Type) -> bool {
        self.all_assignable(std::slice::from_ref(found), std::slice::from_ref(wanted))
    }

    fn fits(&mut self, found: &Type, wanted: &Type) -> bool {
        if let Type::Param(number) = wanted {
            match self.substitutes(found, *number) {
                (true, _) => return true,
                (false, true) => return false,
                _ => {}
            }
        }
        if let Type::Param(number) = found {
            return self.substitutes(wanted, *number).0;
        }
        match (found, wanted) {
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => true,
            (Type::Null, Type::Null) => true,
            (Type::Null, other) | (other, Type::Null) => {
                matches!(
                    other,
                    Type::Opaque(_) | Type::Object(_) | Type::Duration | Type::Timestamp | Type::Optional(_)
                )
            }
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.fits(a, b),
            (Type::Map(a, b), Type::Map(c, d)) => self.fits(a, c) && self.fits(b, d),
            (Type::Type(_), Type::Type(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Whether a type can stand for a parameter, and whether that was known already.
    fn substitutes(&mut self, ty: &Type, number: u32) -> (bool, bool) {
        if *ty == Type::Param(number) {
            return (true, self.known.contains_key(&number));
        }
        if let Some(known) = self.known.get(&number).cloned() {
            if !self.fits(ty, &known) {
                return (false, true);
            }
            if is_less_specific(ty, &known) && !self.mentions(ty, number) {
                self.bind(number, ty.clone());
            }
            return (true, true);
        }
        if self.mentions(ty, number) {
            return (false, false);
        }
        self.bind(number, ty.clone());
        (true, false)
    }

    fn mentions(&self, ty: &Type, number: u32) -> bool {
        match ty {
            Type::Param(other) if *other == number => true,
            Type::Param(other) => self.known.get(other).is_some_and(|known| self.mentions(known, number)),
            other => other.parameters().into_iter().any(|inner| self.mentions(inner, number)),
        }
    }

    /// Whether a type has fewer parts than this.
    pub(super) fn weighs_less(&self, ty: &Type, most: usize) -> bool {
        let mut left = most;
        self.weigh(ty, &mut left);
        left > 0
    }

    fn weigh(&self, ty: &Type, left: &mut usize) {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        match ty {
            Type::Param(number) => {
                if let Some(known) = self.known.get(number) {
                    self.weigh(known, left);
                }
            }
            other => other.parameters().into_iter().for_each(|inner| self.weigh(inner, left)),
        }
    }

    /// The type, down to a parameter that nothing is known of.
    pub(super) fn resolved_shallow(&self, ty: &Type) -> Type {
        let mut ty = ty.clone();
        while let Type::Param(number) = &ty {
            match self.known.get(number) {
                Some(known) => ty = known.clone(),
                None => break,
            }
        }
        ty
    }

    /// The type with what is known of its parameters.
    pub(super) fn substituted(&self, ty: &Type) -> Type {
        match self.resolved_shallow(ty) {
            Type::Param(number) => Type::Param(number),
            other => other.with(&mut |inner| self.substituted(inner)),
        }
    }

    /// The type; what is not known may be anything.
    pub(super) fn resolved(&self, ty: &Type) -> Type {
        match self.resolved_shallow(ty) {
            Type::Param(_) => Type::Dyn,
            other => other.with(&mut |inner| self.resolved(inner)),
        }
    }
}

/// Whether the first type says no more than the second.
pub(super) fn is_less_specific(first: &Type, second: &Type) -> bool {
    let inner = |a: &Arc<Type>, b: &Arc<Type>| is_less_specific(a, b);
    match (first, second) {
        (Type::Dyn | Type::Error | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Error | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => inner(a, b),
        (Type::Map(a, b), Type::Map(c, d)) => inner(a, c) && inner(b, d),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}
