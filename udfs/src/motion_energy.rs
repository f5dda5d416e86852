//! `motion_energy`: how much moves where in a film, how fast, and in which direction.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Documentation, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters};
use crate::datafusion_doc;
use crate::kernels::frame::lumas;
use crate::kernels::motion_energy::{MotionEnergy, Pyramid};
use crate::picture::{self, Shape};
use crate::run_window::{self, SameRun};
use crate::vectors::{VectorBuilder, Vectors, vector_type};

const PARAMETERS: Parameters = Parameters {
    function: "motion_energy",
    required: 2,
    list: &[
        ("frame", Kind::Any),
        ("fps", Kind::Number),
        ("temporal_frequencies", Kind::Numbers),
        ("spatial_frequencies", Kind::Numbers),
        ("directions", Kind::Numbers),
        ("log", Kind::Flag),
        ("compat", Kind::Text),
    ],
};

const TEMPORAL_FREQUENCIES: [f64; 3] = [0.0, 2.0, 4.0];
const SPATIAL_FREQUENCIES: [f64; 5] = [0.0, 2.0, 4.0, 8.0, 16.0];
const DIRECTIONS: [f64; 8] = [0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0];

/// The most bytes that the filters may take.
const MAX_BYTES: f64 = (1u64 << 30) as f64;

