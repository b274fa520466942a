//! Whose certificates a peer of ours may show: a file's, or the system's.

use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::named_file;

/// The roots of a PEM file. A broken one is an error.
pub(super) fn read(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&named_file::read(path)?) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    Ok(roots)
}

/// The system's roots. Single broken certificates are passed over, as every other client does. `key`
/// is what to set where there are none.
pub(super) fn system(key: &str) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(io::Error::other(format!("the system has no root certificates; set `{key}`")));
    }
    Ok(roots)
}
