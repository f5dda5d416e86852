//! `preprocessor_config.json`: what is done to a picture before the graph sees it.
//!
//! The steps and their order are those of the image processors of transformers: resize, crop, rescale,
//! normalise. A step that is not known here is an error, not left out.

use std::path::Path;

use datafusion::common::{Result, exec_datafusion_err};
use fast_image_resize::{FilterType, ResizeAlg};
use serde_json::{Map, Value};

use crate::readers::video::colour::Colour;
use crate::readers::video::lanczos::lanczos;
use crate::readers::video::paint::{Look, Painter, Picture};

/// How a picture becomes an input of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    resize: Option<(Target, ResizeAlg)>,
    /// Height and width of what is cut out of the middle.
    crop: Option<(usize, usize)>,
    /// Whether grey pictures become red, green and blue; else they are refused.
    repeats_grey: bool,
    /// A byte's value in the graph's input is `byte * factor[c] + offset[c]` for each colour.
    factor: [f64; 3],
    offset: [f64; 3],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// Height and width.
    Exact(usize, usize),
    /// The shorter side; the other keeps the aspect ratio.
    ShortestEdge(usize),
}

/// Keys that say nothing about the numbers: who wrote the file, and how results are handed over.
const SILENT: [&str; 9] = [
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "_valid_processor_keys",
    "data_format",
    "input_data_format",
    "return_tensors",
    "default_to_square",
    "device",
];

/// Keys that are read.
const KNOWN: [&str; 13] = [
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_convert_rgb",
    "include_top",
    "rescale_offset",
];

impl Preprocessor {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is not there, or says what is not known.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |why: String| exec_datafusion_err!("'{}': {why}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|e| failed(format!("this is not JSON: {e}")))?;
        let Value::Object(config) = value else {
            return Err(failed("this is not a JSON object".to_owned()));
        };
        Self::parse(&config).map_err(failed)
    }

