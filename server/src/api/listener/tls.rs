//! TLS of a listener: handshakes with the certificate that is in its files now.
//!
//! The files are looked at every few seconds, also behind the links that orchestrators swap. What is new is used for the
//! next handshakes once it has stayed the same for one more look, since a certificate and its key are written one after
//! the other; connections that are open go on. What cannot be used is told once, and the certificate before it stays.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{Certificate, CertificateError, Contents, Files, sha256};
use crate::clock::SharedClock;
use crate::config::TlsConfig;

/// How long a client has for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long before its end a certificate is told to be renewed, and how often.
const RENEW_WITHIN: TimeDelta = TimeDelta::days(14);
const TELL_EVERY: TimeDelta = TimeDelta::days(1);
/// What a TLS record of a handshake begins with.
const HANDSHAKE_RECORD: u8 = 0x16;
/// What a client of HTTP/2 begins with.
const HTTP2_BEGINNING: &[u8] = b"PRI * HTTP/2.0";
/// What is read of a client that speaks no TLS, so that it gets its answer.
const MAX_DRAINED_BYTES: u64 = 64 * 1024;

/// The TLS of one listener. Clones share the certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Which listener, for the log.
    listener: &'static str,
    files: Files,
    /// What the files held when it was loaded.
    loaded: [u8; 32],
    current: Arc<RwLock<Certificate>>,
    clock: SharedClock,
    look_every: Duration,
}

impl Tls {
    /// The TLS that a section of the configuration says; `None` where it names no certificate. `listener` is for the log.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn load(
        listener: &'static str,
        config: &TlsConfig,
        clock: SharedClock,
    ) -> Result<Option<Self>, CertificateError> {
        let Some(files) = Files::of(config) else { return Ok(None) };
        let contents = files.read()?;
        let current = Arc::new(RwLock::new(files.certificate_of(&contents)?));
        let loaded = contents.digest();
        Ok(Some(Self { listener, files, loaded, current, clock, look_every: LOOK_EVERY }))
    }

    /// The stream within TLS. `None`: the client speaks no TLS, is not let in, or is too slow; it was told what there is
    /// to tell.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let error = match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.handshake(stream)).await {
            Ok(Ok(stream)) => return stream,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it was not done in time".to_owned(),
        };
        // The internet is full of clients that only try.
        tracing::debug!(error, "a TLS handshake at the {} listener failed", self.listener);
        None
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut beginning = [0; HTTP2_BEGINNING.len()];
        let seen = stream.peek(&mut beginning).await?;
        if seen > 0 && beginning[0] != HANDSHAKE_RECORD {
            tracing::debug!("a client of the {} listener speaks no TLS", self.listener);
            refuse_plain(stream, &beginning[..seen]).await?;
            return Ok(None);
        }
        let acceptor = TlsAcceptor::from(self.current());
        acceptor.accept(stream).await.map(Some)
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    fn ends(&self) -> DateTime<Utc> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).ends
    }

    /// Looks after the files, and after the end of the certificate, for as long as it is polled.
    pub(super) async fn watch(&self) {
        let mut look = Look { seen: None, tried: self.loaded, told_of_end: None };
        loop {
            self.tell_of_its_end(&mut look.told_of_end);
            self.look(&mut look);
            tokio::time::sleep(self.look_every).await;
        }
    }

    fn look(&self, look: &mut Look) {
        let now = self.files.read();
        let name = digest(&now);
        let is_settled = look.seen.replace(name) == Some(name);
        if !is_settled || look.tried == name {
            return;
        }
        look.tried = name;
        match now.and_then(|contents| self.take(&contents)) {
            Ok(ends) => {
                look.told_of_end = None;
                tracing::info!(%ends, "the {} listener uses a new certificate", self.listener);
            }
            Err(error) => tracing::error!(
                %error,
                "the new certificate of the {} listener is not used, the one before it stays; put a pair there that \
                 belongs together",
                self.listener
            ),
        }
    }

    fn take(&self, contents: &Contents) -> Result<DateTime<Utc>, CertificateError> {
        let certificate = self.files.certificate_of(contents)?;
        let (ends, now) = (certificate.ends, self.clock.now());
        if ends <= now && self.ends() > now {
            return Err(CertificateError::Ended { path: self.files.certificate().to_owned(), ended: ends });
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certificate;
        Ok(ends)
    }

    fn tell_of_its_end(&self, told: &mut Option<DateTime<Utc>>) {
        let (now, ends) = (self.clock.now(), self.ends());
        if ends - now > RENEW_WITHIN || told.is_some_and(|told| now - told < TELL_EVERY) {
            return;
        }
        *told = Some(now);
        let (listener, file) = (self.listener, self.files.certificate().display());
        if ends <= now {
            tracing::error!(%file, %ends, "the certificate of the {listener} listener has ended: clients refuse it; renew it");
        } else {
            tracing::warn!(%file, %ends, "the certificate of the {listener} listener ends soon; renew it");
        }
    }
}

/// What looking has brought so far.
struct Look {
    /// What the last look saw.
    seen: Option<[u8; 32]>,
    /// What was last tried: at first what was loaded at the start.
    tried: [u8; 32],
    told_of_end: Option<DateTime<Utc>>,
}

/// A name for what a look saw, in place of a copy of a key.
fn digest(seen: &Result<Contents, CertificateError>) -> [u8; 32] {
    match seen {
        Ok(contents) => contents.digest(),
        Err(error) => sha256(&[error.to_string().as_bytes()]),
    }
}

/// Tells a client that this port speaks TLS, in the words of what it speaks.
async fn refuse_plain(mut stream: TcpStream, beginning: &[u8]) -> io::Result<()> {
    const TOLD: &str = "this port speaks TLS: use https\n";
    if HTTP2_BEGINNING.starts_with(&beginning[..beginning.len().min(HTTP2_BEGINNING.len())])
        && beginning.len() > 3
    {
        // Settings, which every connection begins with, then GOAWAY with INADEQUATE_SECURITY.
        let length = u8::try_from(8 + TOLD.len()).expect("the text is short");
        let head = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12];
        stream.write_all(&head).await?;
        stream.write_all(TOLD.as_bytes()).await?;
    } else {
        let head =
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: ";
        stream.write_all(format!("{head}{}\r\n\r\n{TOLD}", TOLD.len()).as_bytes()).await?;
    }
    stream.shutdown().await?;
    // With something unread the system would cut the connection, and the answer might be lost with it.
    tokio::io::copy(&mut stream.take(MAX_DRAINED_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
