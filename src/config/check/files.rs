//! Files and directories that a configuration names.
//!
//! A secret's file is read here, once; its content appears in no message.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::config::section::Section;
use crate::named_file;
use crate::secret::Secret;

/// A directory that must be named; whether it can be written is found out when it is opened.
pub(super) fn directory(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let text = section.text(key)?;
    if text.is_empty() || text.contains('\0') {
        section.refuse(key, "is not a directory", "expected a path", None);
        return None;
    }
    Some(PathBuf::from(text))
}

/// The first line of a secret's file: trailing newlines do not belong to the secret.
pub(super) fn secret(section: &Section<'_>, key: &str) -> Option<Secret> {
    let path = section.optional(key)?;
    let text = readable(section, key, path, named_file::read_text)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        section.refuse(key, "holds no secret", format!("`{path}` is empty"), None);
        return None;
    }
    if !secret.bytes().all(|b| b.is_ascii_graphic()) {
        let label = format!("`{path}` holds spaces, control characters or more than one line");
        section.refuse(key, "holds no usable secret", label, None);
        return None;
    }
    Some(Secret::new(secret))
}

/// A file of certificates. Only that it can be read is checked here.
pub(super) fn certificates(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let path = section.optional(key)?;
    certificates_at(section, key, path)?;
    Some(PathBuf::from(path))
}

fn certificates_at(section: &Section<'_>, key: &str, path: &str) -> Option<Vec<u8>> {
    let bytes = content(section, key, path)?;
    if memchr::memmem::find(&bytes, b"-----BEGIN CERTIFICATE-----").is_none() {
        let label = format!("`{path}` holds no PEM certificate");
        section.refuse(key, "is not a file of certificates", label, None);
        return None;
    }
    Some(bytes)
}

/// A file of certificates each of which can be trusted as a root.
pub(super) fn roots(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let path = section.optional(key)?;
    let bytes = certificates_at(section, key, path)?;
    let mut roots = rustls::RootCertStore::empty();
    let wrong = CertificateDer::pem_slice_iter(&bytes).try_for_each(|certificate| {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())
    });
    if let Err(error) = wrong {
        let label = format!("reading `{path}`: {error}");
        section.refuse(key, "holds a certificate that cannot be used", label, None);
        return None;
    }
    Some(PathBuf::from(path))
}

/// What a file holds, which is judged elsewhere.
pub(super) fn content(section: &Section<'_>, key: &str, path: &str) -> Option<Vec<u8>> {
    readable(section, key, path, named_file::read)
}

fn readable<T>(
    section: &Section<'_>,
    key: &str,
    path: &str,
    read: impl FnOnce(&Path) -> std::io::Result<T>,
) -> Option<T> {
    let unreadable = |error| {
        section.refuse(key, "cannot be read", format!("reading `{path}`: {error}"), None);
    };
    read(Path::new(path)).map_err(unreadable).ok()
}
