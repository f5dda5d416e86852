//! Candidates for the gammas of banded ridge.

use crate::kernels::mt19937::Mt19937;

/// `count` points of the simplex of `spaces` coordinates that himalaya would try with
/// `random_state = seed`: the first has equal coordinates, the others are drawn in turn from
/// Dirichlet distributions of concentration 0.1 (nearly one space alone) and 1 (uniform).
pub fn candidates(count: usize, spaces: usize, seed: u32) -> Vec<Vec<f64>> {
    let mut random = Mt19937::new(seed);
    let half = count.div_ceil(2);
    let mut draw = |concentration: f64| -> Vec<Vec<f64>> {
        (0..half)
            .map(|_| dirichlet(&mut random, concentration, spaces))
            .collect()
    };
    let (sparse, uniform) = (draw(0.1), draw(1.0));
    let mut points: Vec<_> = sparse
        .into_iter()
        .zip(uniform)
        .flat_map(|(sparse, uniform)| [sparse, uniform])
        .take(count)
        .collect();
    if let Some(first) = points.first_mut() {
        *first = vec![1.0 / spaces as f64; spaces];
    }
    points
}

fn dirichlet(random: &mut Mt19937, concentration: f64, spaces: usize) -> Vec<f64> {
    loop {
        let draws: Vec<f64> = (0..spaces).map(|_| gamma(random, concentration)).collect();
        let inverse = 1.0 / draws.iter().sum::<f64>();
        // All draws may underflow to 0.
        if inverse.is_finite() {
            return draws.into_iter().map(|g| g * inverse).collect();
        }
    }
}

/// A Gamma(shape ≤ 1) variate, by Ahrens and Dieter's rejection as NumPy's `RandomState` does it.
fn gamma(random: &mut Mt19937, shape: f64) -> f64 {
    let exponential = |random: &mut Mt19937| -(1.0 - random.next_f64()).ln();
    if shape == 1.0 {
        return exponential(random);
    }
    loop {
        let u = random.next_f64();
        let v = exponential(random);
        if u <= 1.0 - shape {
            let x = u.powf(1.0 / shape);
            if x <= v {
                return x;
            }
        } else {
            let y = -((1.0 - u) / shape).ln();
            let x = (1.0 - shape + shape * y).powf(1.0 / shape);
            if x <= v + y {
                return x;
            }
        }
    }
}
