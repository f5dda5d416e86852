//! The search in the logical plan.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::columns::Search;

/// For each row of `query` the nearest rows of `base`, or of `query` itself without the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knn {
    pub query: Arc<LogicalPlan>,
    /// None: the other rows of `query`.
    pub base: Option<Arc<LogicalPlan>>,
    pub search: Search,
    schema: DFSchemaRef,
}

impl Knn {
    pub fn try_new(query: LogicalPlan, base: Option<LogicalPlan>, search: Search) -> Result<Self> {
        let fields = query.schema().fields();
        let of_base = base.as_ref().map_or(fields, |base| base.schema().fields());
        let output = search.output(fields, of_base)?;
        let schema = DFSchema::from_unqualified_fields(output.into(), Default::default())?;
        Ok(Self {
            query: Arc::new(query),
            base: base.map(Arc::new),
            search,
            schema: Arc::new(schema),
        })
    }

    fn parts(&self) -> impl PartialOrd + Hash + '_ {
        (&self.query, &self.base, &self.search)
    }
}

impl Hash for Knn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialOrd for Knn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        // The schema follows from the inputs.
        compare(self.parts(), other.parts()).filter(|o| *o != Ordering::Equal || self == other)
    }
}

fn compare<T: PartialOrd>(a: T, b: T) -> Option<Ordering> {
    a.partial_cmp(&b)
}

impl UserDefinedLogicalNodeCore for Knn {
    fn name(&self) -> &str {
        "Knn"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        let base = self.base.as_ref();
        [&self.query]
            .into_iter()
            .chain(base)
            .map(Arc::as_ref)
            .collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    /// All columns: a base with fewer rows has other neighbours.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let fields = self.schema.fields().iter();
        fields.map(|f| f.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Knn: {}", self.search)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next(), inputs.next()) {
            (Some(query), base, None) if base.is_some() == self.base.is_some() => {
                Self::try_new(query, base, self.search)
            }
            _ => internal_err!("Knn: the number of its inputs has changed"),
        }
    }

    // Without `necessary_children_exprs` all columns of both sides are kept, and so they must be: by all
    // columns of the base, rows at one distance are told apart, whichever of them the query selects.
}
