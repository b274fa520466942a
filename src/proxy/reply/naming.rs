//! Looking into the beginning of an error's body for its class, while it passes.
//!
//! The answer goes on unchanged and waits for nothing. At most 4 KiB of it are held beside, in the memory
//! that all inspection shares, until they are there or the body ends; then they are searched once and
//! dropped. Nothing stays but the name of a class.

use bytes::Bytes;

use crate::config::model::ErrorClass;
use crate::proxy::exchange::Exchange;
use crate::proxy::inspect::Reservation;

/// What searches one answer.
#[derive(Debug)]
pub(super) struct Naming {
    scratch: Vec<u8>,
    /// Bytes that the body still has, as far as they are searched.
    missing: usize,
    reservation: Reservation,
}

impl Naming {
    /// Begins to look into a body of this length. `None` where there is no memory for it, which is
    /// counted.
    pub(super) fn begin(length: Option<u64>, exchange: &Exchange) -> Option<Self> {
        let length = length.and_then(|length| usize::try_from(length).ok());
        let missing = length.map_or(ErrorClass::SEARCHED, |l| l.min(ErrorClass::SEARCHED));
        let Some(reservation) = exchange.proxy().inspection().reserve(missing) else {
            exchange.proxy().telemetry().metrics().capture_unreadable();
            return None;
        };
        Some(Self { scratch: Vec::new(), missing, reservation })
    }

    /// Takes a chunk that passes. `false` once all that is searched has been.
    pub(super) fn take(&mut self, data: &Bytes, exchange: &mut Exchange) -> bool {
        let taken = &data[..data.len().min(self.missing)];
        self.missing -= taken.len();
        if self.missing > 0 {
            self.scratch.reserve_exact(self.reservation.bytes() - self.scratch.len());
            self.scratch.extend_from_slice(taken);
            return true;
        }
        if self.scratch.is_empty() {
            search(taken, exchange); // The usual error is one chunk.
        } else {
            self.scratch.extend_from_slice(taken);
            search(&self.scratch, exchange);
        }
        false
    }

    /// The body ends here.
    pub(super) fn conclude(self, exchange: &mut Exchange) {
        search(&self.scratch, exchange);
    }
}

fn search(text: &[u8], exchange: &mut Exchange) {
    let (Some(classes), Some(status)) = (&exchange.plan.error_classes, exchange.status) else {
        return;
    };
    if let Some(class) = classes.of_body(status, text) {
        exchange.class = Some(class.clone());
    }
}
