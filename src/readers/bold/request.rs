//! The arguments of `read_bold`, checked.

use datafusion::common::{Result, plan_err};
use voxql_udfs::kernels::brain::parcels::Strategy;
use voxql_udfs::kernels::brain::resample::Interpolation;

use super::repetition_time::check_given;
use crate::readers::format::Options;

/// What a call of `read_bold` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Seconds between volumes, for files that do not say.
    pub tr: Option<f64>,
    pub mask: MaskChoice,
    pub atlas: Option<Atlas>,
    /// Along x, y and z, in millimetres.
    pub fwhm: Option<[Option<f64>; 3]>,
    pub resample: Resampled,
    /// How the run is resampled.
    pub interpolation: Interpolation,
}

/// Where the mask comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum MaskChoice {
    /// All voxels.
    None,
    /// A path, with entities in braces.
    File(String),
    Brain(BrainMask),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrainMask {
    /// The one beside the run, by its name.
    Bids,
    /// Computed from the run.
    Epi,
    /// The one beside the run if there is one, else computed.
    Auto,
}

/// Parcels instead of voxels.
#[derive(Debug, Clone, PartialEq)]
pub struct Atlas {
    /// A path, with entities in braces.
    pub path: String,
    pub strategy: Strategy,
    pub background: i64,
}

/// What is resampled to the grid of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resampled {
    pub mask: bool,
    pub atlas: bool,
    /// The run, to the mask's grid, or the atlas' where there is no mask.
    pub bold: bool,
}

impl Request {
    pub fn parse(options: &Options) -> Result<Self> {
        let tr = options.float("tr");
        check_given(tr)?;
        let atlas = atlas(options)?;
        let mask = mask(options)?;
        let resample = resampled(options, &mask, atlas.is_some())?;
        let interpolation = match options.text("interpolation") {
            None => Interpolation::Continuous,
            Some(_) if !resample.bold => {
                return plan_err!(
                    "read_bold: interpolation is for resample => 'bold'; masks and atlases \
                     are resampled to the nearest voxel"
                );
            }
            Some(name) => named(Interpolation::from_name(name))?,
        };
        Ok(Self {
            tr,
            mask,
            atlas,
            fwhm: fwhm(options)?,
            resample,
            interpolation,
        })
    }

    /// An argument that was given and only means something for volumes.
    pub fn only_for_volumes(&self) -> Option<&'static str> {
        let given = [
            ("mask", matches!(self.mask, MaskChoice::File(_))),
            ("brain_mask", matches!(self.mask, MaskChoice::Brain(_))),
            ("atlas", self.atlas.is_some()),
            ("smoothing_fwhm", self.fwhm.is_some()),
        ];
        given
            .into_iter()
            .find_map(|(name, given)| given.then_some(name))
    }
}

fn named<T>(found: std::result::Result<T, String>) -> Result<T> {
    found.or_else(|message| plan_err!("read_bold: {message}"))
}

fn mask(options: &Options) -> Result<MaskChoice> {
    match (options.text("mask"), options.text("brain_mask")) {
        (None, None) => Ok(MaskChoice::None),
        (Some(path), None) => Ok(MaskChoice::File(path.to_owned())),
        (Some(_), Some(_)) => plan_err!("read_bold: give mask or brain_mask, not both"),
        (None, Some("bids")) => Ok(MaskChoice::Brain(BrainMask::Bids)),
        (None, Some("epi")) => Ok(MaskChoice::Brain(BrainMask::Epi)),
        (None, Some("auto")) => Ok(MaskChoice::Brain(BrainMask::Auto)),
        (None, Some(other)) => plan_err!(
            "read_bold: there is no brain_mask '{other}'; there are 'bids', the mask beside the run; \
             'epi', computed from the run; and 'auto', the first if there is one, else the second"
        ),
    }
}

fn atlas(options: &Options) -> Result<Option<Atlas>> {
    let Some(path) = options.text("atlas") else {
        for name in ["strategy", "background_label"] {
            if options.0.contains_key(name) {
                return plan_err!("read_bold: {name} is for parcels; give an atlas");
            }
        }
        return Ok(None);
    };
    let strategy = match options.text("strategy") {
        None => Strategy::Mean,
        Some(name) => named(Strategy::from_name(name))?,
    };
    Ok(Some(Atlas {
        path: path.to_owned(),
        strategy,
        background: options.integer("background_label").unwrap_or(0),
    }))
}

fn fwhm(options: &Options) -> Result<Option<[Option<f64>; 3]>> {
    let widths = match options.floats("smoothing_fwhm") {
        None => return Ok(None),
        Some([all]) => [*all; 3],
        Some([x, y, z]) => [*x, *y, *z],
        Some(other) => {
            return plan_err!(
                "read_bold: smoothing_fwhm is one width in millimetres, or one for each of x, y and z, \
                 not {} numbers",
                other.len()
            );
        }
    };
    if let Some(bad) = widths.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        return plan_err!("read_bold: smoothing_fwhm is {bad}; it must be 0 mm or more");
    }
    let any = widths.iter().any(|&width| width > 0.0);
    Ok(any.then_some(widths.map(Some)))
}

fn resampled(options: &Options, mask: &MaskChoice, atlas: bool) -> Result<Resampled> {
    let mut resampled = Resampled::default();
    for name in options.texts("resample").unwrap_or_default() {
        match name.as_str() {
            "mask" => resampled.mask = true,
            "atlas" => resampled.atlas = true,
            "bold" => resampled.bold = true,
            other => {
                return plan_err!(
                    "read_bold: cannot resample '{other}'; 'mask' and 'atlas' are resampled to the run, \
                     'bold' is the run, to the mask's grid or else the atlas'"
                );
            }
        }
    }
    let has_mask = !matches!(mask, MaskChoice::None);
    for (name, asked, given) in [
        ("mask", resampled.mask, has_mask),
        ("atlas", resampled.atlas, atlas),
        ("bold", resampled.bold, has_mask || atlas),
    ] {
        if asked && !given {
            return plan_err!("read_bold: resample => '{name}' needs a mask or an atlas");
        }
    }
    let has_grid = if has_mask {
        resampled.mask
    } else {
        resampled.atlas
    };
    if resampled.bold && has_grid {
        return plan_err!(
            "read_bold: the run cannot be resampled to what is resampled to the run; leave one out"
        );
    }
    if resampled.bold && matches!(mask, MaskChoice::Brain(BrainMask::Epi | BrainMask::Auto)) {
        return plan_err!(
            "read_bold: resample => 'bold' needs a grid to go to, and a mask computed from the run has \
             the run's own; give mask, or brain_mask => 'bids'"
        );
    }
    Ok(resampled)
}
