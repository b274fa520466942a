//! One file per place that records leave through. Sinks never import each other.

pub mod audit;
