//! All steps of cleaning a run, in nilearn's order.
//!
//! ```text
//! left-out TRs      butterworth: cut at the ends, spline inside; otherwise dropped here
//! detrend           data and confounds alike, so that what one step takes out
//! filter            no later step puts in again (Lindquist 2019)
//! left-out TRs      butterworth: dropped here
//! confounds         what they explain is projected out
//! standardize
//! ```
//!
//! What the steps do depends only on the TRs and the confounds, so a [`Cleaner`] is made
//! once for a run and then goes over the voxels.

use crate::kernels::design::cosine_drift;

use super::butterworth::{Band, Butterworth, ORDER};
use super::confounds::Projection;
use super::detrend::detrend;
use super::standardize::{Standardize, percent_change, zscore};
use super::timeline::Timeline;
use super::{LANES, Lanes, Sample, blocks_of, means};

/// A correlation above this with a drift says that a confound is such a drift itself.
const IS_A_DRIFT: f64 = 0.9;

/// How frequencies are filtered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter {
    /// Not at all.
    None,
    /// Forwards and backwards through a Butterworth filter of order 5.
    Butterworth(Band),
    /// Drifts slower than `high_pass` (Hz) are confounds.
    Cosine {
        /// The cutoff in Hz.
        high_pass: f64,
    },
}

/// What is done to a run. The default is nilearn's: detrend, then z-score.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Repetition time in seconds; matters only to filters.
    pub tr: f64,
    /// Whether mean and linear trend are taken out.
    pub detrend: bool,
    /// The scale of the result; None leaves it.
    pub standardize: Option<Standardize>,
    /// Whether confounds are z-scored first; otherwise their largest value becomes 1.
    pub standardize_confounds: bool,
    /// The filter.
    pub filter: Filter,
    /// Whether left-out TRs at the ends are interpolated for the Butterworth filter too,
    /// by the spline's end pieces; otherwise they are cut off.
    pub extrapolate: bool,
    /// Whether NaN and infinities count as 0.
    pub ensure_finite: bool,
    /// Whether to repeat what nilearn 0.14.1 does wrong with left-out TRs.
    pub as_nilearn: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tr: 1.0,
            detrend: true,
            standardize: Some(Standardize::ZscoreSample),
            standardize_confounds: true,
            filter: Filter::None,
            extrapolate: false,
            ensure_finite: false,
            as_nilearn: false,
        }
    }
}

/// The steps for one run.
#[derive(Clone, Debug)]
pub struct Cleaner {
    options: Options,
    timeline: Timeline,
    filter: Option<Butterworth>,
    projection: Option<Projection>,
}

/// Room for one block of voxels.
#[derive(Default)]
struct Work {
    /// The series with the filter's padding around it.
    rows: Vec<Lanes>,
    slopes: Vec<Lanes>,
}

impl Cleaner {
    /// The steps for a run of `keep.len()` TRs, of which those marked true are kept.
    /// `confounds` are columns of as many values; those at TRs that are not kept do not
    /// matter.
    ///
    /// # Errors
    /// No TR is kept; a cutoff that [`Band::checked`] refuses; too few TRs for the filter;
    /// confounds of another length, with NaN, or so many that nothing would be left.
    pub fn new(options: &Options, keep: &[bool], confounds: &[Vec<f64>]) -> Result<Self, String> {
        let filter = match options.filter {
            Filter::Butterworth(band) => Butterworth::new(ORDER, band, options.tr)?,
            _ => None,
        };
        let timeline = Timeline::new(options, keep, filter.is_some())?;
        if let Some(filter) = &filter
            && timeline.series.len() <= filter.padding()
        {
            return Err(format!(
                "{} TRs are too few for this filter, which needs more than {}; filter longer runs, or \
                 use filter => 'cosine'",
                timeline.series.len(),
                filter.padding()
            ));
        }
        let mut cleaner = Self {
            options: options.clone(),
            timeline,
            filter,
            projection: None,
        };
        let mut confounds = confounds.to_vec();
        cleaner.check_confounds(&confounds)?;
        if let Filter::Cosine { high_pass } = options.filter {
            confounds.extend(cleaner.drifts(high_pass, &confounds)?);
        }
        if !confounds.is_empty() && cleaner.timeline.kept.len() > 1 {
            cleaner.projection = Some(cleaner.project(&confounds)?);
        }
        Ok(cleaner)
    }

