//! The metrics by which vectors are compared: their names, and the exact distance of two vectors.
//!
//! Smaller is nearer in all of them; the inner product is negated to that end, as in pgvector's `<#>`.
//! Sums are kept in Float64, whatever the elements are.

use std::fmt;

use super::dot::{cosine, dot, euclidean, norm, sum};

/// How far two vectors of one width are from one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// `1 - cos(a, b)`, from 0 to 2. A zero vector is at distance 1 from everything, as in scikit-learn.
    Cosine,
    /// The Euclidean distance.
    L2,
    /// The square of the Euclidean distance.
    SquaredL2,
    /// The sum of absolute differences.
    L1,
    /// The cosine distance of the vectors less their means, `1 - r`. A vector whose elements are all
    /// equal is at distance 1 from everything.
    Correlation,
    /// `-a·b`, from the largest product to the smallest.
    InnerProduct,
}

/// How vectors may be changed once so that products alone compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// They stay as they are.
    None,
    /// They are divided by their norms; zero vectors stay.
    Normalise,
    /// Their means are subtracted, and they are divided by their norms.
    CentreAndNormalise,
}

impl Metric {
    pub const ALL: [Self; 6] = [
        Self::Cosine,
        Self::L2,
        Self::SquaredL2,
        Self::L1,
        Self::Correlation,
        Self::InnerProduct,
    ];

    /// The name in SQL, plans and files.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// The name and what others call it.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Cosine => &["cosine"],
            Self::L2 => &["l2", "euclidean"],
            Self::SquaredL2 => &["sqeuclidean", "l2_squared"],
            Self::L1 => &["l1", "manhattan", "cityblock"],
            Self::Correlation => &["correlation"],
            Self::InnerProduct => &["inner_product", "ip", "dot_product"],
        }
    }

    /// The metric of one of these names, in capitals or not.
    ///
    /// # Errors
    /// List the names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = text.to_ascii_lowercase();
        let known = |metric: &Self| metric.names().contains(&wanted.as_str());
        Self::ALL.into_iter().find(known).ok_or_else(|| {
            let names: Vec<String> = Self::ALL
                .iter()
                .map(|metric| match metric.names() {
                    [name, other, ..] => format!("'{name}' ('{other}')"),
                    names => format!("'{}'", names.join("', '")),
                })
                .collect();
            format!("metric must be one of {}, not '{text}'", names.join(", "))
        })
    }

    /// What makes products of vectors enough for this metric. Of L2 and L1 nothing does.
    pub fn preparation(self) -> Preparation {
        match self {
            Self::Cosine => Preparation::Normalise,
            Self::Correlation => Preparation::CentreAndNormalise,
            Self::L2 | Self::SquaredL2 | Self::L1 | Self::InnerProduct => Preparation::None,
        }
    }

    /// The distance of `a` and `b`, which have one length. NaN where an element is NaN.
    pub fn distance<A, B>(self, a: &[A], b: &[B]) -> f64
    where
        A: Copy + Into<f64>,
        B: Copy + Into<f64>,
    {
        self.distance_to(a, b, &Measure::of(self, b))
    }

    /// The same, of a `b` that was measured for this metric before.
    pub fn distance_to<A, B>(self, a: &[A], b: &[B], of_b: &Measure) -> f64
    where
        A: Copy + Into<f64>,
        B: Copy + Into<f64>,
    {
        match self {
            Self::Cosine => cosine(dot(a, b), norm(a), of_b.norm),
            Self::L2 => euclidean(a, b),
            Self::SquaredL2 => sum(a, b, |a, b| (a - b) * (a - b)),
            Self::L1 => sum(a, b, |a, b| (a - b).abs()),
            Self::Correlation => {
                let of_a = Measure::of(self, a);
                let product = sum(a, b, |a, b| (a - of_a.mean) * (b - of_b.mean));
                cosine(product, of_a.norm, of_b.norm)
            }
            // Not -0 of vectors at right angles.
            Self::InnerProduct => 0.0 - dot(a, b),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a metric needs of one vector alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measure {
    /// The mean of the elements; 0 but for correlation.
    pub mean: f64,
    /// The L2 norm of the vector less its mean; 0 for the metrics without norms.
    pub norm: f64,
}

impl Measure {
    pub fn of<A: Copy + Into<f64>>(metric: Metric, a: &[A]) -> Self {
        match metric.preparation() {
            Preparation::None => Self::default(),
            Preparation::Normalise => Self {
                mean: 0.0,
                norm: norm(a),
            },
            Preparation::CentreAndNormalise => {
                let mean = mean(a);
                let norm = sum(a, a, |a, b| (a - mean) * (b - mean)).sqrt();
                Self { mean, norm }
            }
        }
    }
}

/// The mean, exactly the element where all are equal: what is left of a constant vector is exactly zero.
fn mean<A: Copy + Into<f64>>(a: &[A]) -> f64 {
    let Some(&first) = a.first() else {
        return 0.0;
    };
    let first = first.into();
    first + sum(a, a, |a, _| a - first) / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for metric in Metric::ALL {
            for name in metric.names() {
                assert_eq!(Metric::parse(&name.to_uppercase()), Ok(metric));
            }
        }
        let error = Metric::parse("angular").unwrap_err();
        assert!(
            error.contains("'cosine', 'l2' ('euclidean')") && error.ends_with("not 'angular'"),
            "{error}"
        );
    }

    #[test]
    fn distances() {
        let (a, b) = ([1.0f32, 2.0, 4.0], [3.0f64, 2.0, 1.0]);
        let near = |metric: Metric, wanted: f64| {
            let got = metric.distance(&a, &b);
            assert!(
                (got - wanted).abs() < 1e-12,
                "{metric}: {got}, not {wanted}"
            );
        };
        near(Metric::Cosine, 1.0 - 11.0 / 21f64.sqrt() / 14f64.sqrt());
        near(Metric::L2, 13f64.sqrt());
        near(Metric::SquaredL2, 13.0);
        near(Metric::L1, 5.0);
        near(Metric::InnerProduct, -11.0);
        // Less their means: (-4, -1, 5) / 3 and (1, 0, -1).
        near(
            Metric::Correlation,
            1.0 + 3.0 / (42f64 / 9.0).sqrt() / 2f64.sqrt(),
        );
    }

    #[test]
    fn zero_constant_and_nan() {
        let (zero, one) = ([0.0, 0.0], [3.0, 1.0]);
        assert_eq!(Metric::Cosine.distance(&zero, &one), 1.0);
        assert_eq!(Metric::Cosine.distance(&zero, &zero), 1.0);
        let constant = [0.1f64; 7];
        let other = [0.3, 0.1, 0.9, 0.2, 0.2, 0.7, 0.5];
        assert_eq!(Metric::Correlation.distance(&constant, &other), 1.0);
        assert_eq!(Metric::Correlation.distance(&other, &constant), 1.0);
        for metric in Metric::ALL {
            assert!(metric.distance(&[f64::NAN, 0.0], &one).is_nan(), "{metric}");
            assert!(
                metric.distance(&zero, &[1.0, f64::NAN]).is_nan(),
                "{metric}"
            );
            assert!(!metric.distance::<f32, f32>(&[], &[]).is_nan(), "{metric}");
        }
        let product = Metric::InnerProduct.distance(&[1.0, 0.0], &[0.0, 1.0]);
        assert!(product == 0.0 && product.is_sign_positive());
    }
}
