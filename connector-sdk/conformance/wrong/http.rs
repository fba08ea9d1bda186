//! One GET to the source, over a connection of its own.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the source answered.
pub struct Answer {
    pub status: u16,
    pub retry_after_s: Option<u64>,
    pub body: Value,
}

/// Asks for `path` below `url`.
pub async fn get(url: &str, path: &str, key: &str) -> Result<Answer, Error> {
    let authority = url.strip_prefix("http://").ok_or("not http")?.trim_end_matches('/');
    let request = Request::builder()
        .uri(path)
        .header("host", authority)
        .header("authorization", format!("Bearer {key}"))
        .body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the request: dropping the sender closes it.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let retry_after_s =
        answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(Answer { status, retry_after_s, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}
