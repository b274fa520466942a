//! Intent: what the operator asked for, in three shapes: raw, checked, and (above us) compiled.

pub mod defaults;
pub mod model;
pub use model::Config;
