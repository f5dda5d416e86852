//! One number a parcel and volume: nilearn's `img_to_signals_labels`, whose strategies are
//! those of `scipy.ndimage`.

use super::finite;
use crate::kernels::signal::Sample;

/// Whole numbers beyond this are not all floats.
const MAX_LABEL: f64 = 9_007_199_254_740_992.0;

/// What is computed of a parcel's voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Mean,
    Sum,
    /// Of an even number, the mean of the two in the middle.
    Median,
    Minimum,
    Maximum,
    /// Divided by the number of voxels (ddof 0).
    Variance,
    /// The square root of that.
    StandardDeviation,
}

impl Strategy {
    /// In the order in which people read them.
    pub const ALL: [Strategy; 7] = [
        Strategy::Mean,
        Strategy::Median,
        Strategy::Sum,
        Strategy::Minimum,
        Strategy::Maximum,
        Strategy::StandardDeviation,
        Strategy::Variance,
    ];

    /// nilearn's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Mean => "mean",
            Strategy::Sum => "sum",
            Strategy::Median => "median",
            Strategy::Minimum => "minimum",
            Strategy::Maximum => "maximum",
            Strategy::Variance => "variance",
            Strategy::StandardDeviation => "standard_deviation",
        }
    }

    /// Errors for a name that is none, with those there are.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            format!(
                "there is no strategy '{name}'; there are {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

/// Which voxels belong to which parcel.
#[derive(Clone, Debug)]
pub struct Parcels {
    /// Labels, ascending, without the background.
    pub labels: Vec<i64>,
    /// The voxels of each parcel, one parcel after the other, each in the order of the row.
    voxels: Vec<u32>,
    /// Where each parcel starts in `voxels`, and the end.
    starts: Vec<usize>,
    /// How many voxels a row has.
    width: usize,
    buffer: Vec<f64>,
}

impl Parcels {
    /// `labels` are the labels of the voxels of a row, in the row's order (all voxels, or those
    /// inside a mask). Voxels labelled `background` (usually 0) belong to no parcel; NaN and
    /// the infinities count as 0. A label without a voxel here makes no parcel.
    ///
    /// Errors for labels that are not whole numbers, for more than 2³² voxels, and if only
    /// background is there.
    pub fn new<T: Sample>(labels: &[T], background: i64) -> Result<Self, String> {
        if u32::try_from(labels.len()).is_err() {
            return Err(format!("{} voxels are too many", labels.len()));
        }
        let mut of_parcels = Vec::new();
        for (voxel, label) in labels.iter().enumerate() {
            let label: f64 = finite(*label).into();
            if label.fract() != 0.0 || label.abs() > MAX_LABEL {
                return Err(format!(
                    "labels must be whole numbers, not {label}; is this an atlas of probabilities? \
                     Resampled labels need interpolation => 'nearest'"
                ));
            }
            if label as i64 != background {
                of_parcels.push((label as i64, voxel as u32));
            }
        }
        if of_parcels.is_empty() {
            return Err(format!(
                "no label is left beside the background ({background}) in {} voxels",
                labels.len()
            ));
        }
        of_parcels.sort_unstable();
        let mut parcels = Self {
            labels: Vec::new(),
            voxels: Vec::with_capacity(of_parcels.len()),
            starts: Vec::new(),
            width: labels.len(),
            buffer: Vec::new(),
        };
        for (label, voxel) in of_parcels {
            if parcels.labels.last() != Some(&label) {
                parcels.labels.push(label);
                parcels.starts.push(parcels.voxels.len());
            }
            parcels.voxels.push(voxel);
        }
        parcels.starts.push(parcels.voxels.len());
        Ok(parcels)
    }

