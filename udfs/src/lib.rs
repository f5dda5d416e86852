//! SQL functions for multimodal neuroscience, for any DataFusion program:
//!
//! ```
//! let ctx = datafusion::prelude::SessionContext::new();
//! voxql_udfs::register_all(&ctx);
//! ```

pub mod args;
pub mod register;
pub mod vectors;

use datafusion::prelude::SessionContext;

/// Registers every function of this crate.
pub fn register_all(ctx: &SessionContext) {
    for function in register::scalars() {
        ctx.register_udf(function);
    }
    for function in register::aggregates() {
        ctx.register_udaf(function);
    }
    for function in register::windows() {
        ctx.register_udwf(function);
    }
}
