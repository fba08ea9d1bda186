//! Assertions: short-lived JSON Web Tokens with which an application shows who it is instead of a secret (RFC 7523).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

/// Back-dated, because a provider's clock may be behind ours.
const BACK_DATED_S: i64 = 60;
/// Providers allow ten minutes in all.
const LIFETIME_S: i64 = 540;

/// An application's RSA key. `Debug` does not show it.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<RsaKeyPair>,
    key_id: Option<String>,
    thumbprint: Option<String>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// There is no private key in the text.
    #[error("the text holds no private key in PEM; an administrator must enter it")]
    NoKey,
    /// It is a key of another kind, or too short.
    #[error("the private key is no RSA key of 2048 to 4096 bits; an administrator must enter one")]
    NotRsa,
}

impl SigningKey {
    /// Reads an RSA key (PKCS #8 or PKCS #1), and the certificate that stands beside it if one does: its thumbprint
    /// then goes into the assertions, as Microsoft wants it. `key_id` is the `kid` of the assertions.
    ///
    /// # Errors
    ///
    /// A text without a usable key.
    pub fn from_pem(pem: &SecretString, key_id: Option<String>) -> Result<Self, SigningKeyError> {
        let pem = pem.expose_secret().as_bytes();
        let mut key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| SigningKeyError::NoKey)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(SigningKeyError::NotRsa),
        };
        key.zeroize();
        let pair = Arc::new(pair.map_err(|_| SigningKeyError::NotRsa)?);
        let thumbprint = CertificateDer::from_pem_slice(pem)
            .ok()
            .map(|certificate| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &certificate)));
        Ok(Self { pair, key_id, thumbprint })
    }

    /// An assertion that `issuer` is who it says it is; `audience` is whom it is said to, where that matters.
    pub(crate) fn assertion(
        &self,
        issuer: &str,
        audience: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<Zeroizing<String>> {
        let random = SystemRandom::new();
        // With a certificate PS256, which is what Microsoft asks for; else what every provider knows.
        let (algorithm, encoding): (&str, &dyn RsaEncoding) =
            if self.thumbprint.is_some() { ("PS256", &RSA_PSS_SHA256) } else { ("RS256", &RSA_PKCS1_SHA256) };
        let mut header = json!({"alg": algorithm, "typ": "JWT"});
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        if let Some(thumbprint) = &self.thumbprint {
            header["x5t#S256"] = json!(thumbprint);
        }
        let begins = now.timestamp() - BACK_DATED_S;
        let mut claims = json!({"iss": issuer, "iat": begins, "exp": now.timestamp() + LIFETIME_S});
        if let Some(audience) = audience {
            let mut id = [0; 16];
            random.fill(&mut id).ok()?;
            claims["sub"] = json!(issuer);
            claims["aud"] = json!(audience);
            claims["nbf"] = json!(begins);
            claims["jti"] = json!(URL_SAFE_NO_PAD.encode(id));
        }
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(encoding, &random, signed.as_bytes(), &mut signature).ok()?;
        Some(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
