//! `guestbook`: a frontend that writes to a primary and reads from its replicas.
//!
//! A replica registers its address with the primary, which passes on what is written to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::ask;
use crate::http::{self, Answered, Asked};

const PRIMARY: &str = "agnhost-primary:6379";
const REPLICA: &str = "agnhost-replica:6379";
/// How soon a replica tries again to register.
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Book {
    entries: BTreeMap<String, String>,
    replicas: BTreeSet<String>,
}

/// Serves the frontend until the process ends.
pub(crate) async fn front(port: u16) -> anyhow::Result<()> {
    http::serve(port, |request: Asked, _: SocketAddr| async move {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let to = if query.contains("cmd=set") { PRIMARY } else { REPLICA };
        let path = if query.contains("cmd=set") { "set" } else { "get" };
        match ask::plain(to, &format!("{path}?{query}")).await {
            Ok((code, body)) => http::kind(code, "application/json", body),
            Err(error) => http::text(502, format!("{error:#}")),
        }
    })
    .await
}

/// Serves a primary, or a replica `of` one, until the process ends.
pub(crate) async fn back(port: u16, of: Option<String>) -> anyhow::Result<()> {
    let book = Arc::new(Mutex::new(Book::default()));
    if let Some(primary) = of {
        let book = Arc::clone(&book);
        tokio::spawn(async move {
            loop {
                if let Ok((200, body)) = ask::plain(&primary, &format!("register?port={port}")).await
                    && let Ok(entries) = serde_json::from_slice(&body)
                {
                    book.lock().unwrap_or_else(PoisonError::into_inner).entries = entries;
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
    http::serve(port, move |request: Asked, peer: SocketAddr| {
        let book = Arc::clone(&book);
        async move { answer(&book, &request, peer).await }
    })
    .await
}

async fn answer(book: &Mutex<Book>, request: &Asked, peer: SocketAddr) -> Answered {
    let query = request.uri().query().unwrap_or_default();
    let member = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map_or_else(String::new, |(_, value)| value.to_owned())
    };
    let lock = || book.lock().unwrap_or_else(PoisonError::into_inner);
    match request.uri().path() {
        "/register" => {
            let mut book = lock();
            book.replicas.insert(format!("{}:{}", peer.ip(), member("port")));
            http::json(200, &json!(book.entries))
        }
        "/set" => {
            let replicas = {
                let mut book = lock();
                book.entries.insert(member("key"), member("value"));
                book.replicas.clone()
            };
            for replica in replicas {
                if ask::plain(&replica, &format!("set?{query}")).await.is_err() {
                    lock().replicas.remove(&replica);
                }
            }
            http::json(200, &json!({ "data": "Updated" }))
        }
        _ => http::json(
            200,
            &json!({ "data": lock().entries.get(&member("key")).cloned().unwrap_or_default() }),
        ),
    }
}
