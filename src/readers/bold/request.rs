//! The arguments of `read_bold`, checked.

use datafusion::common::Result;

use super::repetition_time::check_given;
use crate::readers::format::Options;

/// What a call of `read_bold` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Seconds between volumes, for files that do not say.
    pub tr: Option<f64>,
    /// A path, with entities in braces.
    pub mask: Option<String>,
}

impl Request {
    pub fn parse(options: &Options) -> Result<Self> {
        let tr = options.float("tr");
        check_given(tr)?;
        Ok(Self {
            tr,
            mask: options.text("mask").map(str::to_owned),
        })
    }

    /// An argument that was given and only means something for volumes.
    pub fn only_for_volumes(&self) -> Option<&'static str> {
        self.mask.is_some().then_some("mask")
    }
}
