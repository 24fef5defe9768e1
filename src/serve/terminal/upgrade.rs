//! From a request to a connection that speaks WebSocket.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_util::either::Either;
use tungstenite::handshake::server::create_response_with_body;

use crate::serve::io::TimedSocket;
use crate::session::terminal;

/// The answer that a request for a WebSocket gets, and what comes of it; `None` where the request is none.
pub fn accept(mut request: Request) -> Option<(Response, Connection)> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let response = create_response_with_body(&Request::from_parts(head, ()), Body::empty).ok()?;
    Some((response, Connection(upgrade)))
}

/// A connection that is about to leave HTTP.
#[derive(Debug)]
pub struct Connection(OnUpgrade);

/// What a client's socket is made of.
pub type ClientStream = Either<TcpStream, TokioIo<Upgraded>>;

/// A client's socket.
pub type ClientSocket = WebSocketStream<ClientStream>;

impl Connection {
    /// The connection once its answer is sent; the error says that the client went away.
    pub async fn open(self) -> hyper::Result<Client> {
        let upgraded = self.0.await?;
        Ok(match upgraded.downcast::<TokioIo<TimedSocket<TcpStream>>>() {
            Ok(parts) => Client::Tcp(parts.io.into_inner().into_socket(), parts.read_buf),
            Err(upgraded) => Client::Other(upgraded),
        })
    }

    /// Its socket.
    pub async fn socket(self) -> hyper::Result<ClientSocket> {
        Ok(self.open().await?.socket().await)
    }
}

/// A client whose connection has left HTTP.
#[derive(Debug)]
pub enum Client {
    /// It can be handed over, with what came after its request.
    Tcp(TcpStream, Bytes),
    /// It can't.
    Other(Upgraded),
}

impl Client {
    /// Its socket.
    pub async fn socket(self) -> ClientSocket {
        match self {
            Self::Tcp(stream, early) => terminal::socket(Either::Left(stream), early).await,
            Self::Other(upgraded) => {
                terminal::socket(Either::Right(TokioIo::new(upgraded)), Bytes::new()).await
            }
        }
    }
}
