//! `SET voxql.ef_search`, `SET voxql.use_index`.

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

extensions_options! {
    /// How queries use indexes.
    pub struct SearchOptions {
        /// How many near vectors a search in an index keeps on its way: more are slower and miss less. At
        /// least as many as rows are asked for are kept.
        pub ef_search: usize, default = 100

        /// Whether queries use indexes. Without them every vector is looked at.
        pub use_index: bool, default = true
    }
}

impl ConfigExtension for SearchOptions {
    const PREFIX: &'static str = "voxql";
}
