//! Compression of export bodies, at the fastest level.
//!
//! Spans repeat themselves so much that it takes out most of what can be taken out, for a fraction of
//! the default level's cost; that would be more than encoding. Setting a compressor up touches a
//! quarter of a MiB, more than compressing a small batch, so one is made for the first body and kept,
//! one for all signals: they take turns for well under a millisecond each.

use std::io;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use parking_lot::{Mutex, const_mutex};

use super::{Encoding, Parcel};

static GZIP: Gzip = Gzip(const_mutex(None));

/// Makes a parcel of an encoded export request that counts for so many items, compressed where asked.
/// It computes for as long as that takes: a large body belongs in the blocking pool.
pub fn pack(items: u64, body: Bytes, encoding: Encoding) -> Parcel {
    // The compressor writes to memory and knows no bad input; if it fails all the same, plain bytes
    // are as right.
    if encoding == Encoding::Gzip
        && let Ok(body) = GZIP.compress(&body)
    {
        return Parcel { items, encoding, body };
    }
    Parcel { items, encoding: Encoding::Identity, body }
}

/// Compresses one body after the other.
struct Gzip(Mutex<Option<Compress>>);

impl Gzip {
    /// The body as a gzip stream of its own.
    fn compress(&self, body: &[u8]) -> io::Result<Bytes> {
        let mut kept = self.0.lock();
        let state = kept.get_or_insert_with(|| Compress::new_gzip(Compression::fast(), 15));
        state.reset();
        let (mut rest, mut out) = (body, Vec::with_capacity(body.len() / 4 + 64));
        loop {
            let before = state.total_in();
            let status = state.compress_vec(rest, &mut out, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                return Ok(out.into());
            }
            // It stops early only for want of room.
            let taken = usize::try_from(state.total_in() - before).unwrap_or(0);
            rest = rest.get(taken..).unwrap_or(&[]);
            out.reserve(out.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn each_body_is_a_gzip_of_its_own_however_well_it_compresses() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(100_000).collect();
        let sevens = vec![7; 100_000];
        for body in [&noise[..], &sevens, b"", b"a", &noise[..777]] {
            let parcel = pack(7, Bytes::copy_from_slice(body), Encoding::Gzip);
            assert_eq!((parcel.items, parcel.encoding), (7, Encoding::Gzip));
            let mut read = Vec::new();
            GzDecoder::new(&parcel.body[..]).read_to_end(&mut read).unwrap();
            assert!(read == body, "{} bytes come back as they were", body.len());
        }
    }

    #[test]
    fn a_body_that_shall_stay_as_it_is_is_not_copied() {
        let body = Bytes::from_static(b"plain");
        let parcel = pack(1, body.clone(), Encoding::Identity);
        assert_eq!(parcel, Parcel { items: 1, encoding: Encoding::Identity, body });
    }
}
