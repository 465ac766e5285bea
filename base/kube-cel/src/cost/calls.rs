//! What calls cost.

use super::{CostRange, Coster};
use crate::ast::{Expr, Kind, Literal};
use crate::types::Type;

/// What a call costs without its arguments, and the size of its result.
struct Estimate {
    cost: CostRange,
    size: Option<CostRange>,
}

/// A call's parts.
#[derive(Clone, Copy)]
struct Call<'e> {
    expr: &'e Expr,
    function: &'e str,
    target: Option<&'e Expr>,
    args: &'e [Expr],
}

impl From<CostRange> for Estimate {
    fn from(cost: CostRange) -> Self {
        Self { cost, size: None }
    }
}

const ONE: CostRange = CostRange { min: 1, max: 1 };
const TRAVERSAL: f64 = 0.1;
const REGEX: f64 = 0.25;
/// The longest expression of a named format.
const FORMAT_REGEX_MAX: f64 = 128.0;

impl Coster<'_> {
    pub(super) fn call(
        &mut self,
        expr: &Expr,
        target: Option<&Expr>,
        function: &str,
        args: &[Expr],
    ) -> CostRange {
        let costs: Vec<CostRange> = args.iter().map(|arg| self.cost(arg)).collect();
        if function == "dyn" {
            let arg = &args[0];
            let (size, entry) = (self.size(arg), self.entry(arg));
            self.sizes.extend(size.map(|size| (expr.id, size)));
            self.entries.extend(entry.map(|entry| (expr.id, entry)));
            return costs[0].plus(ONE);
        }
        let sum = target.map_or(CostRange::of(0), |target| self.cost(target));
        let overloads = self.program.checked.calls.get(expr.id).cloned().unwrap_or_default();
        let mut own: Option<CostRange> = None;
        let mut size: Option<CostRange> = None;
        for overload in overloads {
            let call = Call { expr, function, target, args };
            let found = self.overload(overload, call, &costs);
            own = Some(own.map_or(found.cost, |own| own.union(found.cost)));
            size = match (size, found.size) {
                (Some(size), Some(more)) => Some(size.union(more)),
                (size, more) => size.or(more),
            };
            let step = match overload {
                "index_list" => "@items",
                "index_map" => "@values",
                _ => continue,
            };
            size = self.entry(&args[0]).map(|entry| entry.value);
            self.lead(expr, &args[0], step);
        }
        let size = size.or_else(|| self.size(expr));
        self.sizes.extend(size.map(|size| (expr.id, size)));
        sum.plus(own.unwrap_or_default())
    }

    fn overload(&mut self, overload: &str, call: Call<'_>, costs: &[CostRange]) -> Estimate {
        let Call { expr, function, target, args } = call;
        let arguments = costs.iter().fold(CostRange::of(0), |sum, cost| sum.plus(*cost));
        match (overload, costs) {
            ("logical_and" | "logical_or", [left, right]) => {
                return CostRange { min: left.min, max: left.plus(*right).max }.into();
            }
            ("conditional", [condition, then, other]) => {
                let size = self.size_or_unknown(&args[1]).union(self.size_or_unknown(&args[2]));
                let cost = condition.plus(then.union(*other));
                return Estimate { cost, size: Some(size) };
            }
            _ => {}
        }
        let found = self
            .of_kubernetes(overload, function, target, args)
            .or_else(|| self.of_standard(expr, overload, target, args))
            .unwrap_or_else(|| ONE.into());
        Estimate { cost: found.cost.plus(arguments), size: found.size }
    }

    /// Functions of the libraries of Kubernetes, and of strings.
    fn of_kubernetes(
        &self,
        overload: &str,
        function: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Option<Estimate> {
        let text = |expr: &Expr, factor: f64| self.size_or_unknown(expr).scaled(factor * TRAVERSAL);
        let arg = args.first();
        Some(match function {
            "check" => CostRange::of(350_000).into(),
            "fieldSelector" | "labelSelector" => {
                let size = self.size_or_unknown(arg?);
                let requirements = size.scaled(0.5).scaled(50.0);
                CostRange::of(10).plus(size.scaled(TRAVERSAL)).plus(requirements).into()
            }
            "isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf" => self.walk(target?),
            "url" | "jsonpatch.escapeKey" => {
                Estimate { cost: text(arg?, 1.0), size: Some(self.size_or_unknown(arg?)) }
            }
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                Estimate { cost: text(target?, 1.0), size: Some(self.size_or_unknown(target?)) }
            }
            "replace" => self.replace(target?, args),
            "split" => {
                let mut size = CostRange { min: 0, max: self.size_or_unknown(target?).max };
                if let Some(Expr { kind: Kind::Literal(Literal::Int(most)), .. }) = args.get(1) {
                    size.max = *most as u64;
                }
                Estimate { cost: text(target?, 2.0), size: Some(size) }
            }
            "join" => {
                let (list, item) = (self.size_or_unknown(target?), self.item_size(target?));
                let mut size = list.times(item);
                if let Some(separator) = arg {
                    let gaps = CostRange { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
                    size = size.plus(self.size_or_unknown(separator).times(gaps));
                }
                Estimate { cost: size.scaled(TRAVERSAL), size: Some(size) }
            }
            "find" | "findAll" => {
                let size = CostRange { min: 0, max: self.size_or_unknown(target?).max };
                Estimate { cost: self.regex(target?, arg?), size: Some(size) }
            }
            "ip" if overload == "cidr_ip" => ONE.into(),
            "cidr" | "ip" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                text(arg?, 1.0).into()
            }
            "ip.isCanonical" => text(arg?, 2.0).into(),
            "containsIP" | "containsCIDR" => {
                let bytes = CostRange { min: 4, max: 16 };
                let mut cost = bytes.plus(bytes).scaled(TRAVERSAL);
                if function == "containsCIDR" {
                    cost = cost.plus(bytes.scaled(TRAVERSAL)).plus(ONE);
                }
                if overload.ends_with("_string") {
                    cost = cost.plus(text(arg?, 1.0));
                }
                cost.into()
            }
            "validate" => text(arg?, 1.0).scaled(FORMAT_REGEX_MAX * REGEX).into(),
            "_==_" | "_!=_" if function == "_==_" => match (self.type_of(arg?), self.type_of(args.get(1)?)) {
                (Type::Opaque(a), Type::Opaque(b)) if a == b => ONE.into(),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// A look at each item; items that are strings are walked through, too.
    fn walk(&self, target: &Expr) -> Estimate {
        let size = self.size_or_unknown(target);
        match self.type_of(target) {
            Type::List(item) => {
                let mut each = ONE;
                if matches!(**item, Type::String | Type::Bytes) {
                    each = each.plus(self.item_size(target).scaled(TRAVERSAL));
                }
                size.times(each).into()
            }
            _ => size.scaled(TRAVERSAL).into(),
        }
    }

    fn regex(&self, text: &Expr, pattern: &Expr) -> CostRange {
        let text = self.size_or_unknown(text).plus(ONE).scaled(TRAVERSAL);
        text.times(self.size_or_unknown(pattern).scaled(REGEX))
    }

    fn replace(&self, target: &Expr, args: &[Expr]) -> Estimate {
        let size = self.size_or_unknown(target);
        let part = |at: usize| args.get(at).map_or(CostRange::UNKNOWN, |arg| self.size_or_unknown(arg));
        let (old, new) = (part(0), part(1));
        let (mut count, mut kept) = (CostRange::default(), CostRange::default());
        if old.min == 0 {
            count.max = size.max.saturating_add(1);
            kept.max = size.max;
        } else if new.max <= old.min {
            kept.max = size.max;
        } else {
            count.max = size.max.div_ceil(old.min);
        }
        if old.max == 0 {
            count.min = size.min.saturating_add(1);
            kept.min = size.min;
        } else if old.max <= new.min {
            kept.min = size.min;
        } else {
            count.min = size.min.div_ceil(old.max);
        }
        Estimate { cost: size.scaled(2.0 * TRAVERSAL), size: Some(count.times(new).plus(kept)) }
    }

    /// Functions of the language itself.
    fn of_standard(
        &mut self,
        expr: &Expr,
        overload: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Option<Estimate> {
        let size = |at: usize| args.get(at).map_or(CostRange::UNKNOWN, |arg| self.size_or_unknown(arg));
        Some(match overload {
            "string_format" => self.size_or_unknown(target?).scaled(TRAVERSAL).into(),
            "string_to_bytes" => {
                let text = size(0);
                let bytes = CostRange { min: text.min, max: text.max.saturating_mul(4) };
                Estimate { cost: text.scaled(TRAVERSAL), size: Some(bytes) }
            }
            "bytes_to_string" => {
                let bytes = size(0);
                let text = CostRange { min: bytes.min / 4, max: bytes.max };
                Estimate { cost: bytes.scaled(TRAVERSAL), size: Some(text) }
            }
            "strings_quote" => {
                let text = size(0);
                let most = text.max.saturating_mul(2).saturating_add(2);
                let quoted = CostRange { min: text.min.saturating_add(2), max: most };
                Estimate { cost: text.scaled(TRAVERSAL), size: Some(quoted) }
            }
            "starts_with_string" | "ends_with_string" => size(0).scaled(TRAVERSAL).into(),
            "in_list" => size(1).into(),
            "matches_string" => self.regex(target?, args.first()?).into(),
            "contains_string" => {
                let text = self.size_or_unknown(target?).scaled(TRAVERSAL);
                text.times(size(0).scaled(TRAVERSAL)).into()
            }
            "list_sets_contains_list" | "list_sets_intersects_list" => {
                size(0).times(size(1)).plus(ONE).into()
            }
            "list_sets_equivalent_list" => size(0).times(size(1)).scaled(2.0).plus(ONE).into(),
            "add_list" | "add_string" | "add_bytes" => {
                let sum = size(0).plus(size(1));
                if let (Some(a), Some(b)) = (self.entry(&args[0]), self.entry(&args[1])) {
                    let (key, value) = (a.key.union(b.key), a.value.union(b.value));
                    self.entries.insert(expr.id, super::EntrySize { is_list: a.is_list, key, value });
                }
                let cost = if overload == "add_list" { ONE } else { sum.scaled(TRAVERSAL) };
                Estimate { cost, size: Some(sum) }
            }
            "equals" | "not_equals" => self.compared(args),
            other if is_comparison(other) => self.compared(args),
            _ => return None,
        })
    }

    fn compared(&self, args: &[Expr]) -> Estimate {
        let size = |at: usize| args.get(at).map_or(CostRange::UNKNOWN, |arg| self.size_or_unknown(arg));
        let most = size(0).max.min(size(1).max);
        CostRange { min: u64::from(most > 0), max: most }.scaled(TRAVERSAL).into()
    }
}

fn is_comparison(overload: &str) -> bool {
    let ordered = overload.starts_with("less_") || overload.starts_with("greater_");
    ordered && (overload.ends_with("_string") || overload.ends_with("_bytes"))
}
