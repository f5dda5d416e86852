//! The subjects' responses in the shared space, as the iterations go.

use faer::{Mat, MatRef};

use super::moments::{Factor, Moments};
use super::polar::{Step, from_factor, from_moments};
use super::{Data, Polar};

/// Each subject's `Wᵀx` as the iterations go.
pub struct Responses<'a> {
    data: &'a Data<'a>,
    subjects: &'a [Moments],
    /// Of the subjects whose moments did not suffice.
    factors: Vec<Option<Factor>>,
    pub now: Vec<Mat<f64>>,
    pub polar: Vec<Polar>,
}

impl<'a> Responses<'a> {
    /// Those of the random starts.
    pub fn new(data: &'a Data<'a>, subjects: &'a [Moments]) -> Self {
        Self {
            data,
            subjects,
            factors: subjects.iter().map(|_| None).collect(),
            now: subjects.iter().map(|s| s.start.clone()).collect(),
            polar: Vec::new(),
        }
    }

    /// Those of the maps that follow from the shared response `s`.
    pub fn update(&mut self, s: MatRef<'_, f64>) -> Result<(), String> {
        let factors = &self.factors;
        let steps = self.data.each(|i| {
            let subject = &self.subjects[i];
            if let Some(factor) = &factors[i] {
                return Ok((from_factor(&subject.name, factor, s)?, None));
            }
            if let Some(step) = from_moments(subject, s)? {
                return Ok((step, None));
            }
            let factor = Factor::read(self.data, i, s.nrows(), &subject.mean)?;
            Ok((from_factor(&subject.name, &factor, s)?, Some(factor)))
        })?;
        self.polar.clear();
        for (i, step) in steps.into_iter().enumerate() {
            let (Step { polar, response }, factor) = step;
            self.now[i] = response;
            self.polar.push(polar);
            if factor.is_some() {
                self.factors[i] = factor;
            }
        }
        Ok(())
    }
}
