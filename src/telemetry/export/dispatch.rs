//! From an encoded batch to its outbox: compressed where asked, posted, and said what became of it.
//!
//! It promises that no request waits for a compressor: that runs in the blocking pool. It does not
//! deliver; the clerk does, whom whoever runs the sink stops in the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::outbox::{self, Clerk, Outbox, Settings};
use super::spool::Spool;
use super::{Carrier, Encoding, gzip};
use crate::telemetry::sink::Delivery;

/// How long items wait for others while the collector takes none: what `kill -9` costs then.
const IN_AN_OUTAGE: Duration = Duration::from_secs(5);

/// The sending side of a sink that exports.
#[derive(Debug)]
pub struct Dispatch {
    outbox: Outbox,
    clerk: Option<Clerk>,
    encoding: Encoding,
}

impl Dispatch {
    /// Opens the outbox and starts its clerk. Connects to nobody yet. Needs a runtime.
    pub fn start(
        settings: Settings,
        spool: Option<&Arc<Spool>>,
        carrier: Box<dyn Carrier>,
    ) -> Self {
        let encoding = settings.encoding;
        let (outbox, clerk) = outbox::start(settings, spool, carrier);
        Self { outbox, clerk: Some(clerk), encoding }
    }

    /// The clerk, once.
    pub fn clerk(&mut self) -> Option<Clerk> {
        self.clerk.take()
    }

    /// How long an item may wait for others to share its parcel: for `usual`, but longer while parcels
    /// only wait. An outage then makes a few large files of the spool rather than many small ones, of
    /// which it holds no more.
    pub fn patience(&self, usual: Duration) -> Duration {
        if self.outbox.is_held_up() { usual.max(IN_AN_OUTAGE) } else { usual }
    }

    /// Posts one export request of so many items, which are in the hands of the caller. Dropping the
    /// future loses them; whoever calls counts them then.
    pub async fn send(&self, items: u64, body: Bytes) -> Delivery {
        let parcel = match self.encoding {
            // It takes several times longer than encoding, which no request waits for.
            Encoding::Gzip => {
                match spawn_blocking(move || gzip::pack(items, body, Encoding::Gzip)).await {
                    Ok(parcel) => parcel,
                    Err(_) => {
                        return Delivery { dropped: vec![("panic", items)], ..Delivery::default() };
                    }
                }
            }
            Encoding::Identity => gzip::pack(items, body, Encoding::Identity),
        };
        Delivery { handed_over: self.outbox.post(parcel), ..Delivery::default() }
    }
}