    /// Cleans a run. `rows` holds one row of `width` voxels a TR; at TRs that are not
    /// kept it may be None. `out` is `n_scans × width`, row-major; the rows of TRs that
    /// are not kept stay as they were.
    ///
    /// A voxel with NaN becomes NaN at all TRs (unless `ensure_finite`), and no other. With
    /// a scale, a voxel that is constant becomes 0. A single TR comes back unchanged.
    ///
    /// # Errors
    /// When a shape is not the one said here.
    pub fn clean<I: Sample, O: Sample>(
        &self,
        rows: &[Option<&[I]>],
        width: usize,
        out: &mut [O],
    ) -> Result<(), String> {
        let n = self.timeline.n_scans;
        if rows.len() != n || out.len() != n * width {
            return Err(format!(
                "the run has {n} TRs, but there are {} rows and room for {} values of {width} voxels",
                rows.len(),
                out.len()
            ));
        }
        for (&t, known) in self.timeline.series.iter().zip(&self.timeline.known) {
            match rows[t] {
                Some(row) if row.len() == width => {}
                _ if !known => {}
                Some(row) => {
                    return Err(format!(
                        "row {t} has {} voxels where the run has {width}",
                        row.len()
                    ));
                }
                // nilearn filters some of the TRs that were left out.
                None => return Err(format!("row {t} has no data, and they are needed")),
            }
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { self.run_avx2(rows, width, out) };
            return Ok(());
        }
        self.run(rows, width, out);
        Ok(())
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2<I: Sample, O: Sample>(&self, rows: &[Option<&[I]>], width: usize, out: &mut [O]) {
        self.run(rows, width, out);
    }

    #[inline(always)]
    fn run<I: Sample, O: Sample>(&self, rows: &[Option<&[I]>], width: usize, out: &mut [O]) {
        let work = &mut Work::default();
        let mean_is_lost = self.mean_is_lost(rows, width, work);
        for from in (0..width).step_by(LANES) {
            let constant = self.load(rows, from, work);
            let (x, before) = self.prepare(work);
            if let Some(projection) = &self.projection {
                projection.remove(x);
            }
            self.scale(x, &before, &constant, mean_is_lost);
            let lanes = LANES.min(width - from);
            for (&t, row) in self.timeline.kept.iter().zip(x.iter()) {
                let out = &mut out[t * width + from..][..lanes];
                for (out, value) in out.iter_mut().zip(row) {
                    *out = O::from_f64(*value);
                }
            }
        }
    }

    /// Reads [`LANES`] voxels, and says which are constant over the TRs that have data.
    #[inline(always)]
    fn load<I: Sample>(
        &self,
        rows: &[Option<&[I]>],
        from: usize,
        work: &mut Work,
    ) -> [bool; LANES] {
        let padding = self.padding();
        let series = &self.timeline.series;
        work.rows.resize(series.len() + 2 * padding, [0.0; LANES]);
        let mut first: Option<Lanes> = None;
        let mut constant = [true; LANES];
        for (position, (&t, known)) in series.iter().zip(&self.timeline.known).enumerate() {
            let (true, Some(row)) = (*known, rows[t]) else {
                continue;
            };
            let mut lanes = [0.0; LANES];
            let row = row.get(from..).unwrap_or_default();
            if let Some(row) = row.first_chunk::<LANES>() {
                for lane in 0..LANES {
                    lanes[lane] = row[lane].into();
                }
            } else {
                for (lane, value) in lanes.iter_mut().zip(row) {
                    *lane = (*value).into();
                }
            }
            if self.options.ensure_finite {
                for value in &mut lanes {
                    *value = if value.is_finite() { *value } else { 0.0 };
                }
            }
            let first = first.get_or_insert(lanes);
            for lane in 0..LANES {
                constant[lane] &= lanes[lane] == first[lane];
            }
            work.rows[padding + position] = lanes;
        }
        constant
    }

    /// The steps that data and confounds share. Gives the TRs that are kept, and the
    /// means before these steps.
    #[inline(always)]
    fn prepare<'w>(&self, work: &'w mut Work) -> (&'w mut [Lanes], Lanes) {
        let padding = self.padding();
        let end = work.rows.len() - padding;
        let series = &mut work.rows[padding..end];
        if let Some(spline) = &self.timeline.spline {
            spline.fill(series, &mut work.slopes);
        }
        let before = means(series);
        if self.options.detrend {
            detrend(series);
        }
        if let Some(filter) = &self.filter {
            filter.filter(&mut work.rows);
        }
        // Positions ascend, so nothing is overwritten before it is read.
        let positions = &self.timeline.positions;
        if padding > 0 || positions.len() < self.timeline.series.len() {
            for (i, position) in positions.iter().enumerate() {
                work.rows[i] = work.rows[padding + position];
            }
        }
        (&mut work.rows[..positions.len()], before)
    }

    #[inline(always)]
    fn scale(
        &self,
        x: &mut [Lanes],
        before: &Lanes,
        constant: &[bool; LANES],
        mean_is_lost: Option<bool>,
    ) {
        let Some(standardize) = self.options.standardize else {
            return;
        };
        if x.len() < 2 {
            return;
        }
        match standardize {
            Standardize::ZscoreSample => zscore(x),
            Standardize::PercentSignalChange => {
                let after = means(x);
                let lost: Lanes = std::array::from_fn(|lane| {
                    let lost = mean_is_lost.unwrap_or(after[lane].abs() / before[lane].abs() < 0.1);
                    if lost { before[lane] } else { 0.0 }
                });
                for row in x.iter_mut() {
                    for lane in 0..LANES {
                        row[lane] += lost[lane];
                    }
                }
                percent_change(x);
            }
        }
        if constant.iter().any(|constant| *constant) {
            for row in x {
                for lane in 0..LANES {
                    row[lane] = if constant[lane] { 0.0 } else { row[lane] };
                }
            }
        }
    }

