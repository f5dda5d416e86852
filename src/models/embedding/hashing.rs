//! The model `hashing`: a vector of a text's spelling, without any weights to load.
//!
//! It knows spelling and not meaning: texts are near that share words or parts of
//! words ("film", "films"); "film" and "movie" are as far apart as any two words. It
//! is there for trying things out where no model is at hand, and only by its name.
//!
//! The formula, so that vectors stay comparable for ever: a text is put in lower case
//! and cut into words at everything that is neither letter nor digit. A word of n
//! characters gives the feature `word` with weight 1 and, of `^word$`, its n
//! trigrams with weight 1/√n each. A feature's hash h is FNV-1a of 64 bits over its
//! UTF-8, followed by the finaliser of MurmurHash3; the weight is added to element
//! h mod 256, with a minus where the highest bit of h is 1. The sum is scaled to length 1. A
//! text without letters and digits gives zeros.

use super::pooling::normalize;

/// Elements of a vector.
pub const DIMENSION: usize = 256;

/// Stands for weights in the model's identity: changes when the formula does.
pub const FORMULA: &str = "hashing-1: words 1, trigrams 1/sqrt(n), fnv1a-64 fmix64, 256, l2";

/// Writes the vector of `text` into `out`, of [`DIMENSION`] elements, scaled to length 1 or not.
pub fn embed(text: &str, scaled: bool, out: &mut [f32]) {
    out.fill(0.0);
    let text = text.to_lowercase();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if word.is_empty() {
            continue;
        }
        add(word.as_bytes(), 1.0, out);
        let framed = format!("^{word}$");
        let starts: Vec<usize> = framed
            .char_indices()
            .map(|(at, _)| at)
            .chain([framed.len()])
            .collect();
        let trigrams = starts.windows(4);
        let weight = 1.0 / (trigrams.len() as f32).sqrt();
        for ends in trigrams {
            add(&framed.as_bytes()[ends[0]..ends[3]], weight, out);
        }
    }
    if scaled {
        normalize(out);
    }
}

fn add(feature: &[u8], weight: f32, out: &mut [f32]) {
    let h = hash(feature);
    let sign = if h >> 63 == 1 { -1.0 } else { 1.0 };
    out[(h % DIMENSION as u64) as usize] += sign * weight;
}

fn hash(bytes: &[u8]) -> u64 {
    let mut h = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, byte| {
        (h ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Without this the low bits, which choose the element, hardly depend on the
    // first bytes.
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(text: &str) -> Vec<f32> {
        let mut out = vec![f32::NAN; DIMENSION];
        embed(text, true, &mut out);
        out
    }

    fn cosine(a: &str, b: &str) -> f32 {
        vector(a).iter().zip(vector(b)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn the_formula_is_stable() {
        // FNV-1a of "a" is af63dc4c8601ec8c; the finaliser was worked out apart.
        assert_eq!(hash(b"a"), 0x82a2_a958_a9be_ce5b);
        let nonzero: Vec<usize> = (0..DIMENSION).filter(|i| vector("a")[*i] != 0.0).collect();
        assert_eq!(nonzero.len(), 2, "the word `a` and the trigram `^a$`");
    }

    #[test]
    fn vectors_have_length_one_or_are_zero() {
        let length = |text: &str| vector(text).iter().map(|v| v * v).sum::<f32>();
        assert!((length("The cat sat on the mat.") - 1.0).abs() < 1e-6);
        assert!((length("naïve 中文 🙂") - 1.0).abs() < 1e-6);
        assert_eq!(length(""), 0.0);
        assert_eq!(length(" …! "), 0.0);
    }

    #[test]
    fn without_scaling_repeated_words_count() {
        let mut twice = vec![0.0; DIMENSION];
        embed("cat cat", false, &mut twice);
        let mut once = vec![0.0; DIMENSION];
        embed("cat", false, &mut once);
        for (one, two) in once.iter().zip(&twice) {
            assert!((2.0 * one - two).abs() < 1e-6, "{one} {two}");
        }
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        assert_eq!(vector("The cat, sat!"), vector("the CAT sat"));
    }

    #[test]
    fn spelling_is_near_and_meaning_is_not() {
        assert!(cosine("a long film", "the long films") > 0.3);
        assert!(cosine("film", "films") > 0.3);
        assert!(cosine("film", "movie").abs() < 0.1);
    }
}
