//! From one vector per token to one vector per text.

/// How a sentence-transformers model makes one vector of a text's token vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The vector of the first token.
    Cls,
    /// The mean over the tokens, those that the tokenizer adds (CLS, SEP) included.
    Mean,
    /// The sum over the tokens divided by the square root of their number.
    MeanSqrtLen,
    /// The largest value of each dimension.
    Max,
}

impl Pooling {
    /// Pools `tokens`, rows of `out.len()` values without padding, into `out`. No
    /// tokens give zeros.
    pub fn pool(self, tokens: &[f32], out: &mut [f32]) {
        let width = out.len();
        let rows = || tokens.chunks_exact(width);
        let count = rows().len();
        if count == 0 {
            out.fill(0.0);
            return;
        }
        match self {
            Pooling::Cls => out.copy_from_slice(&tokens[..width]),
            Pooling::Max => {
                out.fill(f32::NEG_INFINITY);
                for row in rows() {
                    out.iter_mut().zip(row).for_each(|(o, v)| *o = o.max(*v));
                }
            }
            Pooling::Mean => sum(rows(), count as f32, out),
            Pooling::MeanSqrtLen => sum(rows(), (count as f32).sqrt(), out),
        }
    }
}

fn sum<'a>(rows: impl Iterator<Item = &'a [f32]>, divisor: f32, out: &mut [f32]) {
    out.fill(0.0);
    for row in rows {
        out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
    }
    out.iter_mut().for_each(|o| *o /= divisor);
}

/// Scales `vector` to length 1. A vector of zeros stays as it is.
pub fn normalize(vector: &mut [f32]) {
    let squares: f64 = vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    let length = squares.sqrt();
    if length > 1e-12 {
        vector
            .iter_mut()
            .for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [f32; 6] = [1.0, -2.0, 3.0, 0.0, 2.0, 5.0];

    #[test]
    fn pools_three_tokens_of_two_values() {
        let pooled = |pooling: Pooling| {
            let mut out = [f32::NAN; 2];
            pooling.pool(&TOKENS, &mut out);
            out
        };
        assert_eq!(pooled(Pooling::Cls), [1.0, -2.0]);
        assert_eq!(pooled(Pooling::Mean), [2.0, 1.0]);
        assert_eq!(pooled(Pooling::Max), [3.0, 5.0]);
        let root = 3f32.sqrt();
        assert_eq!(pooled(Pooling::MeanSqrtLen), [6.0 / root, 3.0 / root]);
    }

    #[test]
    fn no_tokens_give_zeros() {
        let mut out = [f32::NAN; 2];
        Pooling::Max.pool(&[], &mut out);
        assert_eq!(out, [0.0; 2]);
    }

    #[test]
    fn normalized_vectors_have_length_one() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0; 3];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 3]);
    }
}
