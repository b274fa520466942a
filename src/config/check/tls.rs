//! `[server.tls]`: the files are read and tried here, so that a wrong one refuses to start.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::doors::optional_address;
use super::files;
use crate::config::certificate::{self, Unusable};
use crate::config::error::Problem;
use crate::config::model::{Tls, TlsVersion};
use crate::config::section::{Section, lay};

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];

/// `[server.tls]`; `None` where it names no certificate: plain TCP.
pub(super) fn tls(section: &Section<'_>) -> Option<Tls> {
    let mut min_version = TlsVersion::V13;
    lay(&mut min_version, section.choice("min_version", &VERSIONS));
    let redirect_from = optional_address(section, "redirect_from");
    let certificate = file(section, "certificate_file");
    let key = file(section, "key_file");
    let client_ca = file(section, "client_ca_file");
    if let Some((_, pem)) = &client_ca
        && let Err(Unusable::Certificate(why)) = certificate::authorities(pem)
    {
        section.refuse("client_ca_file", "cannot be used", format!("the {why}"), None);
    }
    let has = |key: &str| !section.is_silent(key);
    match (has("certificate_file"), has("key_file")) {
        (true, true) => {
            let ((certificate_file, chain), (key_file, key)) = (certificate?, key?);
            try_pair(section, &chain, &key);
            let client_ca_file = client_ca.map(|(path, _)| path);
            Some(Tls { certificate_file, key_file, min_version, client_ca_file, redirect_from })
        }
        (false, false) => {
            refuse_the_rest(section, redirect_from);
            None
        }
        (has_certificate, _) => {
            let (there, missing) = if has_certificate {
                ("certificate_file", "key_file")
            } else {
                ("key_file", "certificate_file")
            };
            let label = format!("`{}` is missing", section.path_of(missing));
            section.refuse(there, "is only half of a pair", label, None);
            None
        }
    }
}

/// What means nothing without a certificate.
fn refuse_the_rest(section: &Section<'_>, redirect_from: Option<SocketAddr>) {
    let has_authorities = section.optional("client_ca_file").is_some();
    for (key, is_set) in
        [("client_ca_file", has_authorities), ("redirect_from", redirect_from.is_some())]
    {
        if is_set {
            let help = "TLS is served where `certificate_file` and `key_file` are set";
            section.refuse(key, "needs a certificate", "there is no TLS here", Some(help));
        }
    }
}

fn try_pair(section: &Section<'_>, chain: &[u8], key: &[u8]) {
    match certificate::pair(chain, key, &certificate::provider()) {
        Ok(_) => {}
        Err(Unusable::Certificate(why)) => {
            section.refuse("certificate_file", "cannot be used", format!("the {why}"), None);
        }
        Err(Unusable::Key(why)) => {
            section.refuse("key_file", "cannot be used", format!("the {why}"), None);
        }
        Err(mismatch @ Unusable::Mismatch) => {
            let title = format!("`{}` cannot be used", section.path_of("key_file"));
            let problem = Problem::at(&section.origin_of("key_file"), title).label(mismatch);
            let certificate = section.origin_of("certificate_file");
            section.problems.push(problem.related(&certificate, "this certificate"));
        }
    }
}

fn file(section: &Section<'_>, key: &str) -> Option<(PathBuf, Vec<u8>)> {
    let path = section.optional(key)?;
    Some((PathBuf::from(path), files::content(section, key, path)?))
}
