//! The source: items of two spaces with a change feed, behind a key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What opens it.
const KEY: &str = "key-of-the-test-source";
const ITEMS: u64 = 40;
const PAGE: usize = 10;

/// One space.
#[derive(Default)]
struct Space {
    sequence: u64,
    /// By number, with the sequence of their last change; `None`: deleted.
    items: BTreeMap<u64, (u64, Option<String>)>,
}

impl Space {
    fn new(name: &str) -> Self {
        let mut space = Self::default();
        for number in 1..=ITEMS {
            space.put(number, Some(format!("{name} {number}")));
        }
        space
    }

    fn put(&mut self, number: u64, title: Option<String>) {
        self.sequence += 1;
        self.items.insert(number, (self.sequence, title));
    }
}

type Spaces = Arc<Mutex<BTreeMap<String, Space>>>;

/// Serves until stdin ends.
pub async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    #[expect(clippy::print_stdout, reason = "the first line says where it listens")]
    {
        println!("{}", json!({"url": format!("http://{}", listener.local_addr()?)}));
    }
    let spaces: Spaces =
        Arc::new(Mutex::new(["a", "b"].map(|name| (name.to_owned(), Space::new(name))).into()));
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let spaces = Arc::clone(&spaces);
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, Arc::clone(&spaces)));
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .ok();
            });
        }
    };
    let stdin = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        ended = accept => ended,
        _ = stdin => Ok(()),
    }
}

async fn answer(request: Request<Incoming>, spaces: Spaces) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if head.uri.path() != "/control"
        && head.headers.get("authorization").is_none_or(|given| given != &format!("Bearer {KEY}"))
    {
        return Ok(respond(401, &json!({"error": "bad key"})));
    }
    let mut spaces = spaces.lock().unwrap_or_else(PoisonError::into_inner);
    let query: BTreeMap<&str, &str> =
        head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    let Some(space) = spaces.get_mut(*query.get("space").unwrap_or(&"a")) else {
        return Ok(respond(404, &json!({"error": "no space"})));
    };
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    Ok(match head.uri.path() {
        "/items" => respond(200, &items(space, number("after"))),
        "/changes" if number("since") > space.sequence => respond(410, &json!({"error": "not yet"})),
        "/changes" => respond(200, &changes(space, number("since"))),
        "/control" => {
            control(space, &serde_json::from_slice(&body).unwrap_or(Value::Null));
            respond(200, &json!({}))
        }
        path => {
            let number = path.strip_prefix("/items/").and_then(|number| number.parse().ok());
            match number.and_then(|number: u64| Some((number, space.items.get(&number)?))) {
                Some((number, (sequence, Some(title)))) => respond(200, &item(number, *sequence, title)),
                _ => respond(404, &json!({"error": "no such item"})),
            }
        }
    })
}

fn item(number: u64, sequence: u64, title: &str) -> Value {
    json!({"number": number, "title": title, "sequence": sequence})
}

fn items(space: &Space, after: u64) -> Value {
    let there = space
        .items
        .range(after + 1..)
        .filter_map(|(number, (sequence, title))| Some(item(*number, *sequence, title.as_ref()?)));
    let page: Vec<Value> = there.take(PAGE).collect();
    let last = page.last().and_then(|item| item["number"].as_u64());
    let more = last.is_some_and(|last| space.items.range(last + 1..).any(|(_, (_, title))| title.is_some()));
    json!({"items": page, "next": if more { last } else { None }, "sequence": space.sequence})
}

fn changes(space: &Space, since: u64) -> Value {
    let mut changed: Vec<_> = space.items.iter().filter(|(_, (sequence, _))| *sequence > since).collect();
    changed.sort_by_key(|(_, (sequence, _))| *sequence);
    let has_more = changed.len() > PAGE;
    changed.truncate(PAGE);
    let until =
        if has_more { changed.last().map_or(since, |(_, (sequence, _))| *sequence) } else { space.sequence };
    let changes: Vec<Value> = changed
        .into_iter()
        .map(|(number, (sequence, title))| match title {
            Some(title) => json!({"item": item(*number, *sequence, title)}),
            None => json!({"deleted": number}),
        })
        .collect();
    json!({"changes": changes, "until": until, "has_more": has_more})
}

fn control(space: &mut Space, asked: &Value) {
    for put in asked["put"].as_array().into_iter().flatten() {
        let title = put["title"].as_str().unwrap_or_default().to_owned();
        space.put(put["number"].as_u64().unwrap_or(0), Some(title));
    }
    for number in asked["delete"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
        space.put(number, None);
    }
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}
