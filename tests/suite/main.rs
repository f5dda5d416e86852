//! Everything that is tested from outside, as one program: a program of its own for each
//! file would compile DataFusion's generics as many times.

mod asof;
mod backend;
mod cli;
mod crash;
mod design_matrix;
mod explain_align;
mod memory;
mod pipeline;
mod readme;
mod reference;
mod slt;
