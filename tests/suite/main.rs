//! Everything that is tested from outside, as one program: a program of its own for each
//! file would compile DataFusion's generics as many times.

/// Says something in the output of the tests, which hides what tests print.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod asof;
mod backend;
mod cancel;
mod cli;
mod crash;
mod design_matrix;
mod explain_align;
mod index;
mod knn;
mod malformed;
mod masks;
mod memory;
mod models;
mod pipeline;
mod readme;
mod reference;
mod server;
mod slt;
mod video;
mod word_embeddings;