    fn parse(config: &Map<String, Value>) -> Result<Self, String> {
        let is_known = |key: &str| KNOWN.contains(&key) || SILENT.contains(&key);
        for (key, value) in config {
            if !is_known(key) && !matches!(value, Value::Null | Value::Bool(false)) {
                return Err(format!(
                    "the step {key} ({value}) is not known; embed_image does {}",
                    KNOWN.join(", ")
                ));
            }
        }
        let kind = ["image_processor_type", "feature_extractor_type"]
            .iter()
            .find_map(|key| config.get(*key)?.as_str())
            .unwrap_or_default();
        // `CLIPImageProcessor`, `CLIPImageProcessorFast`, `CLIPFeatureExtractor`.
        let family = ["ImageProcessor", "FeatureExtractor"]
            .iter()
            .find_map(|suffix| kind.split_once(suffix))
            .map_or(kind, |(family, _)| family);
        let flag = |key: &str, default: bool| match config.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(format!("{key} must be true or false, not {other}")),
        };
        if flag("rescale_offset", false)? {
            return Err("the step rescale_offset is not known".to_owned());
        }
        let resize = match flag("do_resize", config.contains_key("size"))? {
            true => Some((target(config.get("size"), family)?, filter(config, family)?)),
            false => None,
        };
        let crop = match flag("do_center_crop", false)? {
            true => Some(crop(config.get("crop_size"))?),
            false => None,
        };
        let rescale = match flag("do_rescale", true)? {
            true => match config.get("rescale_factor") {
                None | Some(Value::Null) => 1.0 / 255.0,
                Some(value) => value
                    .as_f64()
                    .filter(|factor| factor.is_finite())
                    .ok_or_else(|| format!("rescale_factor must be a number, not {value}"))?,
            },
            false => 1.0,
        };
        let (mean, std) = match flag("do_normalize", config.contains_key("image_mean"))? {
            true => (
                colours(config, "image_mean")?,
                colours(config, "image_std")?,
            ),
            false => ([0.0; 3], [1.0; 3]),
        };
        if std.contains(&0.0) {
            return Err("image_std must not be 0".to_owned());
        }
        // EfficientNet's own second division.
        let again = match flag("include_top", false)? {
            true => std,
            false => [1.0; 3],
        };
        let preprocessor = Self {
            resize,
            crop,
            repeats_grey: flag("do_convert_rgb", matches!(family, "CLIP" | "ChineseCLIP"))?,
            factor: [0, 1, 2].map(|c| rescale / std[c] / again[c]),
            offset: [0, 1, 2].map(|c| -mean[c] / std[c] / again[c]),
        };
        preprocessor.check()?;
        Ok(preprocessor)
    }

    /// All inputs must have one size, and what is cut out must be there.
    fn check(&self) -> Result<(), String> {
        let fits = |(height, width): (usize, usize), least: (usize, usize)| {
            height <= least.0 && width <= least.1
        };
        match (self.resize, self.crop) {
            (Some((Target::Exact(..), _)), None) | (None, Some(_)) => Ok(()),
            (Some((Target::Exact(height, width), _)), Some(crop))
                if fits(crop, (height, width)) =>
            {
                Ok(())
            }
            (Some((Target::ShortestEdge(edge), _)), Some(crop)) if fits(crop, (edge, edge)) => {
                Ok(())
            }
            (Some(_), Some(crop)) => Err(format!(
                "crop_size ({} x {}) is larger than what size leaves",
                crop.1, crop.0
            )),
            (_, None) => Err(
                "size and crop_size leave pictures of different sizes; give height and width"
                    .to_owned(),
            ),
        }
    }

    /// Height and width of every input.
    pub fn size(&self) -> (usize, usize) {
        match (self.crop, self.resize) {
            (Some(crop), _) => crop,
            (None, Some((Target::Exact(height, width), _))) => (height, width),
            // `check` has refused it.
            (None, _) => (0, 0),
        }
    }

    /// Appends one input to `out`: all red, all green, all blue. `pixels` are `height` × `width` × `channels`
    /// numbers from 0 to 1.
    ///
    /// # Errors
    /// When the picture is grey, and the model takes colours only, or smaller than what is cut out.
    pub fn append(
        &self,
        pixels: &[f32],
        (height, width, channels): (usize, usize, usize),
        out: &mut Vec<f32>,
    ) -> Result<(), String> {
        let byte = |value: f32| (value * 255.0).round() as u8;
        let bytes: Vec<u8> = match channels {
            3 => pixels.iter().map(|&value| byte(value)).collect(),
            _ if self.repeats_grey => pixels.iter().flat_map(|&v| [byte(v); 3]).collect(),
            _ => {
                return Err(
                    "the picture is grey, and the model takes red, green and blue; read it with color => 'rgb'"
                        .to_owned(),
                );
            }
        };
        let (resized, (height, width)) = self.resized(bytes, (height, width))?;
        let (rows, columns) = self.size();
        if rows > height || columns > width {
            return Err(format!(
                "the picture is {width} x {height}, and the model takes {columns} x {rows} pixels out of it"
            ));
        }
        let (top, left) = ((height - rows) / 2, (width - columns) / 2);
        for colour in 0..3 {
            // A byte has 256 values: in 64 bits, rounded once.
            let (factor, offset) = (self.factor[colour], self.offset[colour]);
            let values: [f32; 256] =
                std::array::from_fn(|byte| (byte as f64 * factor + offset) as f32);
            for row in top..top + rows {
                let row = &resized[(row * width + left) * 3..][..columns * 3];
                let row = row.as_chunks::<3>().0;
                out.extend(row.iter().map(|pixel| values[usize::from(pixel[colour])]));
            }
        }
        Ok(())
    }

    /// The picture as it is after the step resize, and its height and width.
    fn resized(
        &self,
        bytes: Vec<u8>,
        (height, width): (usize, usize),
    ) -> Result<(Vec<u8>, (usize, usize)), String> {
        let Some((target, resize)) = self.resize else {
            return Ok((bytes, (height, width)));
        };
        let (new_height, new_width) = match target {
            Target::Exact(height, width) => (height, width),
            Target::ShortestEdge(edge) if height <= width => (edge, edge * width / height.max(1)),
            Target::ShortestEdge(edge) => (edge * height / width.max(1), edge),
        };
        let side =
            |side: usize| u32::try_from(side).map_err(|_| "the picture is too large".to_owned());
        let look = Look {
            resize,
            is_grey: false,
        };
        let colour = Colour::of_h264(None);
        let mut painter = Painter::new(colour, 0, side(new_width)?, side(new_height)?, look);
        let picture = Picture::Rgb {
            width: side(width)?,
            height: side(height)?,
            rgb: &bytes,
        };
        Ok((painter.paint(picture)?.to_vec(), (new_height, new_width)))
    }
}

