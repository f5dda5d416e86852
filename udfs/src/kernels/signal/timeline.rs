//! Which TRs of a run are filtered, which are interpolated, and which have a result.

use super::clean::Options;
use super::spline::Spline;

/// Which TRs take part.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    /// The number of TRs of the run.
    pub n_scans: usize,
    /// The TRs that have a result.
    pub kept: Vec<usize>,
    /// The TRs that are filtered.
    pub series: Vec<usize>,
    /// Which of them hold data; the others are interpolated.
    pub known: Vec<bool>,
    pub spline: Option<Spline>,
    /// Per TR of `kept`, the position in `series` where its result stands.
    pub positions: Vec<usize>,
}

impl Timeline {
    /// The TRs of a run with those marked in `keep`; `filtered` by a filter that must see
    /// values at even distances.
    ///
    /// # Errors
    /// When no TR is kept, or too few to interpolate the others.
    pub fn new(options: &Options, keep: &[bool], filtered: bool) -> Result<Self, String> {
        let n_scans = keep.len();
        let kept: Vec<usize> = (0..n_scans).filter(|t| keep[*t]).collect();
        let (Some(&first), Some(&last)) = (kept.first(), kept.last()) else {
            return Err("no TR is left; every one is masked out, or NULL".into());
        };
        if !filtered || kept.len() == n_scans {
            return Ok(Self {
                n_scans,
                known: vec![true; kept.len()],
                positions: (0..kept.len()).collect(),
                series: kept.clone(),
                kept,
                spline: None,
            });
        }

        let inside = |t: usize| options.extrapolate || (first < t && t < last);
        // nilearn writes the spline's values to the mirror images of the TRs that are
        // kept. So a TR that is left out with its own mirror image goes into the filter
        // as it is, and at the ends it is not cut off.
        let reached = |t: usize| !options.as_nilearn || keep[n_scans - 1 - t];
        let series: Vec<usize> = (0..n_scans)
            .filter(|&t| keep[t] || inside(t) || !reached(t))
            .collect();
        let known: Vec<bool> = series.iter().map(|&t| keep[t] || !reached(t)).collect();
        let wanted: Vec<usize> = (0..series.len()).filter(|p| !known[*p]).collect();
        // Distances count in TRs, and a series has no holes between its first and last:
        // positions serve as times.
        let knots: Vec<usize> = (0..series.len()).filter(|p| keep[series[*p]]).collect();
        let positions = if options.as_nilearn && !options.extrapolate {
            // Counted from the first TR kept, whether or not those before it were cut.
            kept.iter().map(|t| t - first).collect()
        } else {
            knots.clone()
        };
        Ok(Self {
            n_scans,
            spline: Some(Spline::new(&knots, &wanted)?),
            kept,
            series,
            known,
            positions,
        })
    }
}
