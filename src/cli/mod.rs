//! Placeholder.

<<<<<<< HEAD
pub mod demo;
=======
pub mod admin_client;
pub mod drain;
pub mod health;
pub mod status;
>>>>>>> metrics
