//! `ASOF JOIN`: to each row of one table the row of another that is nearest in time.
//!
//! ```sql
//! SELECT g.tr, w.word
//! FROM grid AS g ASOF JOIN words AS w
//!     MATCH_CONDITION (g.time >= w.onset) ON g.run = w.run;
//! ```
//!
//! Every left row is kept exactly once; the right columns are NULL where nothing matches.
//! The way of a statement through this module:
//!
//! - [`rewrite`]: DataFusion parses ASOF JOIN and then refuses it. In the syntax tree a
//!   chain of joins up to an ASOF JOIN becomes a nested join, which a planner of ours gets.
//! - [`relation`] plans the two sides, [`condition`] reads MATCH_CONDITION and ON.
//! - [`node`] is the join in the logical plan, [`filters`] pushes WHERE below it.
//! - [`physical`] makes the operator, [`exec`], whose streams ([`stream`]) feed batches
//!   ([`side`]) into the merge ([`merge`], [`gather`]), which sees arrays only.
//! - [`clock`]: times of any type as whole numbers.

pub mod clock;
pub mod condition;
pub mod documentation;
pub mod exec;
pub mod filters;
pub mod gather;
pub mod matching;
pub mod merge;
pub mod node;
pub mod physical;
pub mod relation;
pub mod rewrite;
pub mod side;
pub mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::Optimizer;

use crate::volatile_filters::KeepVolatileFilters;

/// What a session needs for ASOF JOIN beside [`physical::AsofExtension`] in its planner, and what keeps WHERE
/// above nodes of ours. Statements also go through [`rewrite::nest`] after parsing.
pub fn install(builder: SessionStateBuilder) -> SessionStateBuilder {
    let mut rules = Optimizer::new().rules;
    // Right after DataFusion's own rule: a later one puts projections between filter and join.
    let own = rules
        .iter()
        .position(|rule| rule.name() == "push_down_filter");
    let at = own.map_or(rules.len(), |own| own + 1);
    rules.insert(at, Arc::new(filters::PushFiltersBelowAsofJoin));
    rules.insert(own.unwrap_or(at), Arc::new(KeepVolatileFilters));
    builder.with_optimizer_rules(rules)
}
