//! Graphs through tract, the pure-Rust backend inside this binary.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::Result;
use ndarray::{ArrayD, ArrayView2, ArrayViewD, Axis, s};
use tract_onnx::prelude::*;

use super::{Network, SignalNetwork, failed_run, guard, threads};

/// tract's version; the crate does not tell its own.
pub const VERSION: &str = "0.23.9";

/// One graph, optimised for inputs of any length: a quantised transformer does not
/// load with concrete shapes. A run uses one core, so several may go on at once.
pub struct Plan {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    output: String,
    batch: Batch,
}

/// How many rows go through a plan at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    Any,
    /// One by one. Some graphs flatten batch and sequence into one axis, and tract
    /// cannot multiply two lengths that it does not know.
    One,
}

impl Plan {
    pub fn open(path: &Path, outputs: &[&str]) -> Result<Self, String> {
        let plan = load(path, outputs, Batch::Any);
        plan.or_else(|reason| load(path, outputs, Batch::One).map_err(|_| reason))
            .map_err(|e| format!("{e:#}"))
    }

    fn try_run(&self, inputs: &[(&str, ArrayView2<i64>)]) -> TractResult<ArrayD<f32>> {
        let rows = inputs.first().map_or(0, |(_, values)| values.nrows());
        if self.batch == Batch::Any || rows <= 1 {
            return self.run_rows(inputs, 0..rows);
        }
        let parts = (0..rows)
            .map(|row| self.run_rows(inputs, row..row + 1))
            .collect::<TractResult<Vec<_>>>()?;
        let parts: Vec<_> = parts.iter().map(|part| part.view()).collect();
        Ok(ndarray::concatenate(Axis(0), &parts)?)
    }

    fn run_rows(
        &self,
        inputs: &[(&str, ArrayView2<i64>)],
        rows: Range<usize>,
    ) -> TractResult<ArrayD<f32>> {
        let values = self
            .inputs
            .iter()
            .map(|name| {
                let (_, values) = inputs
                    .iter()
                    .find(|(given, _)| given == name)
                    .ok_or_else(|| TractError::msg(format!("the input '{name}' is not given")))?;
                let values = values.slice(s![rows.clone(), ..]);
                Ok(Tensor::from(values.to_owned()).into())
            })
            .collect::<TractResult<TVec<TValue>>>()?;
        let result = self.plan.run(values)?;
        let output = result
            .first()
            .ok_or_else(|| TractError::msg("the graph has no output"))?;
        Ok(output.to_plain_array_view::<f32>()?.to_owned())
    }
}

fn load(path: &Path, outputs: &[&str], batch: Batch) -> TractResult<Plan> {
    let mut model = tract_onnx::onnx().model_for_path(path)?;
    let known: Vec<String> = model
        .output_outlets()?
        .iter()
        .map(|outlet| {
            let label = model.outlet_label(*outlet);
            label.unwrap_or(&model.node(outlet.node).name).to_string()
        })
        .collect();
    let named = |name: &&&str| known.iter().any(|known| known == **name);
    let output = match outputs.iter().find(named) {
        Some(name) => name.to_string(),
        None => known
            .first()
            .ok_or_else(|| TractError::msg("the graph has no output"))?
            .clone(),
    };
    model.select_outputs_by_name([&output])?;
    let rows = match batch {
        Batch::Any => model.symbols.sym("batch").into(),
        Batch::One => TDim::from(1),
    };
    let length = TDim::from(model.symbols.sym("sequence"));
    let mut inputs = Vec::new();
    for (i, outlet) in model.input_outlets()?.to_vec().into_iter().enumerate() {
        inputs.push(model.node(outlet.node).name.clone());
        let shape: TVec<TDim> = [rows.clone(), length.clone()].into_iter().collect();
        model.set_input_fact(i, i64::fact(shape).into())?;
    }
    Ok(Plan {
        path: path.to_path_buf(),
        plan: model.into_optimized()?.into_runnable()?,
        inputs: inputs.into_iter().map(|name| name.to_string()).collect(),
        outputs: known,
        output,
        batch,
    })
}

impl Network for Plan {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn output(&self) -> &str {
        &self.output
    }

    fn run(&self, inputs: &[(&str, ArrayView2<i64>)]) -> Result<ArrayD<f32>> {
        guard(|| self.try_run(inputs).map_err(|e| format!("{e:#}")))
            .map_err(|reason| failed_run("tract", &self.path, reason))
    }

    fn concurrent_runs(&self) -> usize {
        threads()
    }
}

/// One graph of floats, optimised for one shape.
pub struct SignalPlan {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
    output: String,
}

impl SignalPlan {
    pub fn open(path: &Path, shape: &[usize], outputs: &[&str]) -> Result<Self, String> {
        let load = || -> TractResult<Self> {
            let mut model = tract_onnx::onnx().model_for_path(path)?;
            if model.input_outlets()?.len() != 1 {
                return Err(TractError::msg("the graph must have one input"));
            }
            let outlets = model.output_outlets()?.to_vec();
            let names = outlets.iter().map(|outlet| {
                let label = model.outlet_label(*outlet);
                label.unwrap_or(&model.node(outlet.node).name).to_string()
            });
            let names: Vec<String> = names.collect();
            let place = |wanted: &&str| names.iter().position(|name| name == wanted);
            let place = outputs.iter().find_map(place).unwrap_or(0);
            let (Some(outlet), Some(output)) = (outlets.get(place), names.get(place)) else {
                return Err(TractError::msg("the graph has no output"));
            };
            model.select_output_outlets(&[*outlet])?;
            model.set_input_fact(0, f32::fact(shape).into())?;
            Ok(Self {
                path: path.to_path_buf(),
                plan: model.into_optimized()?.into_runnable()?,
                shape: shape.to_vec(),
                output: output.clone(),
            })
        };
        load().map_err(|e| format!("{e:#}"))
    }

    fn try_run(&self, input: ArrayViewD<f32>) -> TractResult<ArrayD<f32>> {
        let result = self
            .plan
            .run(tvec!(Tensor::from(input.to_owned()).into()))?;
        let output = result
            .first()
            .ok_or_else(|| TractError::msg("the graph has no output"))?;
        Ok(output.to_plain_array_view::<f32>()?.to_owned())
    }
}

impl SignalNetwork for SignalPlan {
    fn takes(&self, shape: &[usize]) -> bool {
        self.shape == shape
    }

    fn output(&self) -> &str {
        &self.output
    }

    fn run(&self, input: ArrayViewD<f32>) -> Result<ArrayD<f32>> {
        guard(|| self.try_run(input).map_err(|e| format!("{e:#}")))
            .map_err(|reason| failed_run("tract", &self.path, reason))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn version_is_the_locked_one() {
        let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
        let entry = format!("name = \"tract-onnx\"\nversion = \"{}\"", super::VERSION);
        assert!(
            lock.contains(&entry),
            "backend/tract.rs names another version"
        );
    }
}
