//! Macros: `has`, `all`, `exists`, `map` and so on, expanded into loops.

use std::sync::Arc;

use crate::ast::{Expr, Fold, Kind, Literal};
use crate::parse::{Parser, Stop, simple};

type Parsed = Result<Expr, Stop>;

/// The accumulator of a loop that a macro makes.
pub(crate) const RESULT: &str = "@result";
const UNUSED: &str = "#unused";

impl Parser<'_> {
    /// `name(args)`.
    pub(crate) fn global_call(&mut self, place: usize, name: &str, mut args: Vec<Expr>) -> Parsed {
        if name == "has" && args.len() == 1 {
            let arg = args.remove(0);
            let at = self.place(arg.id);
            return match arg.kind {
                Kind::Select { operand, field, test_only: false } => {
                    self.node(place, Kind::Select { operand, field, test_only: true })
                }
                _ => Err(self.wrong(at, "invalid argument to has() macro")),
            };
        }
        self.call(place, name, args)
    }

    /// `target.name(args)`.
    pub(crate) fn member_call(&mut self, place: usize, target: Expr, name: &str, args: Vec<Expr>) -> Parsed {
        match (name, args.len()) {
            ("all" | "exists" | "exists_one" | "existsOne" | "filter", 2) | ("map", 2 | 3) => {
                let var = self.variable(&args[0])?;
                self.looped(place, name, target, (var, None), args)
            }
            ("all" | "exists" | "exists_one" | "existsOne", 3)
            | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
                let vars = (self.variable(&args[0])?, self.variable(&args[1])?);
                if vars.0 == vars.1 {
                    let text = format!("duplicate variable name: {}", vars.0);
                    let at = self.place(args[1].id);
                    return Err(self.wrong(at, text));
                }
                let args = args.into_iter().skip(1).collect();
                self.looped(place, name, target, (vars.0, Some(vars.1)), args)
            }
            ("sortBy", 2) => self.sorted_by(place, target, args),
            ("optMap" | "optFlatMap", 2) => self.optional_map(place, target, name == "optMap", args),
            ("bind", 3) if self.syntax.bind && simple(&target).as_deref() == Some("cel") => {
                let mut args = args.into_iter();
                let (Some(var), Some(value), Some(body)) = (args.next(), args.next(), args.next()) else {
                    return Err(Stop::Issue);
                };
                let var = self.variable(&var)?;
                self.bound(place, var, value, body)
            }
            _ => self.node(place, Kind::Call { target: Some(Box::new(target)), function: name.into(), args }),
        }
    }

    fn variable(&mut self, expr: &Expr) -> Result<Arc<str>, Stop> {
        let place = self.place(expr.id);
        simple(expr).ok_or_else(|| self.wrong(place, "argument must be a simple name"))
    }

    fn literal(&mut self, place: usize, literal: Literal) -> Parsed {
        self.node(place, Kind::Literal(literal))
    }

    fn ident(&mut self, place: usize, name: &str) -> Parsed {
        self.node(place, Kind::Ident(name.into()))
    }

    /// A loop; `args` are the last variable, perhaps a filter, and what is done.
    fn looped(
        &mut self,
        place: usize,
        name: &str,
        range: Expr,
        vars: (Arc<str>, Option<Arc<str>>),
        args: Vec<Expr>,
    ) -> Parsed {
        let mut args = args.into_iter().skip(1);
        let (Some(first), second) = (args.next(), args.next()) else { return Err(Stop::Issue) };
        let (filter, body) = match second {
            Some(body) => (Some(first), body),
            None => (None, first),
        };
        let accu = self.ident(place, RESULT)?;
        let yes = |parser: &mut Self| parser.literal(place, Literal::Bool(true));
        let (init, condition, step, result) = match name {
            "all" => {
                let init = yes(self)?;
                let condition = self.call(place, "@not_strictly_false", vec![accu.clone()])?;
                let step = self.call(place, "_&&_", vec![accu.clone(), body])?;
                (init, condition, step, accu)
            }
            "exists" => {
                let init = self.literal(place, Literal::Bool(false))?;
                let none = self.call(place, "!_", vec![accu.clone()])?;
                let condition = self.call(place, "@not_strictly_false", vec![none])?;
                let step = self.call(place, "_||_", vec![accu.clone(), body])?;
                (init, condition, step, accu)
            }
            "exists_one" | "existsOne" => {
                let init = self.literal(place, Literal::Int(0))?;
                let one = self.literal(place, Literal::Int(1))?;
                let more = self.call(place, "_+_", vec![accu.clone(), one.clone()])?;
                let step = self.call(place, "_?_:_", vec![body, more, accu.clone()])?;
                let result = self.call(place, "_==_", vec![accu, one])?;
                (init, yes(self)?, step, result)
            }
            _ => return self.collected(place, name, range, vars, (filter, body, accu)),
        };
        let (var, var2) = vars;
        let fold = Fold { range, var, var2, accu: RESULT.into(), init, condition, step, result, bind: false };
        self.node(place, Kind::Fold(Box::new(fold)))
    }

    /// A loop whose result is a list or a map.
    fn collected(
        &mut self,
        place: usize,
        name: &str,
        range: Expr,
        vars: (Arc<str>, Option<Arc<str>>),
        (filter, body, accu): (Option<Expr>, Expr, Expr),
    ) -> Parsed {
        let (filter, body) = match name {
            "filter" => (Some(body), self.ident(place, &vars.0)?),
            _ => (filter, body),
        };
        let (init, step) = match name {
            "transformMap" => {
                let key = self.ident(place, &vars.0)?;
                let step = self.call(place, "cel.@mapInsert", vec![accu.clone(), key, body])?;
                (self.node(place, Kind::Map(Vec::new()))?, step)
            }
            "transformMapEntry" => {
                let step = self.call(place, "cel.@mapInsert", vec![accu.clone(), body])?;
                (self.node(place, Kind::Map(Vec::new()))?, step)
            }
            _ => {
                let one = self.node(place, Kind::List { items: vec![body], optional: vec![false] })?;
                let step = self.call(place, "_+_", vec![accu.clone(), one])?;
                (self.node(place, Kind::List { items: Vec::new(), optional: Vec::new() })?, step)
            }
        };
        let step = match filter {
            Some(filter) => self.call(place, "_?_:_", vec![filter, step, accu.clone()])?,
            None => step,
        };
        let condition = self.literal(place, Literal::Bool(true))?;
        let (var, var2) = vars;
        let result = accu;
        let fold = Fold { range, var, var2, accu: RESULT.into(), init, condition, step, result, bind: false };
        self.node(place, Kind::Fold(Box::new(fold)))
    }

    /// `target.sortBy(var, key)`: the target gets a name, for it is asked twice.
    fn sorted_by(&mut self, place: usize, target: Expr, args: Vec<Expr>) -> Parsed {
        let var = self.variable(&args[0])?;
        self.binds += 1;
        let name = format!("@sort{}", self.binds);
        let input = self.ident(place, &name)?;
        let keys = self.looped(place, "map", input.clone(), (var, None), args)?;
        let target_call = Kind::Call {
            target: Some(Box::new(input)),
            function: "@sortByAssociatedKeys".into(),
            args: vec![keys],
        };
        let sorted = self.node(place, target_call)?;
        self.bound(place, name.into(), target, sorted)
    }

    /// A name for a value.
    fn bound(&mut self, place: usize, accu: Arc<str>, init: Expr, result: Expr) -> Parsed {
        let range = self.node(place, Kind::List { items: Vec::new(), optional: Vec::new() })?;
        let condition = self.literal(place, Literal::Bool(false))?;
        let step = self.ident(place, &accu)?;
        let fold =
            Fold { range, var: UNUSED.into(), var2: None, accu, init, condition, step, result, bind: true };
        self.node(place, Kind::Fold(Box::new(fold)))
    }

    /// `target.optMap(var, body)`: the target gets a name, for it is asked twice.
    fn optional_map(&mut self, place: usize, target: Expr, wraps: bool, args: Vec<Expr>) -> Parsed {
        let mut args = args.into_iter();
        let (Some(var), Some(body)) = (args.next(), args.next()) else { return Err(Stop::Issue) };
        let var = self.variable(&var)?;
        self.binds += 1;
        let name = format!("@opt{}", self.binds);
        let named = self.ident(place, &name)?;
        let member = |function: &str, target: &Expr| Kind::Call {
            target: Some(Box::new(target.clone())),
            function: function.into(),
            args: Vec::new(),
        };
        let has = self.node(place, member("hasValue", &named))?;
        let value = self.node(place, member("value", &named))?;
        let body = self.bound(place, var, value, body)?;
        let some = if wraps { self.call(place, "optional.of", vec![body])? } else { body };
        let none = self.call(place, "optional.none", Vec::new())?;
        let chosen = self.call(place, "_?_:_", vec![has, some, none])?;
        self.bound(place, name.into(), target, chosen)
    }
}
