//! The call's arguments, checked.

use datafusion::common::{Result, plan_err};
use fast_image_resize::{FilterType, ResizeAlg};

use super::lanczos::lanczos;
use super::paint::Look;
use crate::readers::format::{Options, Parameter, ParameterKind};

/// The largest width and height; their product stays in a vector's range.
pub const MAX_SIDE: i64 = 16_384;

pub const WIDTH: Parameter = Parameter {
    name: "width",
    kind: ParameterKind::Integer,
    default: "as in the file",
    description: "Width of the pictures in pixels; alone it keeps the aspect ratio.",
};

pub const HEIGHT: Parameter = Parameter {
    name: "height",
    kind: ParameterKind::Integer,
    default: "as in the file",
    description: "Height of the pictures in pixels; alone it keeps the aspect ratio.",
};

pub const INTERPOLATION: Parameter = Parameter {
    name: "interpolation",
    kind: ParameterKind::Text,
    default: "bilinear",
    description: "How the size is changed: 'nearest', 'bilinear', 'bicubic', 'lanczos' or 'area', which are Pillow's \
                  NEAREST, BILINEAR, BICUBIC, LANCZOS and BOX. All but 'nearest' widen when they shrink a picture, so nothing aliases \
                  ('area' is then OpenCV's INTER_AREA).",
};

pub const COLOR: Parameter = Parameter {
    name: "color",
    kind: ParameterKind::Text,
    default: "rgb",
    description: "'rgb': height × width × 3 numbers. 'grey': height × width numbers, the luma of ITU-R BT.601 (0.299 R + 0.587 G + \
                  0.114 B, rounded to 8 bits) as Pillow's `convert('L')` and OpenCV's `COLOR_RGB2GRAY`; the size is changed after it.",
};

pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "fps",
        kind: ParameterKind::Float,
        default: "every picture at its own time",
        description: "Rows per second, from 0.001 to 1000: row k holds the picture shown at k/fps.",
    },
    WIDTH,
    HEIGHT,
    INTERPOLATION,
    COLOR,
    Parameter {
        name: "stream",
        kind: ParameterKind::Integer,
        default: "the first that is decoded",
        description: "Which of the file's video streams, from 0 (ffmpeg's `0:v:0`).",
    },
    Parameter {
        name: "start",
        kind: ParameterKind::Float,
        default: "0",
        description: "Only rows at this time in seconds or later. `time` and `frame_index` stay those of the whole file.",
    },
    Parameter {
        name: "end",
        kind: ParameterKind::Float,
        default: "the end of the file",
        description: "Only rows before this time in seconds.",
    },
];

#[derive(Debug)]
pub struct Wanted {
    /// Rows per second as a fraction.
    pub fps: Option<(i128, i128)>,
    pub sides: Sides,
    pub look: Look,
    pub stream: Option<usize>,
    /// Seconds, half open.
    pub start: f64,
    pub end: f64,
}

impl Wanted {
    pub fn new(options: &Options) -> Result<Self> {
        let fps = match options.float("fps") {
            None => None,
            Some(fps) if (0.001..=1000.0).contains(&fps) => Some(fraction(fps)),
            Some(fps) => {
                return plan_err!(
                    "read_video: fps => {fps} is not a frame rate; give one from 0.001 to 1000, \
                     such as fps => 25"
                );
            }
        };
        let stream = match options.integer("stream") {
            None => None,
            Some(stream) => match usize::try_from(stream) {
                Ok(stream) => Some(stream),
                Err(_) => {
                    return plan_err!(
                        "read_video: stream => {stream} is not a stream's number; they count from 0"
                    );
                }
            },
        };
        let (start, end) = (options.float("start"), options.float("end"));
        let (from, to) = (
            start.unwrap_or(f64::NEG_INFINITY),
            end.unwrap_or(f64::INFINITY),
        );
        if from.is_nan() || to.is_nan() || from > to {
            return plan_err!(
                "read_video: start => {from} is not before end => {to}; both are seconds from the start of the movie"
            );
        }
        Ok(Self {
            fps,
            sides: Sides::new("read_video", options)?,
            look: look("read_video", options)?,
            stream,
            start: from,
            end: to,
        })
    }
}

