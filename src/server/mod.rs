//! The doors: who may enter, how slowly, and how the house closes.

pub mod admin;
pub mod connection;
pub mod entrance;
pub mod guard;
pub mod listener;
mod pause;
pub mod port;
mod rare;
pub mod redirect;
pub mod reload;
pub mod socket;
pub mod tls;
