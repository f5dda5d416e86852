//! What expressions of one row do to lineages.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::arithmetic;
use super::sources::{KEYS, Source, TIMES, source_rows};
use super::trace::{Traced, Tracer};

/// The lineage of a value: an expression that computes it, and what is known before.
#[derive(Debug, Clone)]
pub struct Flow {
    pub expr: Expr,
    pub paths: Vec<Path>,
    /// Each value comes from one source row alone.
    pub single: bool,
}

/// The way from a source to a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    pub source: usize,
    /// What was done, in order: `vector_avg`, `hrf_convolve glover`.
    pub steps: Vec<String>,
    /// What the weights mean, or why there are none.
    pub note: Option<String>,
}

impl Flow {
    /// The same rows after one more step.
    pub fn then(mut self, step: impl Into<String>) -> Self {
        let step = step.into();
        for path in &mut self.paths {
            path.steps.push(step.clone());
        }
        self
    }

    /// With a remark on each way; one that is there already stays.
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        for path in &mut self.paths {
            path.note.get_or_insert_with(|| note.clone());
        }
        self
    }

    /// With the remark that weights are those of a function of the source's value.
    fn weighing(mut self, what: &str) -> Self {
        const START: &str = "weight of ";
        for path in &mut self.paths {
            let note = format!("{START}{what}");
            match &mut path.note {
                Some(known) if !known.starts_with(START) => {
                    known.push_str("; ");
                    known.push_str(&note);
                }
                known => *known = Some(note),
            }
        }
        self
    }

    /// The lineage computed from this one's.
    pub fn map(mut self, lineage: impl FnOnce(Expr) -> Expr) -> Self {
        self.expr = lineage(self.expr);
        self
    }

    /// Several lineages as one, computed from theirs.
    pub fn merge(flows: Vec<Flow>, lineage: impl FnOnce(Vec<Expr>) -> Expr) -> Self {
        let (mut exprs, mut paths) = (Vec::new(), Vec::new());
        for flow in flows {
            exprs.push(flow.expr);
            for path in flow.paths {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        Self {
            expr: lineage(exprs),
            paths,
            single: false,
        }
    }
}

impl Tracer<'_> {
    /// The lineage of an expression over the columns of `input`.
    pub fn flow(&mut self, expr: &Expr, input: &Traced) -> Result<Flow> {
        let schema = input.schema.as_ref();
        if expr.column_refs().is_empty() {
            return self.opaque(expr);
        }
        match expr {
            Expr::Column(column) => match input.flow(column)? {
                Some(flow) => Ok(flow),
                None => self.opaque(expr),
            },
            Expr::Alias(alias) => self.flow(&alias.expr, input),
            Expr::Cast(cast) if keeps_value(&cast.expr, cast.field.data_type(), schema) => {
                self.flow(&cast.expr, input)
            }
            Expr::TryCast(cast) if keeps_value(&cast.expr, cast.field.data_type(), schema) => {
                self.flow(&cast.expr, input)
            }
            Expr::Negative(inner) => Ok(self
                .flow(inner, input)?
                .map(|lineage| arithmetic::scaled(lineage, -1.0))
                .then("× -1")),
            Expr::BinaryExpr(binary) => match self.linear(binary, input)? {
                Some(flow) => Ok(flow),
                None => self.other(expr, &binary.op.to_string(), input),
            },
            Expr::Case(case) => self.case(expr, case, input),
            Expr::ScalarFunction(call) => self.call(expr, call.name(), &call.args, input),
            _ => self.other(expr, "expression", input),
        }
    }

    /// `a + b`, `a - b`, `a * 2`, `a / 2` of numbers.
    fn linear(&mut self, binary: &BinaryExpr, input: &Traced) -> Result<Option<Flow>> {
        let schema = input.schema.as_ref();
        let number = |expr: &Expr| {
            let data_type = expr.get_type(schema);
            data_type.is_ok_and(|data_type| data_type.is_numeric())
        };
        let (left, right) = (binary.left.as_ref(), binary.right.as_ref());
        if !number(left) || !number(right) {
            return Ok(None);
        }
        let whole = |expr: &Expr| expr.get_type(schema).is_ok_and(|t| t.is_integer());
        let scaled = |flow: Flow, factor: f64, step: String| {
            flow.map(|lineage| arithmetic::scaled(lineage, factor))
                .then(step)
        };
        Ok(match binary.op {
            Operator::Plus => Some(Flow::merge(
                vec![self.flow(left, input)?, self.flow(right, input)?],
                arithmetic::sum,
            )),
            Operator::Minus => {
                let right = self.flow(right, input)?;
                let minus = right.map(|lineage| arithmetic::scaled(lineage, -1.0));
                Some(Flow::merge(
                    vec![self.flow(left, input)?, minus],
                    arithmetic::sum,
                ))
            }
            Operator::Multiply => {
                match (self.constants.number(left), self.constants.number(right)) {
                    (_, Some(factor)) => Some(scaled(
                        self.flow(left, input)?,
                        factor,
                        format!("× {factor}"),
                    )),
                    (Some(factor), _) => Some(scaled(
                        self.flow(right, input)?,
                        factor,
                        format!("× {factor}"),
                    )),
                    _ => None,
                }
            }
            // Whole numbers are divided with a remainder.
            Operator::Divide if !(whole(left) && whole(right)) => {
                match self.constants.number(right) {
                    Some(divisor) => Some(scaled(
                        self.flow(left, input)?,
                        1.0 / divisor,
                        format!("/ {divisor}"),
                    )),
                    None => None,
                }
            }
            _ => None,
        })
    }

    /// A choice between columns has the lineage of the column that is chosen.
    fn case(&mut self, expr: &Expr, case: &Case, input: &Traced) -> Result<Flow> {
        let branches = case.when_then_expr.iter().map(|(_, then)| then);
        let branches: Vec<&Expr> = branches.chain(&case.else_expr).map(AsRef::as_ref).collect();
        let chooses = branches
            .iter()
            .all(|branch| !branch.column_refs().is_empty() || self.constants.is_null(branch));
        if !chooses {
            return self.other(expr, "CASE", input);
        }
        let flows = branches
            .iter()
            .map(|branch| self.flow(branch, input))
            .collect::<Result<Vec<_>>>()?;
        Ok(Flow::merge(flows, |lineages| {
            let mut lineages = lineages.into_iter().map(Box::new);
            let when_then = case
                .when_then_expr
                .iter()
                .zip(lineages.by_ref())
                .map(|((when, _), lineage)| (when.clone(), lineage))
                .collect();
            Expr::Case(Case::new(case.expr.clone(), when_then, lineages.next()))
        })
        .then("CASE"))
    }

    fn call(&mut self, expr: &Expr, name: &str, args: &[Expr], input: &Traced) -> Result<Flow> {
        let rest_is_constant = args
            .iter()
            .skip(1)
            .all(|arg| self.constants.value(arg).is_some());
        match (name, args) {
            ("coalesce" | "nvl" | "ifnull", _) => {
                let flows = args
                    .iter()
                    .map(|arg| self.flow(arg, input))
                    .collect::<Result<Vec<_>>>()?;
                let coalesce = datafusion::functions::core::coalesce();
                Ok(Flow::merge(flows, |lineages| coalesce.call(lineages)).then(name))
            }
            // Each part stays what it is: its weight is that within its own elements.
            ("vector_concat", _) => {
                let flows = args
                    .iter()
                    .map(|arg| self.flow(arg, input))
                    .collect::<Result<Vec<_>>>()?;
                Ok(Flow::merge(flows, arithmetic::sum).then(name))
            }
            ("array_element" | "array_slice", [vector, ..]) if rest_is_constant => {
                let flow = self.flow(vector, input)?.then(step(name, expr));
                Ok(flow.map(|lineage| arithmetic::where_known(expr.clone(), lineage)))
            }
            ("arrow_cast", [value, ..])
                if expr
                    .get_type(input.schema.as_ref())
                    .is_ok_and(|to| keeps_value(value, &to, input.schema.as_ref())) =>
            {
                self.flow(value, input)
            }
            _ => self.other(expr, name, input),
        }
    }

    /// Any other expression. Of one column of a source row, its result counts as the row's
    /// value, and weights stay true of that; of anything else they are lost.
    fn other(&mut self, expr: &Expr, name: &str, input: &Traced) -> Result<Flow> {
        let mut columns: Vec<_> = expr.column_refs().into_iter().collect();
        columns.sort();
        let is_key = |name: &str| KEYS.contains(&name) || TIMES.contains(&name);
        if columns.iter().any(|column| !is_key(&column.name)) {
            columns.retain(|column| !is_key(&column.name));
        }
        let mut flows = Vec::new();
        for column in columns {
            flows.push(self.flow(&Expr::Column(column.clone()), input)?);
        }
        let subquery = match has_subquery(expr) {
            true => ", and a subquery in it is not followed",
            false => "",
        };
        let shown = expr.human_display().to_string();
        if let [flow] = flows.as_mut_slice()
            && flow.single
        {
            let flow = flow.clone().then(name);
            return Ok(flow
                .map(|lineage| arithmetic::where_known(expr.clone(), arithmetic::own(lineage)))
                .weighing(&format!("{shown}{subquery}")));
        }
        let merged = Flow::merge(flows, arithmetic::without_weights).then(name);
        Ok(merged
            .map(|lineage| arithmetic::where_known(expr.clone(), lineage))
            .noting(format!("{name} is no weighted sum{subquery}")))
    }

    /// The lineage of what comes from no column: a constant, a count, a subquery.
    pub fn opaque(&mut self, expr: &Expr) -> Result<Flow> {
        let label = match expr {
            Expr::Literal(..) | Expr::Alias(_) => "constant".to_string(),
            other => other.human_display().to_string(),
        };
        let note = has_subquery(expr).then(|| "a subquery is not followed".to_string());
        let source = self.registry.add_source(Source {
            label,
            column: String::new(),
            keys: Vec::new(),
        });
        Ok(Flow {
            expr: source_rows(&self.registry, source, expr.clone(), Vec::new()),
            paths: vec![Path {
                source,
                steps: Vec::new(),
                note,
            }],
            single: true,
        })
    }
}