/// Sides that a model may ask for.
const SIDES: std::ops::RangeInclusive<u64> = 1..=4096;

fn side(key: &str, value: &Value) -> Result<usize, String> {
    match value.as_u64() {
        Some(side) if SIDES.contains(&side) => Ok(side as usize),
        _ => Err(format!(
            "{key} must be a number of pixels from 1 to {}, not {value}",
            SIDES.end()
        )),
    }
}

fn target(size: Option<&Value>, family: &str) -> Result<Target, String> {
    match size {
        Some(Value::Object(sides)) => {
            let names: Vec<&str> = sides.keys().map(String::as_str).collect();
            match (
                sides.get("height"),
                sides.get("width"),
                sides.get("shortest_edge"),
            ) {
                (Some(height), Some(width), None) if sides.len() == 2 => {
                    Ok(Target::Exact(side("size", height)?, side("size", width)?))
                }
                (None, None, Some(edge)) if sides.len() == 1 => {
                    Ok(Target::ShortestEdge(side("size", edge)?))
                }
                _ => Err(format!(
                    "size has {}; it can have height and width, or shortest_edge",
                    names.join(", ")
                )),
            }
        }
        // As older files have it: what it means, the family says.
        Some(value @ Value::Number(_)) => {
            let edge = side("size", value)?;
            match family {
                "CLIP" | "ChineseCLIP" | "ConvNext" => Ok(Target::ShortestEdge(edge)),
                "ViT" | "DeiT" | "BEiT" | "Beit" | "Siglip" | "EfficientNet" => {
                    Ok(Target::Exact(edge, edge))
                }
                _ => Err(format!(
                    "size is {edge}, which image processors understand in different ways; write \
                     {{\"height\": {edge}, \"width\": {edge}}} or {{\"shortest_edge\": {edge}}}"
                )),
            }
        }
        Some(other) => Err(format!("size must say height and width, not {other}")),
        None => Err("do_resize needs size".to_owned()),
    }
}

fn crop(size: Option<&Value>) -> Result<(usize, usize), String> {
    match size {
        Some(Value::Object(sides)) => match (sides.get("height"), sides.get("width")) {
            (Some(height), Some(width)) => {
                Ok((side("crop_size", height)?, side("crop_size", width)?))
            }
            _ => Err("crop_size must say height and width".to_owned()),
        },
        Some(value @ Value::Number(_)) => {
            let edge = side("crop_size", value)?;
            Ok((edge, edge))
        }
        _ => Err("do_center_crop needs crop_size".to_owned()),
    }
}

/// Pillow's filter of that number, or the one that the family takes where none is said.
fn filter(config: &Map<String, Value>, family: &str) -> Result<ResizeAlg, String> {
    let number = match (config.get("resample"), family) {
        (Some(value), _) if !value.is_null() => value
            .as_u64()
            .ok_or_else(|| format!("resample must be a number from 0 to 5, not {value}"))?,
        (_, "EfficientNet") => 0,
        (_, "ViT" | "Beit" | "BEiT" | "ConvNext") => 2,
        (_, "CLIP" | "ChineseCLIP" | "Siglip" | "DeiT" | "Bit" | "Blip") => 3,
        _ => {
            return Err(
                "resample is missing, and image processors of that type have no default known here; \
                 write 2 (bilinear) or 3 (bicubic)"
                    .to_owned(),
            );
        }
    };
    Ok(match number {
        0 => ResizeAlg::Nearest,
        1 => ResizeAlg::Convolution(lanczos()),
        2 => ResizeAlg::Convolution(FilterType::Bilinear),
        3 => ResizeAlg::Convolution(FilterType::CatmullRom),
        4 => ResizeAlg::Convolution(FilterType::Box),
        5 => ResizeAlg::Convolution(FilterType::Hamming),
        other => {
            return Err(format!(
                "resample must be a number from 0 to 5, not {other}"
            ));
        }
    })
}

fn colours(config: &Map<String, Value>, key: &str) -> Result<[f64; 3], String> {
    let wrong = || {
        let given = config
            .get(key)
            .map_or("nothing".to_owned(), Value::to_string);
        format!("{key} must be three numbers, not {given}")
    };
    let numbers = config
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(wrong)?;
    let numbers: Option<Vec<f64>> = numbers.iter().map(Value::as_f64).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
