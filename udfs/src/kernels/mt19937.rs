//! The Mersenne Twister MT19937, seeded and read as NumPy's `RandomState(seed)` does.

const N: usize = 624;
const M: usize = 397;

/// The generator of Matsumoto and Nishimura (1998).
#[derive(Debug, Clone)]
pub struct Mt19937 {
    state: [u32; N],
    /// What the state gives, made for all of it at once.
    output: [u32; N],
    next: usize,
}

impl Mt19937 {
    /// Seeds with `init_genrand`, as `numpy.random.RandomState(seed)` for an integer.
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let previous = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = 1_812_433_253_u32
                .wrapping_mul(previous)
                .wrapping_add(i as u32);
        }
        Self {
            state,
            output: [0; N],
            next: N,
        }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let bits = self.output[self.next];
        self.next += 1;
        bits
    }

    /// The next double in [0, 1), of 53 random bits, as `RandomState.random_sample`.
    pub fn next_f64(&mut self) -> f64 {
        double([self.next_u32(), self.next_u32()])
    }

    /// Fills `out` with the next doubles: as many as the state has are made at once.
    pub fn fill(&mut self, mut out: &mut [f64]) {
        while !out.is_empty() {
            if self.next == N {
                self.twist();
            }
            let pairs = self.output[self.next..].as_chunks::<2>().0;
            let count = pairs.len().min(out.len());
            if count == 0 {
                // One is left, and its other half is in the next state.
                out[0] = self.next_f64();
                out = &mut out[1..];
                continue;
            }
            let (now, later) = out.split_at_mut(count);
            now.iter_mut()
                .zip(pairs)
                .for_each(|(out, pair)| *out = double(*pair));
            self.next += 2 * count;
            out = later;
        }
    }

    fn twist(&mut self) {
        let state = &mut self.state;
        for k in 0..N - M {
            state[k] = mixed(state[k], state[k + 1], state[k + M]);
        }
        for k in N - M..N - 1 {
            state[k] = mixed(state[k], state[k + 1], state[k + M - N]);
        }
        state[N - 1] = mixed(state[N - 1], state[0], state[M - 1]);
        for (output, state) in self.output.iter_mut().zip(state) {
            *output = tempered(*state);
        }
        self.next = 0;
    }
}

/// A double in [0, 1) of 53 random bits.
fn double([high, low]: [u32; 2]) -> f64 {
    // 27 and 26 bits fit into signed integers, which SIMD has conversions for.
    let high = f64::from((high >> 5) as i32);
    let low = f64::from((low >> 6) as i32);
    (high * 67_108_864.0 + low) * (1.0 / 9_007_199_254_740_992.0)
}

fn mixed(high: u32, low: u32, far: u32) -> u32 {
    let y = (high & 0x8000_0000) | (low & 0x7fff_ffff);
    far ^ (y >> 1) ^ ((y & 1).wrapping_neg() & 0x9908_b0df)
}

fn tempered(mut y: u32) -> u32 {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    y ^ (y >> 18)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_outputs() {
        // The reference implementation's default seed.
        let mut random = Mt19937::new(5489);
        assert_eq!(random.next_u32(), 3_499_211_612);
        // numpy.random.RandomState(0).random_sample()
        assert_eq!(Mt19937::new(0).next_f64(), 0.548_813_503_927_324_7);
    }

    #[test]
    fn filling_is_drawing_one_by_one() {
        for skipped in [0, 1, 2, 623] {
            let (mut filled, mut drawn) = (Mt19937::new(3), Mt19937::new(3));
            for _ in 0..skipped {
                assert_eq!(filled.next_u32(), drawn.next_u32());
            }
            for count in [0, 1, 7, 311, 312, 313, 1000, 5] {
                let mut numbers = vec![0.0; count];
                filled.fill(&mut numbers);
                assert!(numbers.iter().all(|&n| n == drawn.next_f64()));
            }
        }
    }
}
