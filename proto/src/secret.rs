//! Messages that hold secrets: none of them prints one, whatever prints it.
//!
//! What a field marked `debug_redact` holds appears in no `Debug`. The build script writes these implementations from the
//! descriptors.

use std::fmt;

use crate::connector::v1::Credential;
use crate::connector::v1::credential::Kind;

/// What stands for the value of such a field.
struct Secret;

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The generated code.
mod debug {
    include!(concat!(env!("OUT_DIR"), "/debug.rs"));
}

impl Credential {
    /// Each secret value in it.
    pub fn secrets(&self) -> Vec<&str> {
        match &self.kind {
            Some(Kind::Oauth2(token)) => vec![&token.access_token],
            Some(Kind::ApiKey(key)) => vec![&key.key],
            Some(Kind::BearerToken(token)) => vec![&token.token],
            Some(Kind::Basic(basic)) => vec![&basic.password],
            Some(Kind::ClientCertificate(certificate)) => vec![&certificate.private_key_pem],
            Some(Kind::Fields(fields)) => fields.values.values().map(String::as_str).collect(),
            None => Vec::new(),
        }
    }
}