/// The step's name, with what was asked of it: `array_element[1]` is `frame[1]`.
fn step(name: &str, expr: &Expr) -> String {
    match (name, expr) {
        ("array_element", Expr::ScalarFunction(call)) => match call.args.get(1) {
            Some(index) => format!("element {}", index.human_display()),
            None => name.to_string(),
        },
        _ => name.to_string(),
    }
}

/// Whether a cast gives the same value: to text it does not, nor to whole numbers from
/// fractions. Vectors follow their elements.
fn keeps_value(value: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    fn same(from: &DataType, to: &DataType) -> bool {
        use DataType::{FixedSizeList, LargeList, LargeUtf8, List, Null, Utf8, Utf8View};
        let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
        match (from, to) {
            (List(a) | LargeList(a) | FixedSizeList(a, _), List(b) | LargeList(b))
            | (List(a) | LargeList(a) | FixedSizeList(a, _), FixedSizeList(b, _)) => {
                same(a.data_type(), b.data_type())
            }
            (Null, _) => true,
            (from, to) if from == to || text(from) && text(to) => true,
            (from, to) if from.is_integer() => to.is_numeric(),
            (from, to) => from.is_numeric() && to.is_floating(),
        }
    }
    value.get_type(schema).is_ok_and(|from| same(&from, to))
}

pub fn has_subquery(expr: &Expr) -> bool {
    let mut found = false;
    // The closure never fails.
    let _ = expr.apply(|expr| {
        found |= matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        );
        Ok(TreeNodeRecursion::Continue)
    });
    found
}
