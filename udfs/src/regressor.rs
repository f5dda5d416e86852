//! `regressor`: the events of a condition become the response that they predict.

mod planner;
mod settings;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, DocSection, Documentation,
    Signature, Volatility,
};

use crate::args::{Kind, Parameters, numbers};
use crate::kernels::regressor::Event;
pub use planner::RegressorPlanner;
use planner::{gives_vectors, list};
pub use settings::Settings;

const ONE_COLUMN: &str = "regressor";
const SEVERAL_COLUMNS: &str = "regressors";

const PARAMETERS: Parameters = Parameters {
    function: ONE_COLUMN,
    required: 5,
    list: &[
        ("onset", Kind::Number),
        ("duration", Kind::Number),
        ("modulation", Kind::Number),
        ("tr", Kind::Number),
        ("n_scans", Kind::Integer),
        ("model", Kind::Text),
        ("oversampling", Kind::Integer),
        ("min_onset", Kind::Number),
        ("slice_time_ref", Kind::Number),
        ("fir_delays", Kind::Numbers),
    ],
};

const PARAMETERS_SEVERAL: Parameters = Parameters {
    function: SEVERAL_COLUMNS,
    ..PARAMETERS
};

/// The aggregate `regressor`, a `List<Float64>` with a value per volume.
pub fn regressor() -> AggregateUDF {
    AggregateUDF::from(Regressor::new(false))
}

/// The aggregate `regressors`, a `List<List<Float64>>` with a vector per volume.
pub fn regressors() -> AggregateUDF {
    AggregateUDF::from(Regressor::new(true))
}

