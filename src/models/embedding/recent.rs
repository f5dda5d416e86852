//! Vectors of texts that were embedded lately: a text that comes again in a later batch of a query is not
//! run again.

use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of texts and vectors, in each of two generations.
const LIMIT: usize = 16 << 20;

/// Texts and their vectors. When the young generation is full the old one is forgotten, and the young
/// becomes the old.
#[derive(Default)]
pub struct Recent {
    young: HashMap<String, Arc<[f32]>>,
    old: HashMap<String, Arc<[f32]>>,
    /// Of the young ones.
    bytes: usize,
}

impl Recent {
    pub fn get(&mut self, text: &str) -> Option<Arc<[f32]>> {
        if let Some(vector) = self.young.get(text) {
            return Some(Arc::clone(vector));
        }
        let (text, vector) = self.old.remove_entry(text)?;
        self.insert(text, Arc::clone(&vector));
        Some(vector)
    }

    pub fn insert(&mut self, text: String, vector: Arc<[f32]>) {
        let bytes = text.len() + 4 * vector.len();
        if self.bytes + bytes > LIMIT {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(text, vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_asked_for_and_no_more_than_the_limit() {
        let mut recent = Recent::default();
        let vector: Arc<[f32]> = vec![0.0; 1 << 18].into();
        for i in 0..100 {
            recent.insert(i.to_string(), Arc::clone(&vector));
            assert!(
                recent.get("0").is_some(),
                "asked for again and again, after {i}"
            );
            assert!(recent.young.len() + recent.old.len() <= 2 * LIMIT / (1 << 20));
        }
        assert!(recent.get("1").is_none() && recent.get("99").is_some());
    }
}
