//! VoxQL's functions in any DataFusion program: one call registers them.
//!
//! ```text
//! cargo run --release --example functions
//! ```

use datafusion::error::Result;
use datafusion::prelude::SessionContext;

#[tokio::main]
async fn main() -> Result<()> {
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);

    // Ten seconds of a stream at 25 samples a second, each sample a vector of two.
    ctx.sql(
        "CREATE TABLE stream AS
         SELECT value / 25.0 AS time, [sin(value / 10.0), cos(value / 10.0)] AS feature
         FROM generate_series(0, 249)",
    )
    .await?;

    // One row per fMRI volume: the mean of what happened in it.
    ctx.sql(
        "SELECT tr_index(time, tr => 1.49) AS tr, count(*) AS samples, vector_avg(feature) AS feature
         FROM stream GROUP BY 1 ORDER BY 1",
    )
    .await?
    .show()
    .await
}
