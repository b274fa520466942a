//! The doors: who may enter, how slowly, and how the house closes.
//!
//! A client comes to a [`port`], is accepted ([`listener`]) for the [`entrance`] behind it, and is
//! spoken to in its own protocol ([`connection`]). On HTTP/1 the [`guard`] judges its bytes before
//! hyper reads them; while the client is silent, `pause` keeps the socket alone. Each request then goes
//! to [`pipeline`](crate::proxy::pipeline), and nothing here knows what becomes of it. Operators have
//! doors of their own ([`admin`]); [`reload`] brings the next configuration.

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
