//! What happens to a request.

pub mod inspect;
pub mod limits;
