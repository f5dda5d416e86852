//! SQL functions for multimodal neuroscience, for any DataFusion program:
//!
//! ```
//! let ctx = datafusion::prelude::SessionContext::new();
//! voxql_udfs::register_all(&ctx);
//! ```

use datafusion::prelude::SessionContext;

/// Registers every function of this crate.
pub fn register_all(_ctx: &SessionContext) {}
