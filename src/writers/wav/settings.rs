//! The OPTIONS of `COPY … STORED AS WAV`.

use std::collections::HashMap;

use datafusion::common::{Result, plan_err};
use voxql_udfs::named_arguments::closest;

use crate::readers::audio::SAMPLE_RATES;

const NAMES: [&str; 2] = ["bit_depth", "sample_rate"];

/// What the user said about the file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Settings {
    pub depth: Depth,
    /// Samples per second.
    pub sample_rate: Option<u32>,
}

/// How a sample is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    #[default]
    Int16,
    Int24,
    Int32,
    Float32,
}

impl Depth {
    pub fn bits(self) -> u16 {
        match self {
            Self::Int16 => 16,
            Self::Int24 => 24,
            Self::Int32 | Self::Float32 => 32,
        }
    }
}

impl Settings {
    /// Takes options as DataFusion has them: all values are text.
    pub fn read(options: &HashMap<String, String>) -> Result<Self> {
        let mut settings = Settings::default();
        for (name, value) in options {
            // DataFusion puts `format.` before names without a dot.
            let name = name.strip_prefix("format.").unwrap_or(name);
            match name {
                "bit_depth" => settings.depth = depth(value)?,
                "sample_rate" => settings.sample_rate = Some(sample_rate(value)?),
                _ => return unknown(name),
            }
        }
        Ok(settings)
    }
}

fn depth(value: &str) -> Result<Depth> {
    Ok(match value.trim().to_lowercase().as_str() {
        "16" => Depth::Int16,
        "24" => Depth::Int24,
        "32" => Depth::Int32,
        "float32" | "float" => Depth::Float32,
        _ => {
            return plan_err!(
                "COPY … STORED AS WAV: bit_depth is 16, 24, 32 or 'float32', not {value}"
            );
        }
    })
}

fn sample_rate(value: &str) -> Result<u32> {
    match value.trim().parse() {
        Ok(rate) if SAMPLE_RATES.contains(&rate) => Ok(rate),
        _ => plan_err!(
            "COPY … STORED AS WAV: sample_rate is samples per second, a whole number from {} to \
             {}, not {value}",
            SAMPLE_RATES.start(),
            SAMPLE_RATES.end()
        ),
    }
}

fn unknown<T>(name: &str) -> Result<T> {
    let meant = match closest(name, NAMES) {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    plan_err!(
        "COPY … STORED AS WAV has no option {name}; {meant}There are {}",
        NAMES.join(" and ")
    )
}