    /// How many voxels each parcel has, in the order of the labels.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.starts.windows(2).map(|bounds| bounds[1] - bounds[0])
    }

    /// Appends one value per label for the values of a row; those that are not finite count
    /// as 0, as in nilearn.
    ///
    /// # Panics
    ///
    /// If `row` has not one value per label given to [`Parcels::new`].
    pub fn reduce<T: Sample>(&mut self, strategy: Strategy, row: &[T], out: &mut Vec<T>) {
        assert_eq!(row.len(), self.width, "the row's voxels");
        let buffer = &mut self.buffer;
        for bounds in self.starts.windows(2) {
            let voxels = &self.voxels[bounds[0]..bounds[1]];
            let values = voxels
                .iter()
                .map(|voxel| -> f64 { finite(row[*voxel as usize]).into() });
            let n = voxels.len() as f64;
            let value = match strategy {
                Strategy::Sum => values.sum(),
                Strategy::Mean => values.sum::<f64>() / n,
                Strategy::Minimum => values.fold(f64::INFINITY, f64::min),
                Strategy::Maximum => values.fold(f64::NEG_INFINITY, f64::max),
                Strategy::Median => {
                    buffer.clear();
                    buffer.extend(values);
                    median(buffer)
                }
                Strategy::Variance => variance(values, n),
                Strategy::StandardDeviation => variance(values, n).sqrt(),
            };
            out.push(T::from_f64(value));
        }
    }
}

/// Around the mean, so that a large mean costs no digits.
fn variance(values: impl Iterator<Item = f64> + Clone, n: f64) -> f64 {
    let mean = values.clone().sum::<f64>() / n;
    values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
}

/// `values` has at least one, and none is NaN.
fn median(values: &mut [f64]) -> f64 {
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if odd {
        return *upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lower + *upper) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(strategy: Strategy, row: &[f64]) -> Vec<f64> {
        let mut parcels = Parcels::new(&[7.0, 0.0, -2.0, 7.0, 7.0, 7.0], 0).unwrap();
        let mut out = vec![];
        parcels.reduce(strategy, row, &mut out);
        out
    }

    #[test]
    fn one_value_per_label_in_ascending_order() {
        let row = [1.0, 100.0, 5.0, 4.0, 2.0, 9.0];
        for (strategy, want) in [
            (Strategy::Mean, [5.0, 4.0]),
            (Strategy::Sum, [5.0, 16.0]),
            (Strategy::Median, [5.0, 3.0]),
            (Strategy::Minimum, [5.0, 1.0]),
            (Strategy::Maximum, [5.0, 9.0]),
            (Strategy::Variance, [0.0, 9.5]),
            (Strategy::StandardDeviation, [0.0, 9.5f64.sqrt()]),
        ] {
            assert_eq!(reduce(strategy, &row), want, "{strategy:?}");
            assert_eq!(Strategy::from_name(strategy.name()), Ok(strategy));
        }
    }

    #[test]
    fn values_that_are_not_finite_count_as_zero() {
        let row = [f64::NAN, 0.0, f64::INFINITY, 4.0, 2.0, 6.0];
        assert_eq!(reduce(Strategy::Mean, &row), [0.0, 3.0]);
        assert_eq!(reduce(Strategy::Minimum, &row), [0.0, 0.0]);
    }

    #[test]
    fn the_median_of_an_odd_number_is_one_of_them() {
        let mut parcels = Parcels::new(&[1.0f32, 1.0, 1.0], 0).unwrap();
        let mut out = vec![];
        parcels.reduce(Strategy::Median, &[3.0f32, -1.0, 2.0], &mut out);
        assert_eq!(out, [2.0]);
    }

    #[test]
    fn labels_may_be_anything_whole() {
        let parcels = Parcels::new(&[3.0f32, f32::NAN, 0.0, 3.0, 1.0], 1).unwrap();
        assert_eq!(parcels.labels, [0, 3]);
        assert_eq!(parcels.sizes().collect::<Vec<_>>(), [2, 2]);
        let message = Parcels::new(&[1.0, 0.25], 0).unwrap_err();
        assert!(message.contains("0.25"), "{message}");
        let message = Parcels::new(&[0.0, 0.0], 0).unwrap_err();
        assert!(message.contains("no label is left"), "{message}");
        assert!(Parcels::new(&[1e300], 0).is_err());
        let message = Strategy::from_name("average").unwrap_err();
        assert!(message.contains("mean, median, sum"), "{message}");
    }
}