static ONE_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    document(
        "The regressor of a condition: its events as boxes from `onset` to `onset + duration` of height \
`modulation`, convolved with a haemodynamic response and read at the `n_scans` volumes of the run, as nilearn's \
`compute_regressor` does it. Group by condition and run.

The result is a list of `n_scans` DOUBLEs, of fixed length where `n_scans` is a literal. The models `'… + derivative'`, \
`'… + derivative + dispersion'` and `'fir'` have several columns, and give a list of `n_scans` vectors; derivatives \
are made orthogonal to the columns before them. `unnest` makes a row per volume.

Events may come in any order and may overlap. A duration of 0 is one of the `oversampling` samples of a TR, so its response \
is about `oversampling` times smaller than that of an event of one TR; nilearn does not rescale it, nor is it done here. An event \
that starts more than `-min_onset` seconds before the first volume is not dropped, although nilearn's warning says so: it \
starts with the grid, and a long one keeps the part that is within. An event after the end of the run is nothing. A group \
without events, as an empty table has it, is zero.",
        "regressor(onset, duration, modulation, tr => seconds, n_scans => n [, model => 'glover'] [, oversampling => 50] \
[, min_onset => -24] [, slice_time_ref => 0] [, fir_delays => [0]])",
    )
    .with_sql_example(
        r"```sql
SELECT subject, run, trial_type,
       regressor(onset, duration, tr => 2.0, n_scans => 240) AS response
FROM read_events('ds/') GROUP BY subject, run, trial_type;
```",
    )
    .build()
});

static SEVERAL_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    document(
        "The same as `regressor`, but always a list of `n_scans` vectors with an element per column of the model. In SQL \
`regressor` becomes `regressors` where the model has several columns; call it by this name where the model is not a \
literal, or from the DataFrame interface.",
        "regressors(onset, duration, modulation, tr => seconds, n_scans => n [, …])",
    )
    .build()
});

fn document(what: &str, syntax: &str) -> datafusion::logical_expr::DocumentationBuilder {
    let section = DocSection {
        include: true,
        label: "Response Functions",
        description: None,
    };
    Documentation::builder(section, what, syntax)
        .with_argument(
            "onset",
            "Start of the event in seconds from the start of the run. NULL and NaN are errors.",
        )
        .with_argument(
            "duration",
            "Length of the event in seconds, 0 or more. NULL is an error, as it is for nilearn: write \
`coalesce(duration, 0)` if an unknown duration is that of an impulse.",
        )
        .with_argument(
            "modulation",
            "Height of the event; NULL, or left out, is 1.",
        )
        .with_argument("tr", "Repetition time in seconds.")
        .with_argument("n_scans", "Number of volumes of the run, 2 or more.")
        .with_argument(
            "model",
            "'glover' (the default), 'spm', either with ' + derivative' or ' + derivative + dispersion', 'fir', or 'none' \
for the boxes themselves (nilearn's `None`).",
        )
        .with_argument(
            "oversampling",
            "Samples per TR of the grid on which events and response meet. Default 50.",
        )
        .with_argument(
            "min_onset",
            "Where that grid starts, in seconds relative to the first volume. Default -24.",
        )
        .with_argument(
            "slice_time_ref",
            "Volume k is sampled at (k + slice_time_ref) * tr. Default 0; 0.5 after slice timing to the middle.",
        )
        .with_argument(
            "fir_delays",
            "For 'fir': the delays in TRs, one column each. Default [0].",
        )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Regressor {
    /// A vector per volume, not a number.
    vectors: bool,
    signature: Signature,
}

impl Regressor {
    fn new(vectors: bool) -> Self {
        Self {
            vectors,
            signature: PARAMETERS.signature(Volatility::Immutable),
        }
    }

    fn parameters(&self) -> Parameters {
        match self.vectors {
            true => PARAMETERS_SEVERAL,
            false => PARAMETERS,
        }
    }
}

impl AggregateUDFImpl for Regressor {
    fn name(&self) -> &str {
        self.parameters().function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.parameters().coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        let row = match self.vectors {
            true => list(DataType::Float64, None),
            false => DataType::Float64,
        };
        Ok(list(row, None))
    }

    /// Three numbers an event.
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format_state_name(args.name, "events"),
            list(DataType::Float64, None),
            true,
        ))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let parameters = self.parameters();
        let function = parameters.function;
        if args.is_distinct {
            return plan_err!("{function} does not take DISTINCT; equal events add up");
        }
        let arguments = parameters.of_expressions(args.exprs)?;
        let settings = Settings::read(function, &arguments, "model")?;
        if !self.vectors && gives_vectors(&settings.model) {
            return plan_err!(
                "{function}: this model has several columns; call regressors, or give the model as a literal"
            );
        }
        // What is wrong is said before rows are read.
        settings.frame_times()?;
        Ok(Box::new(State {
            function,
            vectors: self.vectors,
            settings,
            events: Vec::new(),
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.vectors {
            true => &SEVERAL_DOCUMENTATION,
            false => &ONE_DOCUMENTATION,
        })
    }
}

/// The events of a group.
#[derive(Debug)]
struct State {
    function: &'static str,
    vectors: bool,
    settings: Settings,
    events: Vec<Event>,
}

impl State {
    fn add(&mut self, onset: Option<f64>, duration: Option<f64>, modulation: f64) -> Result<()> {
        let function = self.function;
        let Some(onset) = onset else {
            return exec_err!(
                "{function}: an event has no onset (NULL); leave it out with FILTER (WHERE onset IS NOT NULL)"
            );
        };
        let Some(duration) = duration else {
            return exec_err!(
                "{function}: the event at {onset} s has no duration (NULL); write coalesce(duration, 0) if it is an impulse"
            );
        };
        let event = Event {
            onset,
            duration,
            amplitude: modulation,
        };
        if let Err(message) = event.check() {
            return exec_err!("{function}: {message}");
        }
        self.events.push(event);
        Ok(())
    }
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = |i: usize| numbers(&ColumnarValue::Array(Arc::clone(&values[i])));
        let (onsets, durations, modulations) = (column(0)?, column(1)?, column(2)?);
        for ((onset, duration), modulation) in
            onsets.iter().zip(durations.iter()).zip(modulations.iter())
        {
            self.add(onset, duration, modulation.unwrap_or(1.0))?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for events in states[0].as_list::<i32>().iter().flatten() {
            let numbers = events.as_primitive::<Float64Type>().values();
            self.events
                .extend(numbers.chunks_exact(3).map(|event| Event {
                    onset: event[0],
                    duration: event[1],
                    amplitude: event[2],
                }));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers = self
            .events
            .iter()
            .flat_map(|event| [event.onset, event.duration, event.amplitude]);
        let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values(numbers));
        Ok(vec![one_list(numbers)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self.settings.regressors()?.columns(&self.events);
        let rows = self.settings.n_scans;
        let values = (0..rows).flat_map(|i| columns.iter().map(move |column| column[i]));
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
        match self.vectors {
            false => one_list(values),
            true => one_list(Arc::new(ListArray::try_new(
                Arc::new(Field::new_list_field(DataType::Float64, true)),
                OffsetBuffer::from_repeated_length(columns.len(), rows),
                values,
                None,
            )?)),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.events.capacity() * size_of::<Event>()
    }
}

/// A list of all values.
fn one_list(values: ArrayRef) -> Result<ScalarValue> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(
        field, offsets, values, None,
    )?)))
}
