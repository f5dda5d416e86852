//! Which space a vector is of, as its column remembers it, and whether two columns may be compared.
//!
//! Two keys of the field's metadata say it:
//!
//! ```text
//! voxql.model   all-MiniLM-L6-v2@9f2c03ab71de pooling=mean normalize=true
//! voxql.prompt  query:
//! ```
//!
//! The first is the space: the model's name, `@` and the first digits of a hash of its files, and what was
//! done with its output. A fitted model (`srm`, `ridge`) is its name alone. Vectors of one space are
//! compared, whatever the folder of the model was called. The second is the prompt that stood before
//! the texts. It is not part of the space: asymmetric models put questions and documents behind two
//! prompts in order to compare them.

use std::collections::HashMap;

use arrow::datatypes::Field;
use datafusion::common::{Result, plan_err};

/// The field metadata in which a vector column remembers the model that made it, and how.
pub const MODEL_METADATA: &str = "voxql.model";

/// The field metadata in which an embedding column remembers the prompt before its texts.
pub const PROMPT_METADATA: &str = "voxql.prompt";

/// Whether two values of [`MODEL_METADATA`] are of one space: the hash and what follows it are the same,
/// or, without a hash, the names are.
pub fn same_space(one: &str, other: &str) -> bool {
    fn space(identity: &str) -> &str {
        identity.split_once('@').map_or(identity, |(_, rest)| rest)
    }
    one.contains('@') == other.contains('@') && space(one) == space(other)
}

/// Refuses two columns that remember different spaces. A column that remembers none may be compared with
/// any.
///
/// # Errors
/// Name both models, and how to compare all the same.
pub fn comparable(function: &str, one: &Field, other: &Field) -> Result<()> {
    let model = |field: &Field| field.metadata().get(MODEL_METADATA).cloned();
    match (model(one), model(other)) {
        (Some(one), Some(other)) if !same_space(&one, &other) => plan_err!(
            "{function}: one side was made by model {one}, the other by model {other}, and a distance between two \
             spaces means nothing; embed both with one model and the same options. If you know that they are \
             comparable: forget_model(vector) drops what a column remembers"
        ),
        _ => Ok(()),
    }
}

/// Takes the identity out of a column's metadata.
pub fn forget(metadata: &mut HashMap<String, String>) {
    metadata.remove(MODEL_METADATA);
    metadata.remove(PROMPT_METADATA);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_and_the_steps_decide_and_not_the_name() {
        let mean = "a@0123 pooling=mean normalize=true";
        assert!(same_space(mean, "b/copy@0123 pooling=mean normalize=true"));
        assert!(!same_space(mean, "a@0123 pooling=cls normalize=true"));
        assert!(!same_space(mean, "a@4567 pooling=mean normalize=true"));
        assert!(same_space("film", "film") && !same_space("film", "music"));
        assert!(!same_space("0123", "a@0123"));
    }
}
