//! One accepted connection: which HTTP it speaks, and the limits that it lives under.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::prefixed::Prefixed;

/// How long a client may take to say what it speaks, and over HTTP/1.1 to send the head of each request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an HTTP/2 client that says nothing is asked whether it is there, and how long it has to answer: a watch
/// whose client went away without a word must not be held for ever.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Calls at once on one connection; a client with more waits or opens another.
const MAX_STREAMS: u32 = 256;
/// All headers of one request together.
const MAX_HEADERS_BYTES: u32 = 32 * 1024;
/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves `stream` until its client leaves, or, once `draining`, until its calls have ended, or until `closing`.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut stream: S,
    app: Router,
    head_timeout: Duration,
    draining: CancellationToken,
    closing: CancellationToken,
) {
    let opening = tokio::select! {
        () = draining.cancelled() => return,
        opening = tokio::time::timeout(head_timeout, read_opening(&mut stream)) => opening,
    };
    // A client that sent nothing, or left: nobody waits for an answer.
    let Ok(Ok(opening)) = opening else { return };

    let builder = builder(opening == PREFACE, head_timeout);
    let io = TokioIo::new(Prefixed::new(opening, stream));
    let connection = builder.serve_connection(io, TowerToHyperService::new(app));
    tokio::pin!(connection);
    let mut is_told = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection of the control listener ended");
                }
                return;
            }
            () = draining.cancelled(), if !is_told => {
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
            () = closing.cancelled() => return,
        }
    }
}

/// Reads until it is clear whether the client speaks HTTP/2; gives what was read. hyper-util can tell the two apart as
/// well, but waits for ever for a client that stops in the middle.
async fn read_opening(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut opening = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() && opening[..length] == PREFACE[..length] {
        let read = stream.read(&mut opening[length..]).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
    }
    Ok(opening[..length].to_vec())
}

fn builder(is_http2: bool, head_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEADERS_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS_BYTES);
    if is_http2 { builder.http2_only() } else { builder.http1_only() }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_client_that_stops_in_the_middle_of_a_head_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for beginning in ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nHost: loc"] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(beginning.as_bytes()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let token = CancellationToken::new();
            let serving = serve(stream, Router::new(), Duration::from_millis(20), token.clone(), token);
            let served = tokio::time::timeout(Duration::from_secs(10), serving).await;
            assert!(served.is_ok(), "{beginning:?} holds its connection");
        }
    }
}
