//! A client of the terminal's WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message};

use super::PATIENCE;
use super::api::Api;

/// One frame, as its receiver sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    Bytes(Vec<u8>),
    Told(Value),
    /// The code, where one was given.
    Closed(Option<u16>),
    /// The connection ended without a word.
    Cut,
}

/// A terminal being looked at.
pub struct Ws {
    pub socket: WebSocketStream<TcpStream>,
}

impl Ws {
    /// Connects with these header lines; the status where the daemon refuses.
    pub async fn try_with(port: u16, path: &str, headers: &[&str]) -> Result<Self, u16> {
        let mut request = format!("ws://localhost:{port}{path}").into_client_request().unwrap();
        for (name, value) in headers.iter().map(|line| line.split_once(": ").expect("a header")) {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the daemon accepts");
        let opened = timeout(PATIENCE, tokio_tungstenite::client_async(request, stream));
        match opened.await.expect("an answer") {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Connects with the daemon's own token.
    pub async fn try_open(api: &Api, path: &str) -> Result<Self, u16> {
        let bearer = format!("Authorization: Bearer {}", api.token);
        Self::try_with(api.daemon.port, path, &[&bearer]).await
    }

    /// Looks at a session, with this query.
    pub async fn open(api: &Api, id: &str, query: &str) -> Self {
        let opened = Self::try_open(api, &format!("/ws/{id}{query}")).await;
        opened.unwrap_or_else(|status| panic!("refused with {status}"))
    }

    /// The next frame that is no ping.
    pub async fn next(&mut self) -> Frame {
        self.next_within(PATIENCE).await.expect("a frame in time")
    }

    /// The next frame; `None` when none comes for so long.
    pub async fn next_within(&mut self, wait: Duration) -> Option<Frame> {
        let deadline = Instant::now() + wait;
        loop {
            let frame = tokio::time::timeout_at(deadline, self.socket.next()).await.ok()?;
            return Some(match frame {
                Some(Ok(Message::Binary(bytes))) => Frame::Bytes(bytes.to_vec()),
                Some(Ok(Message::Text(text))) => {
                    Frame::Told(serde_json::from_str(&text).expect("JSON in a text frame"))
                }
                Some(Ok(Message::Close(close))) => Frame::Closed(close.map(|close| close.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(_)) | None => Frame::Cut,
            });
        }
    }

    /// The next message that is no ping, as it came.
    pub async fn socket_next(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            match message.expect("a message").expect("one that can be read") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next thing told, passing over bytes.
    pub async fn told(&mut self) -> Value {
        loop {
            match self.next().await {
                Frame::Told(told) => return told,
                Frame::Bytes(_) => {}
                end => panic!("{end:?} instead of a text frame"),
            }
        }
    }

    /// The next bytes, passing over what is told.
    pub async fn bytes(&mut self) -> Vec<u8> {
        loop {
            match self.next().await {
                Frame::Bytes(bytes) => return bytes,
                Frame::Told(_) => {}
                end => panic!("{end:?} instead of bytes"),
            }
        }
    }

    /// Reads bytes until they hold `text`; returns all of them.
    pub async fn until(&mut self, text: &str) -> Vec<u8> {
        self.until_within(text, PATIENCE).await
    }

    /// As [`until`](Self::until), with so much time for each frame.
    pub async fn until_within(&mut self, text: &str, wait: Duration) -> Vec<u8> {
        let mut all: Vec<u8> = Vec::new();
        let mut looked = 0;
        while memchr::memmem::find(&all[looked..], text.as_bytes()).is_none() {
            looked = all.len().saturating_sub(text.len());
            match self.next_within(wait).await {
                Some(Frame::Bytes(bytes)) => all.extend(bytes),
                Some(Frame::Told(_)) => {}
                end => panic!("{end:?} after {} bytes without {text:?}", all.len()),
            }
        }
        all
    }

    /// Reads to the end; everything told before it, and the end.
    pub async fn end(&mut self) -> (Vec<Value>, Frame) {
        let mut told = Vec::new();
        loop {
            match self.next().await {
                Frame::Told(value) => told.push(value),
                Frame::Bytes(_) => {}
                end => return (told, end),
            }
        }
    }

    pub async fn type_in(&mut self, text: &str) {
        self.send(Message::Binary(text.as_bytes().to_vec().into())).await;
    }

    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        timeout(PATIENCE, self.socket.send(message)).await.expect("it is taken").expect("it is open");
    }
}
