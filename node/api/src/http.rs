//! One HTTP request and its JSON answer, over a Unix socket or TCP.
//!
//! In: method, path, body. Out: the answer as a type, or why not.
//! Never: a connection kept, a redirect followed, an answer over `ANSWER_LIMIT` read, a wait without end.

use core::time::Duration;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::{ApiError, ErrorBody};

/// Largest answer read: a page of members or a dump is far below it.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// How long a request may take unless said otherwise: a daemon answers from memory, a database within seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where requests go, with what credential and patience.
#[derive(Clone, Debug)]
pub struct Http {
    target: Target,
    token: Option<String>,
    limit: Duration,
}

#[derive(Clone, Debug)]
enum Target {
    Unix(PathBuf),
    Tcp(String),
}

impl Http {
    /// Requests to a daemon's Unix socket.
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        Self {
            target: Target::Unix(socket.into()),
            token: None,
            limit: PATIENCE,
        }
    }

    /// Requests to `http://HOST:PORT`, each with this bearer token.
    ///
    /// # Errors
    /// [`ApiError::BadUrl`] for anything but plain HTTP to a host and port.
    pub fn tcp(url: &str, token: Option<String>) -> Result<Self, ApiError> {
        let bad = || ApiError::BadUrl {
            url: url.to_owned(),
        };
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or_else(bad)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
            return Err(bad());
        }
        Ok(Self {
            target: Target::Tcp(authority.to_owned()),
            token,
            limit: PATIENCE,
        })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A GET.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// A PUT.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// A POST.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// A PATCH.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// A DELETE.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// Whether a GET succeeds, whatever it answers with.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn probe(&self, path: &str) -> Result<(), ApiError> {
        self.raw(Method::GET, path, None::<&()>).await.map(drop)
    }

    /// Any request. An answer without a body reads as `()`.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let bytes = self.raw(method, path, body).await?;
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|e| ApiError::Unexpected(e.to_string()))
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, ApiError> {
        let request = self.request(method, path, body)?;
        let answer = tokio::time::timeout(self.limit, self.send(request));
        let (status, bytes) = answer.await.map_err(|_| ApiError::TimedOut)??;
        if !status.is_success() {
            let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| ErrorBody {
                error: status.to_string(),
                field: None,
                trouble: None,
            });
            return Err(ApiError::Answer {
                status: status.as_u16(),
                body,
            });
        }
        Ok(bytes)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let host = match &self.target {
            Target::Unix(_) => "localhost",
            Target::Tcp(authority) => authority,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host);
        request = request.header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|e| ApiError::Unexpected(e.to_string()))?
            }
            None => Vec::new(),
        };
        request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|e| ApiError::Broken(e.to_string()))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ApiError> {
        match &self.target {
            Target::Unix(socket) => {
                let stream = UnixStream::connect(socket)
                    .await
                    .map_err(|e| unix_error(socket, &e))?;
                exchange(stream, request).await
            }
            Target::Tcp(authority) => {
                let stream =
                    TcpStream::connect(authority)
                        .await
                        .map_err(|source| ApiError::NoServer {
                            authority: authority.clone(),
                            source,
                        })?;
                exchange(stream, request).await
            }
        }
    }
}

fn unix_error(socket: &Path, error: &std::io::Error) -> ApiError {
    let socket = socket.to_owned();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => ApiError::NoPermission { socket },
        _ => ApiError::NoDaemon { socket },
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), ApiError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |e: hyper::Error| ApiError::Broken(e.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
        .collect()
        .await
        .map_err(|e| ApiError::Broken(e.to_string()))?;
    connection.abort();
    Ok((status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_host_and_port_is_a_url() {
        for good in [
            "http://127.0.0.1:9994",
            "127.0.0.1:9994",
            "http://[::1]:9994/",
            "http://box.example:80",
        ] {
            assert!(Http::tcp(good, None).is_ok(), "{good}");
        }
        for bad in [
            "https://127.0.0.1:9994",
            "http://127.0.0.1",
            "http://a b:1",
            "http://x:99999",
            "",
            "http://h:1/path",
        ] {
            assert!(
                matches!(Http::tcp(bad, None), Err(ApiError::BadUrl { .. })),
                "{bad}"
            );
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_socket_without_a_daemon_says_exit_code_6() {
        let error = Http::unix("/nonexistent/node.sock")
            .get::<()>("/v1/info")
            .await
            .unwrap_err();
        assert_eq!(error.exit(), crate::Exit::NotRunning);
    }
}
