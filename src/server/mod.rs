//! The doors: who may enter, how slowly, and how the house closes.

pub mod admin;
pub mod connection;
pub mod guard;
pub mod listener;
mod rare;
pub mod reload;