/// `motion_energy(frame, fps [, temporal_frequencies, spatial_frequencies, directions, log, compat])`
pub fn motion_energy() -> WindowUDF {
    WindowUDF::from(MotionEnergyOf {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Video Functions"),
    description = "The motion energy of a film at each of its pictures: the energies of quadrature pairs of Gabor filters in space and time \
        (Adelson & Bergen 1985), in the pyramid of Nishimoto et al. 2011 with the constants, the order and the numbers of pymoten's \
        default pyramid. The result is a vector of FLOAT, one element for each filter: by spatial frequency, direction, place (from left to \
        right, in each column from top to bottom) and temporal frequency. It works on luma (of colours 0.299 R + 0.587 G + 0.114 B, from 0 to 1). \
        A filter is two thirds of a second long, and the film is dark before its first picture and after its last; a picture that is \
        missing (NULL) is dark. A direction is that of what moves: 0 answers to motion to the right, 90 up. pymoten says the same and reverses its \
        filters in time, so its direction 0 answers to motion to the left; compat => 'pymoten' has its labels. Pictures must be evenly spaced: use the \
        fps of read_video. Make them small (96 × 96): the time grows with their area.",
    syntax_example = "motion_energy(frame, fps => pictures per second [, temporal_frequencies => […]] [, spatial_frequencies => […]] \
        [, directions => […]] [, log => true] [, compat => 'pymoten'])",
    sql_example = r"```sql
SELECT time, motion_energy(frame, fps => 15) OVER (PARTITION BY path ORDER BY time) AS energy
FROM read_video('film.mp4', fps => 15, width => 96, height => 96, color => 'grey');
```",
    argument(
        name = "frame",
        description = "A column of pictures, height × width × 3 or height × width, that says its shape (arrow.fixed_shape_tensor)."
    ),
    argument(
        name = "fps",
        description = "Pictures per second. Rows must be that far apart, in order and without holes."
    ),
    argument(
        name = "temporal_frequencies",
        description = "Cycles per second; by default [0, 2, 4]."
    ),
    argument(
        name = "spatial_frequencies",
        description = "Cycles per height of the picture; by default [0, 2, 4, 8, 16]. 0 adds, to each filter of direction 0, one without waves in space."
    ),
    argument(
        name = "directions",
        description = "Degrees anticlockwise from the right; by default every 45."
    ),
    argument(
        name = "log",
        description = "Whether the result is ln(energy + 1e-5), as pymoten's; true by default."
    ),
    argument(
        name = "compat",
        description = "'pymoten' turns the directions by 180 degrees."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct MotionEnergyOf {
    signature: Signature,
}

impl WindowUDFImpl for MotionEnergyOf {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        run_window::coerce_before_keys(PARAMETERS, types, |own| {
            let mut own = PARAMETERS.coerce(own)?;
            own[0] = picture::coerce(PARAMETERS.function, &own[0])?;
            Ok(own)
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let width = width(args.input_fields())?;
        Ok(Arc::new(Field::new(args.name(), vector_type(width), true)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(run_window::append_keys(PARAMETERS))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::column_and_keys(PARAMETERS, &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let function = PARAMETERS.function;
        let Some(frame) = args.input_fields().first() else {
            return plan_err!("{function}: frame is missing");
        };
        let shape = Shape::of(function, frame)?;
        let own = PARAMETERS.list.len();
        match args.input_fields().get(own + 1).map(|key| key.data_type()) {
            Some(DataType::Int64 | DataType::Float64) => {}
            Some(other) => {
                return plan_err!(
                    "{function}: ORDER BY must be a time in seconds or the number of the frame, got {other}"
                );
            }
            None => {
                return plan_err!(
                    "{function} needs the pictures of a film in order: write \
                     {function}(…) OVER (PARTITION BY path ORDER BY time)"
                );
            }
        }
        let constants = PARAMETERS.of_expressions(args.input_exprs())?;
        let fps = constants.required("fps", constants.f64("fps")?)?;
        if !(0.1..=10_000.0).contains(&fps) {
            return plan_err!("{function}: fps => {fps} is not a number of pictures per second");
        }
        let list = |name: &str, default: &[f64], is_angle: bool| {
            let list = match constants.f64s(name)? {
                Some(list) => list,
                None => default.to_vec(),
            };
            let bad = |v: &f64| !v.is_finite() || (!is_angle && *v < 0.0);
            match (list.is_empty(), list.iter().find(|v| bad(v))) {
                (true, _) => plan_err!("{function}: {name} is an empty list"),
                (_, Some(v)) => plan_err!("{function}: {name} may not hold {v}"),
                _ => Ok(list),
            }
        };
        let is_reversed = match constants.str("compat")? {
            None => false,
            Some("pymoten") => true,
            Some(other) => {
                return plan_err!("{function}: compat => '{other}' is not known; give 'pymoten'");
            }
        };
        let pyramid = Pyramid {
            height: shape.height,
            width: shape.width,
            fps,
            temporal_frequencies: list("temporal_frequencies", &TEMPORAL_FREQUENCIES, false)?,
            spatial_frequencies: list("spatial_frequencies", &SPATIAL_FREQUENCIES, false)?,
            directions: list("directions", &DIRECTIONS, true)?,
            is_reversed,
        };
        let bytes = pyramid.bytes();
        if bytes > MAX_BYTES {
            return plan_err!(
                "{function}: its filters would take {:.1} GB for pictures of {} x {}; make the pictures smaller, \
                 as in read_video(…, width => 96, height => 96), or leave high spatial frequencies out",
                bytes / 1e9,
                shape.width,
                shape.height
            );
        }
        let (before, after) = MotionEnergy::reach(pyramid.length());
        let is_log = constants.bool("log")?.unwrap_or(true);
        let energy = MotionEnergy::new(&pyramid, is_log);
        let result = width(args.input_fields())?;
        if result.is_some_and(|width| width != energy.filters()) {
            return exec_err!(
                "{function}: it has {} filters where planning said {result:?}",
                energy.filters()
            );
        }
        Ok(Box::new(Energies {
            result,
            shape,
            energy,
            before,
            after,
            fps,
            same_run: run_window::same_run(PARAMETERS, &args),
            first: None,
            taken: 0,
            computed: 0,
            picture: vec![],
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The number of filters, where the types say it: where no list is given.
fn width(fields: &[FieldRef]) -> Result<Option<usize>> {
    let Some(frame) = fields.first() else {
        return plan_err!("{}: frame is missing", PARAMETERS.function);
    };
    let shape = Shape::of(PARAMETERS.function, frame)?;
    let is_given = |at: usize| fields.get(at).is_some_and(|f| !f.data_type().is_null());
    if [2, 3, 4].into_iter().any(is_given) {
        return Ok(None);
    }
    let pyramid = Pyramid {
        height: shape.height,
        width: shape.width,
        // It changes no number of filters.
        fps: 1.0,
        temporal_frequencies: TEMPORAL_FREQUENCIES.to_vec(),
        spatial_frequencies: SPATIAL_FREQUENCIES.to_vec(),
        directions: DIRECTIONS.to_vec(),
        is_reversed: false,
    };
    Ok(Some(pyramid.filters().len()))
}

/// One film.
#[derive(Debug)]
struct Energies {
    result: Option<usize>,
    shape: Shape,
    energy: MotionEnergy,
    /// Pictures before and after a row that its energies depend on.
    before: usize,
    after: usize,
    fps: f64,
    same_run: SameRun,
    /// The key of the film's first picture.
    first: Option<f64>,
    /// Pictures whose responses were computed, and rows that were answered.
    taken: usize,
    computed: usize,
    picture: Vec<f32>,
}

impl Energies {
    /// Takes the picture at `row` of the columns, the next of the film.
    fn take(
        &mut self,
        pictures: &Vectors<Float32Type>,
        keys: &[ArrayRef],
        row: usize,
    ) -> Result<()> {
        self.same_run.check(keys, row)?;
        self.check_order(keys, row)?;
        let pixels = self.shape.height * self.shape.width;
        self.picture.clear();
        if let Some(picture) = pictures.row(row) {
            let lumas = lumas(picture, self.shape.channels);
            self.picture.extend(lumas.map(|luma| luma as f32));
        }
        self.picture.resize(pixels, 0.0);
        self.energy.push(&self.picture);
        self.taken += 1;
        Ok(())
    }

    /// Refuses a picture that is not 1/fps after the one before.
    fn check_order(&mut self, keys: &[ArrayRef], row: usize) -> Result<()> {
        let function = PARAMETERS.function;
        let key = keys.first().filter(|key| key.is_valid(row));
        let frame = key.and_then(|key| key.as_primitive_opt::<Int64Type>());
        let time = key.and_then(|key| key.as_primitive_opt::<Float64Type>());
        let (key, rate) = match (frame, time) {
            (Some(frames), _) => (frames.value(row) as f64, 1.0),
            (_, Some(times)) => (times.value(row), self.fps),
            _ => (f64::NAN, 1.0),
        };
        let first = *self.first.get_or_insert(key);
        let number = (key - first) * rate;
        // A hundredth of a picture is no jitter but rounding.
        if (number - self.taken as f64).abs() < 0.01 {
            return Ok(());
        }
        let partition = self.same_run.partition(keys, row);
        let colon = if partition.is_empty() { "" } else { ": " };
        exec_err!(
            "{function}: {partition}{colon}row {} is at {key}, where {} is due for {} pictures per second; \
             pictures must be in order and evenly spaced, as read_video(…, fps => {}) gives them",
            self.taken,
            first + self.taken as f64 / rate,
            self.fps,
            self.fps
        )
    }
}

impl PartitionEvaluator for Energies {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let function = PARAMETERS.function;
        let Some((column, keys)) = values.split_first() else {
            return exec_err!("{function}: it was called without columns");
        };
        // The columns begin anywhere in the partition, but the range `before` rows
        // before its row, or with the partition.
        let lead = self.computed.min(self.before);
        let start = range.start + lead + (self.taken - self.computed);
        if start < range.end {
            let new = column.slice(start, range.end - start);
            let pictures = Vectors::<Float32Type>::try_new(function, &new)?.fill_missing(0.0);
            let keys: Vec<ArrayRef> = keys
                .iter()
                .map(|key| key.slice(start, range.end - start))
                .collect();
            for row in 0..pictures.len() {
                self.take(&pictures, &keys, row)?;
            }
        }
        let filters = self.energy.filters();
        let mut vector = VectorBuilder::new(function, self.result, 1);
        vector.append_with(filters, |out| self.energy.energies(self.computed, out))?;
        self.computed += 1;
        ScalarValue::try_from_array(&vector.finish()?, 0)
    }

    fn get_range(&self, idx: usize, n_rows: usize) -> Result<Range<usize>> {
        let end = idx.saturating_add(self.after).saturating_add(1);
        Ok(idx.saturating_sub(self.before)..end.min(n_rows))
    }

    /// The window streams: it holds as many pictures as the filters are long.
    fn supports_bounded_execution(&self) -> bool {
        true
    }
}
