//! `vocode(mel, model => … ORDER BY frame)`: the sound of a mel spectrogram.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, LargeBinaryArray, LargeListArray, ListArray,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    self as datafusion_doc, Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr,
    Signature, Volatility,
};
use datafusion_macros::user_doc;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::frames::{as_lists, frame_type, list_of};
use voxql_udfs::kernels::mel::Preset;
use voxql_udfs::mel_options::MEL_METADATA;
use voxql_udfs::vectors::{SAMPLE_RATE_METADATA, Vectors, element_type, vector_type};

use super::Vocoder;
use crate::models::locate::Shelf;

const PARAMETERS: Parameters = Parameters {
    function: "vocode",
    required: 2,
    list: &[
        ("mel", Kind::Any),
        ("model", Kind::Text),
        ("preset", Kind::Text),
    ],
};

/// The aggregate `vocode`.
pub fn vocode(shelf: &Shelf) -> AggregateUDF {
    AggregateUDF::from(Vocode {
        signature: PARAMETERS.signature(Volatility::Immutable),
        shelf: shelf.clone(),
    })
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "The sound of a mel spectrogram, made by a neural vocoder such as HiFi-GAN: a list of samples, full scale -1 to 1, \
`hop_length` of them a frame. The rows of a group are one sound: each is a frame (a vector, as `read_mel` gives it), and then ORDER BY says \
in which order they come; or a list of frames (as `mel_spectrogram` gives it). A vocoder works on the very mel that it was trained \
on and makes noise of any other, so the model's config.json says which it wants, and the column, which remembers how it was \
made (`read_mel(…, preset => 'hifigan')`), must agree; what differs is named. A mel that does not remember, from \
elsewhere or after arithmetic, needs `preset =>` to say what it is. Long sounds go through the network in overlapping windows, and \
the samples are those of one run. The result remembers its `sample_rate` in its field metadata (`voxql.sample_rate`). \
No rows give NULL.",
    syntax_example = "vocode(mel, model => 'hifigan-ljspeech-v1' [, preset => 'hifigan'] ORDER BY frame)",
    sql_example = r#"```sql
COPY (
  SELECT vocode(mel, model => 'hifigan-ljspeech-v1' ORDER BY frame) AS samples
  FROM read_mel('a.wav', preset => 'hifigan')
) TO 'speech.wav' STORED AS WAV;
```"#,
    argument(
        name = "mel",
        description = "Frames (vectors) or spectrograms (lists of vectors), without NULLs."
    ),
    argument(
        name = "model",
        description = "Which vocoder, a constant: the path of a folder with `model.onnx` and `config.json`, or the name of one where `embed` \
looks for its models."
    ),
    argument(
        name = "preset",
        description = "What the mel is, where the column does not remember it: a preset of `mel_spectrogram`."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Vocode {
    signature: Signature,
    shelf: Shelf,
}

impl AggregateUDFImpl for Vocode {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = PARAMETERS.coerce(types)?;
        types[0] = match &types[0] {
            DataType::Null => vector_type(None),
            frame if element_type(frame).is_some() => frame.clone(),
            frames => match frame_type(frames) {
                Some(frame) => list_of(frame.clone()),
                None => {
                    return plan_err!(
                        "vocode: mel must be a frame (a vector) or a list of frames, got {frames}"
                    );
                }
            },
        };
        Ok(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(samples_type())
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let of_mel = fields
            .first()
            .and_then(|mel| sample_rate(mel.metadata().get(MEL_METADATA)?));
        let rate = of_mel.or_else(|| {
            let preset = fields.get(2)?;
            preset.metadata().get(SAMPLE_RATE_METADATA).cloned()
        });
        let metadata = rate.map(|rate| (SAMPLE_RATE_METADATA.to_string(), rate));
        let field = Field::new(self.name(), samples_type(), true);
        Ok(Arc::new(
            field.with_metadata(metadata.into_iter().collect()),
        ))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, item: DataType| {
            let item = Arc::new(Field::new_list_field(item, false));
            let name = format_state_name(args.name, name);
            Arc::new(Field::new(name, DataType::LargeList(item), false))
        };
        Ok(vec![
            list("frames", DataType::Float32),
            list("lengths", DataType::UInt64),
            list("keys", DataType::LargeBinary),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return exec_err!("vocode does not take DISTINCT");
        }
        let given = PARAMETERS.of_expressions(args.exprs)?;
        let model = given.required("model", given.str("model")?)?;
        let preset = match given.str("preset")? {
            None => None,
            Some(name) => Some(
                name.parse::<Preset>()
                    .map_err(|e| exec_datafusion_err!("vocode: {e}"))?,
            ),
        };
        let vocoder = Vocoder::find(model, &self.shelf)?;
        let remembered = args
            .expr_fields
            .first()
            .and_then(|mel| mel.metadata().get(MEL_METADATA));
        match (remembered, preset) {
            (Some(description), _) => vocoder.check(description)?,
            (None, Some(preset)) => vocoder.check(&preset.options().describe())?,
            (None, None) => {
                return exec_err!(
                    "vocode: the column does not remember how its mel was made, and the model {model} works on one kind only; if it \
                     was made so, say preset => 'hifigan' (or whichever it was)"
                );
            }
        }
        let order = args.order_bys.iter().map(|order| {
            let data_type = order.expr.data_type(args.schema)?;
            Ok(SortField::new_with_options(data_type, order.options))
        });
        Ok(Box::new(Sound {
            vocoder,
            arguments: args.exprs.len(),
            order: RowConverter::new(order.collect::<Result<Vec<_>>>()?)?,
            is_ordered: !args.order_bys.is_empty(),
            frames: Vec::new(),
            rows: Vec::new(),
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // The accumulator sorts by itself: its rows may come from several partitions.
        AggregateOrderSensitivity::Beneficial
    }

    /// It is the same aggregate whether or not the rows come in order.
    fn with_beneficial_ordering(
        self: Arc<Self>,
        _is_ordered: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn samples_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))
}

fn sample_rate(description: &str) -> Option<String> {
    let description: serde_json::Value = serde_json::from_str(description).ok()?;
    Some(description.get("sample_rate")?.to_string())
}

/// Frames gathered so far, in the order in which they came.
struct Sound {
    vocoder: Arc<Vocoder>,
    /// The number of arguments; after them come the values of ORDER BY.
    arguments: usize,
    order: RowConverter,
    is_ordered: bool,
    frames: Vec<f32>,
    rows: Vec<Row>,
}

/// A row's place: bytes that sort as ORDER BY does.
struct Row {
    key: Box<[u8]>,
    start: usize,
    /// Values, not frames.
    length: usize,
}

impl std::fmt::Debug for Sound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Sound of {} rows by {}",
            self.rows.len(),
            self.vocoder.name
        )
    }
}

impl Sound {
    fn add(
        &mut self,
        frames: &Vectors<Float32Type>,
        range: std::ops::Range<usize>,
        key: &[u8],
    ) -> Result<()> {
        let n_mels = self.vocoder.config.mel.n_mels;
        let start = self.frames.len();
        for i in range {
            let Some(frame) = frames.row(i).filter(|_| frames.missing(i).is_none()) else {
                return exec_err!(
                    "vocode: a frame is NULL or has a NULL element; leave it out with WHERE, or fill it"
                );
            };
            if frame.len() != n_mels {
                return exec_err!(
                    "vocode: a frame has {} values where the model {} wants {n_mels}",
                    frame.len(),
                    self.vocoder.name
                );
            }
            self.frames.extend_from_slice(frame);
        }
        self.rows.push(Row {
            key: key.into(),
            start,
            length: self.frames.len() - start,
        });
        Ok(())
    }

    /// The frames in order.
    fn ordered(&mut self) -> Result<Vec<f32>> {
        if self.rows.len() > 1 && !self.is_ordered {
            return exec_err!(
                "vocode: the order of {} rows is not given: write vocode(mel, model => '…' ORDER BY frame)",
                self.rows.len()
            );
        }
        self.rows.sort_by(|a, b| a.key.cmp(&b.key));
        if self.rows.windows(2).any(|pair| pair[0].key == pair[1].key) {
            return exec_err!(
                "vocode: two rows have the same place in the order; GROUP BY what tells the sounds apart (path, for instance)"
            );
        }
        let mut frames = Vec::with_capacity(self.frames.len());
        for row in &self.rows {
            frames.extend_from_slice(&self.frames[row.start..row.start + row.length]);
        }
        Ok(frames)
    }
}

impl Accumulator for Sound {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (arguments, order) = values.split_at(self.arguments.min(values.len()));
        let column = &arguments[0];
        let keys = match self.is_ordered {
            true => Some(self.order.convert_columns(order)?),
            false => None,
        };
        let key = |i: usize| keys.as_ref().map(|keys| keys.row(i));
        let bytes = |i: usize| key(i).map(|row| row.as_ref().to_vec()).unwrap_or_default();
        if element_type(column.data_type()).is_some() {
            let frames = Vectors::<Float32Type>::try_new(PARAMETERS.function, column)?;
            for i in 0..frames.len() {
                self.add(&frames, i..i + 1, &bytes(i))?;
            }
            return Ok(());
        }
        let lists = as_lists(PARAMETERS.function, column)?;
        let frames = Vectors::<Float32Type>::try_new(PARAMETERS.function, lists.values())?;
        for (i, bounds) in lists.value_offsets().windows(2).enumerate() {
            if lists.is_null(i) {
                return exec_err!("vocode: a spectrogram is NULL; leave it out with WHERE");
            }
            self.add(&frames, bounds[0] as usize..bounds[1] as usize, &bytes(i))?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = |i: usize| states[i].as_list::<i64>();
        for group in 0..states[0].len() {
            let frames = lists(0).value(group);
            let frames = frames.as_primitive::<Float32Type>().values();
            let lengths = lists(1).value(group);
            let lengths = lengths.as_primitive::<UInt64Type>().values();
            let keys = lists(2).value(group);
            let keys = keys.as_binary::<i64>();
            let mut start = self.frames.len();
            self.frames.extend_from_slice(frames);
            for (length, key) in lengths.iter().zip(keys) {
                let length = usize::try_from(*length).unwrap_or(0);
                self.rows.push(Row {
                    key: key.unwrap_or_default().into(),
                    start,
                    length,
                });
                start += length;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let one = |values: ArrayRef| -> Result<ScalarValue> {
            let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            let list = LargeListArray::try_new(item, offsets, values, None)?;
            Ok(ScalarValue::LargeList(Arc::new(list)))
        };
        let lengths = self.rows.iter().map(|row| row.length as u64);
        let keys = self.rows.iter().map(|row| &*row.key);
        let lengths = one(Arc::new(UInt64Array::from_iter_values(lengths)))?;
        let keys = one(Arc::new(LargeBinaryArray::from_iter_values(keys)))?;
        let frames = one(Arc::new(Float32Array::from(self.frames.clone())))?;
        Ok(vec![frames, lengths, keys])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows.is_empty() {
            return ScalarValue::try_new_null(&samples_type());
        }
        let frames = self.ordered()?;
        let samples = self.vocoder.samples(&frames)?;
        if i32::try_from(samples.len()).is_err() {
            return exec_err!(
                "vocode: {} samples are more than a list can hold; make shorter sounds, by GROUP BY",
                samples.len()
            );
        }
        let offsets = OffsetBuffer::from_lengths([samples.len()]);
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let values = Arc::new(Float32Array::from(samples));
        let list = ListArray::try_new(item, offsets, values, None)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    /// What is held, and what the sound will take.
    fn size(&self) -> usize {
        let mel = &self.vocoder.config.mel;
        let samples = self.frames.len() / mel.n_mels * mel.hop_length;
        let keys: usize = self.rows.iter().map(|row| row.key.len()).sum();
        size_of_val(self)
            + 4 * (self.frames.capacity() + samples)
            + self.rows.capacity() * size_of::<Row>()
            + keys
    }
}

/// Where a call says `preset =>`, its sample rate goes along with the literal: the type of an aggregate
/// follows from the fields of its arguments alone.
#[derive(Debug)]
struct VocodePlanner;

/// Plans calls of [`vocode`].
pub fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(VocodePlanner)
}

impl ExprPlanner for VocodePlanner {
    fn plan_aggregate(
        &self,
        mut call: RawAggregateExpr,
    ) -> Result<PlannerResult<RawAggregateExpr>> {
        if call.func.name() != PARAMETERS.function {
            return Ok(PlannerResult::Original(call));
        }
        if let Some(Expr::Literal(value, metadata)) = call.args.get_mut(2)
            && let Some(Some(name)) = value.try_as_str()
            && let Ok(preset) = name.parse::<Preset>()
        {
            let rate = preset.options().sample_rate.to_string();
            let rate = [(SAMPLE_RATE_METADATA.to_string(), rate)];
            *metadata = Some(FieldMetadata::from(std::collections::BTreeMap::from(rate)));
        }
        Ok(PlannerResult::Original(call))
    }
}
