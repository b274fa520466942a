//! Placeholder written below.
