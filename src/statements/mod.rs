//! SQL text to statements, statements to plans, plans to answers.
//!
//! [`parse`] is the one entrance of shell, library, files and server: DataFusion's
//! parser with VoxQL's own statements around it. [`plan`] looks at the files that a
//! statement names before DataFusion plans it, and [`computed`] the tables of its calls of
//! [`design_matrix`], [`encoding_scores`], [`judging`] and [`word_timing_report`]. [`copy`] chooses how Parquet is
//! written, [`copy_to`] where, [`one_run`] refuses plans that mix runs, [`one_space`] those that mix
//! models, and [`window_batches`] spares windows copies. `chains` refuses texts that would overflow a thread's stack;
//! `using` and `table_functions` mend what DataFusion makes of `JOIN … USING` and of several calls of one function.

mod chains;
pub mod computed;
pub mod copy;
pub mod copy_to;
mod create_index;
pub mod design_matrix;
pub mod documentation;
pub mod encoding_scores;
pub mod judging;
pub mod one_run;
pub mod one_space;
pub mod parse;
pub mod plan;
pub mod subject_rows;
pub mod table_functions;
mod using;
pub mod width;
pub mod window_batches;
pub mod word_timing_report;

pub use parse::{Kind, Statement};
