//! How log messages reach the person at the shell: as lines on stderr.

use std::io::Write;

use indicatif::MultiProgress;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Sends messages to stderr: warnings and errors of VoxQL, and errors of the
/// libraries it stands on. `VOXQL_LOG=info|debug|trace` adds more of VoxQL's own.
pub fn install(bars: &MultiProgress) {
    let own = std::env::var("VOXQL_LOG")
        .ok()
        .and_then(|level| level.parse().ok())
        .map_or(LevelFilter::Warn, |level: LevelFilter| {
            level.max(LevelFilter::Warn)
        });
    let logger = Logger {
        own,
        bars: bars.clone(),
    };
    // A program that embeds the shell may have a logger already; that one stays.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(own);
    }
}

struct Logger {
    own: LevelFilter,
    /// The progress display steps aside while a line is written.
    bars: MultiProgress,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        let ours = metadata.target().starts_with("voxql");
        metadata.level() <= if ours { self.own } else { LevelFilter::Error }
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let line = line(record);
            // When stderr is gone there is nobody left to tell.
            self.bars.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{line}");
            });
        }
    }

    fn flush(&self) {}
}

fn line(record: &Record) -> String {
    let word = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    format!("{word}: {}", record.args())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_shown_from_voxql_only() {
        let logger = Logger {
            own: LevelFilter::Warn,
            bars: MultiProgress::new(),
        };
        let enabled = |target: &str, level| {
            logger.enabled(&Metadata::builder().target(target).level(level).build())
        };
        assert!(enabled("voxql::readers::bold", Level::Warn));
        assert!(enabled("voxql_udfs::time", Level::Warn));
        assert!(!enabled("voxql", Level::Info));
        assert!(!enabled("tract_core", Level::Warn));
        assert!(enabled("tract_core", Level::Error));
    }

    #[test]
    fn lines_begin_with_the_level() {
        let record = Record::builder()
            .level(Level::Warn)
            .args(format_args!("a.nii.gz is empty"))
            .build();
        assert_eq!(line(&record), "warning: a.nii.gz is empty");
    }
}
