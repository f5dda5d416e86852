//! Functions of one row on lineages: what scalar expressions do to weights.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::terms::{self, Builder, Lineages, Term};

/// The lineage of `factor · x`.
pub fn scaled(lineage: Expr, factor: f64) -> Expr {
    Operation::Scale(factor.to_bits()).call(vec![lineage])
}

/// The lineage of a sum. Where one of the summands is NULL, so is the sum.
pub fn sum(lineages: Vec<Expr>) -> Expr {
    Operation::Sum.call(lineages)
}

/// The lineage of a value that counts as its row's own.
pub fn own(lineage: Expr) -> Expr {
    Operation::Own.call(vec![lineage])
}

/// The rows of all lineages, without weights.
pub fn without_weights(lineages: Vec<Expr>) -> Expr {
    Operation::WithoutWeights.call(lineages)
}

/// The lineages' rows, NULL where `value` is.
pub fn where_known(value: Expr, lineage: Expr) -> Expr {
    Operation::WhereKnown.call(vec![value.is_not_null(), lineage])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    /// By a Float64, as its bits.
    Scale(u64),
    Sum,
    Own,
    WithoutWeights,
    WhereKnown,
}

impl Operation {
    fn call(self, args: Vec<Expr>) -> Expr {
        ScalarUDF::from(Arithmetic {
            operation: self,
            signature: Signature::variadic_any(Volatility::Immutable),
        })
        .call(args)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Scale(_) => "align_scaled",
            Operation::Sum => "align_sum",
            Operation::Own => "align_own",
            Operation::WithoutWeights => "align_without_weights",
            Operation::WhereKnown => "align_where_known",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(terms::data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut columns = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let known = match self.operation {
            Operation::WhereKnown if columns.len() == 2 => Some(columns.remove(0)),
            _ => None,
        };
        let known = known.as_ref().and_then(|known| known.as_boolean_opt());
        let lineages = columns
            .iter()
            .map(Lineages::try_new)
            .collect::<Result<Vec<_>>>()?;
        let Some(first) = lineages.first() else {
            return exec_err!("EXPLAIN ALIGN: {} was called without lineages", self.name());
        };
        let mut result = Builder::default();
        for i in 0..rows {
            match self.operation {
                Operation::Scale(bits) => {
                    let factor = f64::from_bits(bits);
                    result.append(first.terms(i).map(|terms| terms.map(|t| t.scaled(factor))));
                }
                Operation::Sum => {
                    let all: Option<Vec<_>> = lineages.iter().map(|l| l.terms(i)).collect();
                    result.append(all.map(|all| all.into_iter().flatten()));
                }
                Operation::Own => {
                    let own = |term: Term| Term {
                        weight: Some(1.0),
                        ..term
                    };
                    result.append(first.terms(i).map(|terms| terms.map(own)));
                }
                Operation::WithoutWeights => {
                    let all = lineages.iter().filter_map(|l| l.terms(i)).flatten();
                    result.append(Some(all.map(|term| term.without_weight())));
                }
                Operation::WhereKnown => {
                    let known = known.is_some_and(|k| k.is_valid(i) && k.value(i));
                    result.append(match known {
                        true => Some(first.terms(i).into_iter().flatten()),
                        false => None,
                    });
                }
            }
        }
        Ok(ColumnarValue::Array(result.finish()?))
    }
}
