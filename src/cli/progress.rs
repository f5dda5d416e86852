//! The progress of a running statement, read from its plan's metrics.

use std::sync::Arc;
use std::time::Duration;

use console::Term;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};

/// A statement that takes longer gets a progress display.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// How often the display is brought up to date.
pub const TICK: Duration = Duration::from_millis(100);

/// What a plan's scans have done so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows that the leaves of the plan have given.
    pub rows: usize,
    pub files_done: usize,
    /// Files in all scans; 0 where the plan reads none.
    pub files: usize,
    /// A large file is read in several parts, each of which counts as a file.
    pub parts: bool,
}

impl Progress {
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut progress = Progress::default();
        progress.add(plan);
        progress
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>()
            && let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>()
        {
            for file in config.file_groups.iter().flat_map(|group| group.iter()) {
                self.files += 1;
                self.parts |= file.range.is_some();
            }
        }
        let children = plan.children();
        if let Some(metrics) = plan.metrics() {
            if children.is_empty() {
                self.rows += metrics.output_rows().unwrap_or(0);
            }
            if let Some(MetricValue::Count { count, .. }) = metrics.sum_by_name("files_processed") {
                self.files_done += count.value();
            }
        }
        for child in children {
            self.add(child);
        }
    }
}

/// The display on stderr. Draws nothing where stderr is no terminal, and is
/// gone from the screen when dropped.
pub struct Display {
    bar: ProgressBar,
}

impl Display {
    /// `elapsed` is how long the statement has run already.
    pub fn new(bars: &MultiProgress, elapsed: Duration) -> Self {
        let bar = bars.add(ProgressBar::new_spinner().with_elapsed(elapsed));
        bar.set_style(spinner());
        Display { bar }
    }

    pub fn show(&self, progress: Option<Progress>) {
        let progress = progress.unwrap_or_default();
        if progress.files > 0 {
            self.bar.set_style(file_bar());
            self.bar
                .set_prefix(if progress.parts { "parts" } else { "files" });
            self.bar.set_length(progress.files as u64);
            self.bar.set_position(progress.files_done as u64);
        }
        if progress.rows > 0 {
            self.bar
                .set_message(format!("{} rows read", HumanCount(progress.rows as u64)));
        }
        self.bar.tick();
    }
}

impl Display {
    /// Clears the display after the terminal has written `^C`. The bar fills its
    /// line, so the echo stands on the next one.
    pub fn after_echo(self) {
        let terminal = Term::stderr();
        // Without effect on the statement: at worst a line stays on the screen.
        let _ = terminal
            .clear_line()
            .and_then(|()| terminal.move_cursor_up(1));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn spinner() -> ProgressStyle {
    style("{spinner} {elapsed}  {msg}")
}

fn file_bar() -> ProgressStyle {
    style("{spinner} {elapsed}  [{bar:24}] {pos} of {len} {prefix}  {msg}").progress_chars("=> ")
}

/// The templates are constants of this file; a wrong one shows the plain bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::collect;
    use datafusion::prelude::{ParquetReadOptions, SessionContext};

    use super::*;

    #[tokio::test]
    async fn scans_say_their_rows_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = SessionContext::new();
        for part in 0..3 {
            let path = dir.path().join(format!("{part}.parquet"));
            let sql = format!(
                "COPY (SELECT * FROM generate_series(1, 100)) TO '{}'",
                path.display()
            );
            ctx.sql(&sql).await.unwrap().collect().await.unwrap();
        }
        let path = dir.path().display().to_string();
        ctx.register_parquet("t", &path, ParquetReadOptions::default())
            .await
            .unwrap();
        let query = ctx
            .sql("SELECT value % 7, count(*) FROM t GROUP BY 1")
            .await
            .unwrap();
        let plan = query.create_physical_plan().await.unwrap();
        assert_eq!(
            Progress::of(&plan),
            Progress {
                rows: 0,
                files_done: 0,
                parts: false,
                files: 3
            }
        );
        collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
        assert_eq!(
            Progress::of(&plan),
            Progress {
                rows: 300,
                files_done: 3,
                parts: false,
                files: 3
            }
        );
    }
}
