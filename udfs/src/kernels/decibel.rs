//! Power and amplitude in decibels, as `librosa.power_to_db` and `amplitude_to_db`.

/// What counts as 0 dB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reference {
    /// This power; its absolute value is taken.
    Level(f64),
    /// The largest of the values given.
    Max,
    /// Their median.
    Median,
}

/// How powers become decibels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decibels {
    pub reference: Reference,
    /// Smaller powers, and a smaller reference, are raised to this.
    pub amin: f64,
    /// No value is further below the largest of those given than this.
    pub top_db: Option<f64>,
}

impl Decibels {
    /// # Errors
    /// A sentence that names the option, its value and what it may be.
    pub fn validate(&self) -> Result<(), String> {
        if !(self.amin.is_finite() && self.amin > 0.0) {
            return Err(format!("amin must be above 0, not {}", self.amin));
        }
        match self.top_db {
            Some(top_db) if top_db.is_nan() || top_db < 0.0 => {
                return Err(format!("top_db must be 0 or more, not {top_db}"));
            }
            _ => (),
        }
        match self.reference {
            Reference::Level(level) if !level.is_finite() => {
                Err(format!("ref must be a finite number, not {level}"))
            }
            _ => Ok(()),
        }
    }

    /// Turns powers into decibels, all of them together: the reference and the clipping
    /// look at their largest. NaN stays NaN and does not count.
    ///
    /// `10 log10(max(amin, S)) - 10 log10(max(amin, |ref|))`
    pub fn convert(&self, powers: &mut [f64]) {
        let decibels = |power: f64| 10.0 * power.max(self.amin).log10();
        let zero = decibels(self.level(powers));
        for power in powers.iter_mut().filter(|p| !p.is_nan()) {
            *power = decibels(*power) - zero;
        }
        if let Some(top_db) = self.top_db {
            let floor = largest(powers) - top_db;
            for value in powers.iter_mut().filter(|p| !p.is_nan()) {
                *value = value.max(floor);
            }
        }
    }

    /// The same of amplitudes: the decibels of their squares, `ref` and `amin` being amplitudes too.
    pub fn convert_amplitudes(&self, amplitudes: &mut [f64]) {
        let level = self.level(amplitudes);
        for x in amplitudes.iter_mut() {
            *x *= *x;
        }
        let squared = Self {
            reference: Reference::Level(level * level),
            amin: self.amin * self.amin,
            top_db: self.top_db,
        };
        squared.convert(amplitudes);
    }

    /// What counts as 0 dB among `values`.
    fn level(&self, values: &[f64]) -> f64 {
        match self.reference {
            Reference::Level(level) => level.abs(),
            Reference::Max => largest(values).abs(),
            Reference::Median => median(values).abs(),
        }
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// The median of the values that are not NaN: of an even number of them the mean of the
/// two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        _ => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Decibels = Decibels {
        reference: Reference::Level(1.0),
        amin: 1e-10,
        top_db: Some(80.0),
    };

    fn convert(decibels: Decibels, powers: &[f64]) -> Vec<f64> {
        let mut values = powers.to_vec();
        decibels.convert(&mut values);
        values
    }

    #[test]
    fn tens() {
        assert_eq!(convert(DEFAULT, &[1.0, 100.0, 0.0]), [0.0, 20.0, -60.0]);
        let open = Decibels {
            top_db: None,
            ..DEFAULT
        };
        assert_eq!(convert(open, &[1.0, 0.0, -3.0]), [0.0, -100.0, -100.0]);
        let max = Decibels {
            reference: Reference::Max,
            ..DEFAULT
        };
        assert_eq!(convert(max, &[1.0, 100.0]), [-20.0, 0.0]);
        let median = Decibels {
            reference: Reference::Median,
            ..DEFAULT
        };
        assert_eq!(convert(median, &[0.0, 10.0, 1000.0])[1], 0.0);
        assert_eq!(median.reference, Reference::Median);
    }

    #[test]
    fn twenties() {
        let amplitude = Decibels {
            amin: 1e-5,
            ..DEFAULT
        };
        let mut values = [1.0, -10.0, 0.0];
        amplitude.convert_amplitudes(&mut values);
        assert_eq!(values, [0.0, 20.0, -60.0]);
        // The median of the amplitudes 1 and 3 is 2, whose square is not that of 1 and 9.
        let median = Decibels {
            reference: Reference::Median,
            ..amplitude
        };
        let mut values = [1.0, 3.0];
        median.convert_amplitudes(&mut values);
        assert!((values[0] + 20.0 * 2f64.log10()).abs() < 1e-12);
    }

    #[test]
    fn missing_values_do_not_count() {
        let max = Decibels {
            reference: Reference::Max,
            ..DEFAULT
        };
        let values = convert(max, &[f64::NAN, 10.0, 1.0]);
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [0.0, -10.0]);
        assert!(convert(max, &[f64::NAN])[0].is_nan());
        assert!(convert(max, &[]).is_empty());
    }

    #[test]
    fn options_that_make_no_sense() {
        for (bad, name) in [
            (
                Decibels {
                    amin: 0.0,
                    ..DEFAULT
                },
                "amin",
            ),
            (
                Decibels {
                    amin: f64::NAN,
                    ..DEFAULT
                },
                "amin",
            ),
            (
                Decibels {
                    top_db: Some(-1.0),
                    ..DEFAULT
                },
                "top_db",
            ),
            (
                Decibels {
                    reference: Reference::Level(f64::NAN),
                    ..DEFAULT
                },
                "ref",
            ),
        ] {
            assert!(bad.validate().unwrap_err().contains(name));
        }
        assert!(DEFAULT.validate().is_ok());
    }
}
