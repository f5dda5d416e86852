//! Random subjects, signs and orders, drawn as NumPy's `RandomState` does, so that a seed gives
//! BrainIAK's resamples.

use crate::kernels::mt19937::Mt19937;

/// One generator a resample: each is seeded by the one before.
pub struct Draws {
    seed: u32,
}

impl Draws {
    /// The first resample is drawn with `RandomState(seed)`.
    pub fn new(seed: u32) -> Self {
        Self { seed }
    }

    /// Draws the next resample.
    pub fn next<R>(&mut self, draw: impl FnOnce(&mut Mt19937) -> R) -> R {
        let mut random = Mt19937::new(self.seed);
        let drawn = draw(&mut random);
        self.seed = up_to(&mut random, u32::MAX - 1);
        drawn
    }
}

/// `n` of `0..n`, with replacement: `RandomState.choice(n, size=n)`.
pub fn sample(random: &mut Mt19937, n: usize) -> Vec<usize> {
    let most = n.saturating_sub(1) as u32;
    (0..n).map(|_| up_to(random, most) as usize).collect()
}

/// `n` times −1 or 1: `RandomState.choice([-1, 1], size=n)`.
pub fn signs(random: &mut Mt19937, n: usize) -> Vec<f64> {
    (0..n)
        .map(|_| [-1.0, 1.0][up_to(random, 1) as usize])
        .collect()
}

/// `0..n` in a random order: `RandomState.permutation(n)`.
pub fn permutation(random: &mut Mt19937, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, up_to(random, i as u32) as usize);
    }
    order
}

/// A whole number from 0 to `most`: the low bits of a draw, drawn again while they are too large.
fn up_to(random: &mut Mt19937, most: u32) -> u32 {
    if most == 0 {
        return 0;
    }
    let mask = u32::MAX >> most.leading_zeros();
    loop {
        let value = random.next_u32() & mask;
        if value <= most {
            return value;
        }
    }
}