    /// For per cent of the mean, nilearn asks once for all voxels whether the steps took
    /// the mean away. Here each voxel is asked by itself, unless nilearn's way is wanted.
    #[inline(always)]
    fn mean_is_lost<I: Sample>(
        &self,
        rows: &[Option<&[I]>],
        width: usize,
        work: &mut Work,
    ) -> Option<bool> {
        let percent = self.options.standardize == Some(Standardize::PercentSignalChange);
        if !(percent && self.options.as_nilearn) {
            return None;
        }
        let (mut sum_before, mut sum_after) = (0.0, 0.0);
        for from in (0..width).step_by(LANES) {
            self.load(rows, from, work);
            let (x, before) = self.prepare(work);
            if let Some(projection) = &self.projection {
                projection.remove(x);
            }
            let after = means(x);
            for lane in 0..LANES.min(width - from) {
                sum_before += before[lane].abs();
                sum_after += after[lane].abs();
            }
        }
        Some(sum_after / sum_before < 0.1)
    }

    fn padding(&self) -> usize {
        self.filter.as_ref().map_or(0, Butterworth::padding)
    }

    fn check_confounds(&self, confounds: &[Vec<f64>]) -> Result<(), String> {
        let timeline = &self.timeline;
        for (i, confound) in confounds.iter().enumerate() {
            if confound.len() != timeline.n_scans {
                return Err(format!(
                    "confound {} has {} values for {} TRs",
                    i + 1,
                    confound.len(),
                    timeline.n_scans
                ));
            }
            let mut used = timeline.series.iter().zip(&timeline.known);
            if used.any(|(&t, known)| *known && !confound[t].is_finite()) {
                return Err(format!("confound {} is not finite at every TR", i + 1));
            }
        }
        Ok(())
    }

    /// The cosines, made on the full length; none where a given confound is one already.
    fn drifts(&self, high_pass: f64, confounds: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, String> {
        Band {
            high_pass: Some(high_pass),
            low_pass: None,
        }
        .checked(self.options.tr)?;
        let n = self.timeline.n_scans;
        let drifts = cosine_drift(n, high_pass, self.options.tr)?;
        // nilearn compares at all TRs, those left out as well.
        let all: Vec<usize> = (0..n).collect();
        let compared = if self.options.as_nilearn {
            &all
        } else {
            &self.timeline.kept
        };
        let given = confounds.iter().any(|confound| {
            drifts
                .iter()
                .any(|drift| correlation(drift, confound, compared) > IS_A_DRIFT)
        });
        Ok(if given { Vec::new() } else { drifts })
    }

    /// Takes the confounds through the steps of the data, and makes their projection.
    fn project(&self, confounds: &[Vec<f64>]) -> Result<Projection, String> {
        let kept = self.timeline.kept.len();
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(confounds.len());
        let mut work = Work::default();
        for (block, confounds) in blocks_of(confounds).iter().zip(confounds.chunks(LANES)) {
            let rows: Vec<Option<&[f64]>> = block.iter().map(|row| Some(&row[..])).collect();
            let constant = self.load(&rows, 0, &mut work);
            let (x, _) = self.prepare(&mut work);
            if self.options.standardize_confounds {
                zscore(x);
            }
            for lane in 0..confounds.len() {
                let mut column: Vec<f64> = x.iter().map(|row| row[lane]).collect();
                if !self.options.standardize_confounds {
                    let largest = column.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                    if largest > 0.0 {
                        column.iter_mut().for_each(|x| *x /= largest);
                    }
                } else if constant[lane] {
                    column.fill(0.0);
                }
                columns.push(column);
            }
        }
        let projection = Projection::new(&columns);
        let taken = match (self.options.detrend, self.options.standardize_confounds) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        if projection.rank() > 0 && projection.rank() + taken >= kept {
            return Err(format!(
                "{} confounds explain all that {kept} TRs can hold, and nothing would be left; use \
                 fewer, or a lower high_pass with filter => 'cosine'",
                columns.len()
            ));
        }
        Ok(projection)
    }
}

/// Pearson's correlation at the given TRs; NaN where one of the two is constant.
fn correlation(a: &[f64], b: &[f64], at: &[usize]) -> f64 {
    let mean = |x: &[f64]| at.iter().map(|&t| x[t]).sum::<f64>() / at.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        at.iter()
            .map(|&t| term(a[t] - mean_a, b[t] - mean_b))
            .sum::<f64>()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}
