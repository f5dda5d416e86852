//! Columns of pictures: vectors whose field says how high and wide they are.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_err};

use crate::vectors::{element_type, vector_width};

/// The shape of the pictures of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    pub height: usize,
    pub width: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl Shape {
    /// From the extension type `arrow.fixed_shape_tensor` of a column, which `read_video` gives and Parquet keeps.
    ///
    /// # Errors
    /// When the column is no tensor of shape `[height, width]`, `[height, width, 1]` or
    /// `[height, width, 3]`.
    pub fn of(function: &str, field: &Field) -> Result<Self> {
        let metadata = field.metadata();
        let is_tensor = metadata
            .get("ARROW:extension:name")
            .is_some_and(|name| name == "arrow.fixed_shape_tensor");
        let metadata = metadata
            .get("ARROW:extension:metadata")
            .filter(|_| is_tensor);
        let Some((metadata, shape)) = metadata.and_then(|m| Some((m, numbers(m, "shape")?))) else {
            return plan_err!(
                "{function}: {} is {} and does not say how high and wide its pictures are; give the column \
                 frame of read_video (the extension type arrow.fixed_shape_tensor) as it is",
                field.name(),
                field.data_type()
            );
        };
        let is_natural = numbers(metadata, "permutation")
            .is_none_or(|order| order.into_iter().eq(0..shape.len()));
        let picture = match *shape {
            [height, width] => Some((height, width, 1)),
            [height, width, channels @ (1 | 3)] => Some((height, width, channels)),
            _ => None,
        };
        let values = vector_width(field.data_type());
        match picture {
            Some((height, width, channels))
                if is_natural
                    && values.is_some()
                    && height
                        .checked_mul(width)
                        .and_then(|pixels| pixels.checked_mul(channels))
                        == values =>
            {
                Ok(Self {
                    height,
                    width,
                    channels,
                })
            }
            _ => plan_err!(
                "{function}: {} has tensors of shape {shape:?}; pictures are [height, width] or [height, width, 3]",
                field.name()
            ),
        }
    }
}

/// The list of whole numbers that a JSON object has under a key. arrow-rs reads this metadata and does
/// not give the shape.
fn numbers(json: &str, key: &str) -> Option<Vec<usize>> {
    let quoted = format!("\"{key}\"");
    // A dimension may have the same name: that is followed by no colon.
    let list = json.match_indices(&quoted).find_map(|(at, _)| {
        let value = json[at + quoted.len()..].trim_start().strip_prefix(':')?;
        value.trim_start().strip_prefix('[')
    })?;
    let (list, _) = list.split_once(']')?;
    list.split(',').map(|n| n.trim().parse().ok()).collect()
}

/// The type that a column of pictures has, which stays; an error where it is none.
pub fn coerce(function: &str, frame: &DataType) -> Result<DataType> {
    match (frame, element_type(frame)) {
        (DataType::FixedSizeList(_, _), Some(_)) => Ok(frame.clone()),
        _ => plan_err!("{function}: frame must be a column of pictures, got {frame}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let json = r#"{"dim_names":["shape","w"],"permutation": null, "shape" : [ 4,6 ]}"#;
        assert_eq!(numbers(json, "shape"), Some(vec![4, 6]));
        assert_eq!(numbers(json, "permutation"), None);
        assert_eq!(numbers("{}", "shape"), None);
        assert_eq!(numbers(r#"{"shape":[4,x]}"#, "shape"), None);

        let field = |length: i32, json: &str| {
            let item = std::sync::Arc::new(Field::new_list_field(DataType::Float32, false));
            let metadata = [
                ("ARROW:extension:name", "arrow.fixed_shape_tensor"),
                ("ARROW:extension:metadata", json),
            ];
            Field::new("frame", DataType::FixedSizeList(item, length), false)
                .with_metadata(metadata.map(|(k, v)| (k.to_string(), v.to_string())).into())
        };
        let shape = Shape::of(
            "f",
            &field(24, r#"{"shape":[2,4,3],"permutation":[0,1,2]}"#),
        )
        .unwrap();
        assert_eq!((shape.height, shape.width, shape.channels), (2, 4, 3));
        for (length, json) in [
            (24, r#"{"shape":[2,4,3],"permutation":[2,0,1]}"#),
            (23, r#"{"shape":[2,4,3]}"#),
            (8, r#"{"shape":[8]}"#),
            (8, r#"{"shape":[2,2,2]}"#),
        ] {
            let error = Shape::of("f", &field(length, json))
                .unwrap_err()
                .to_string();
            assert!(error.contains("f: frame has tensors of shape"), "{error}");
        }
    }
}