/// Width and height as they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Sides {
    width: Option<u32>,
    height: Option<u32>,
}

impl Sides {
    /// The arguments [`WIDTH`] and [`HEIGHT`].
    pub fn new(function: &str, options: &Options) -> Result<Self> {
        let side = |name: &str| match options.integer(name) {
            None => Ok(None),
            Some(side) if (1..=MAX_SIDE).contains(&side) => Ok(Some(side as u32)),
            Some(side) => plan_err!(
                "{function}: {name} => {side} is not a picture's size; \
                 give one from 1 to {MAX_SIDE} pixels"
            ),
        };
        Ok(Self {
            width: side(WIDTH.name)?,
            height: side(HEIGHT.name)?,
        })
    }

    /// Width and height of the result for pictures stored with `natural` ones.
    pub fn size(&self, natural: (u32, u32)) -> (u32, u32) {
        let scale = |side: u32, from: u32, to: u32| {
            let scaled = (u64::from(side) * u64::from(to) + u64::from(from) / 2) / u64::from(from);
            scaled.clamp(1, MAX_SIDE as u64) as u32
        };
        match (self.width, self.height) {
            (Some(width), Some(height)) => (width, height),
            (Some(width), None) => (width, scale(width, natural.0, natural.1)),
            (None, Some(height)) => (scale(height, natural.1, natural.0), height),
            (None, None) => natural,
        }
    }
}

/// The arguments [`INTERPOLATION`] and [`COLOR`].
pub fn look(function: &str, options: &Options) -> Result<Look> {
    Ok(Look {
        resize: resize(function, options.text(INTERPOLATION.name))?,
        is_grey: is_grey(function, options.text(COLOR.name))?,
    })
}

/// Filters by the names that Pillow, OpenCV and torchvision have for them.
fn resize(function: &str, name: Option<&str>) -> Result<ResizeAlg> {
    Ok(match name.map(str::to_ascii_lowercase).as_deref() {
        None | Some("bilinear") => ResizeAlg::Convolution(FilterType::Bilinear),
        Some("nearest") => ResizeAlg::Nearest,
        Some("bicubic") => ResizeAlg::Convolution(FilterType::CatmullRom),
        Some("lanczos") => ResizeAlg::Convolution(lanczos()),
        Some("area") => ResizeAlg::Convolution(FilterType::Box),
        Some(other) => {
            return plan_err!(
                "{function}: interpolation => '{other}' is not known; give 'nearest', 'bilinear', \
                 'bicubic', 'lanczos' or 'area'"
            );
        }
    })
}

fn is_grey(function: &str, name: Option<&str>) -> Result<bool> {
    match name.map(str::to_ascii_lowercase).as_deref() {
        None | Some("rgb") => Ok(false),
        Some("grey" | "gray") => Ok(true),
        Some(other) => {
            plan_err!("{function}: color => '{other}' is not known; give 'rgb' or 'grey'")
        }
    }
}

/// The simplest fraction that is this number in 64-bit floating point:
/// 2997/100 for 29.97, 30000/1001 for 30000.0/1001. `x` is in 0.001..=1000.
pub fn fraction(x: f64) -> (i128, i128) {
    // In this range the number is an integer of 2^-62, so what follows is exact.
    let one = 1i128 << 62;
    let (mut a, mut b) = ((x * one as f64) as i128, one);
    let (mut numerator, mut denominator) = ((0, 1), (1, 0));
    while b != 0 {
        let whole = a / b;
        numerator = (numerator.1, whole * numerator.1 + numerator.0);
        denominator = (denominator.1, whole * denominator.1 + denominator.0);
        if numerator.1 as f64 / denominator.1 as f64 == x {
            break;
        }
        (a, b) = (b, a % b);
    }
    (numerator.1, denominator.1)
}
