//! Who may ask: the right Host, no foreign Origin, the admin's token.
//!
//! In: a request's head. Out: the request let through, or a refusal. Never: a comparison that takes longer for a better guess.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;
use zt_crypto::hash256;

use super::Api;
use super::failure::Failure;

/// What an administrator shows. Kept as its hash.
#[derive(Clone, Copy)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// The token of this text.
    pub fn new(text: &str) -> Self {
        Self(hash256(text.as_bytes()))
    }

    /// Whether `text` is it. Comparing hashes in constant time says nothing about length or place of a difference.
    fn is(&self, text: &str) -> bool {
        self.0.ct_eq(&hash256(text.as_bytes())).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

/// Lets through who has the token.
pub(super) async fn authorized(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if !shown.is_some_and(|(_, token)| api.token.is(token.trim())) {
        let failure = Failure::new(
            StatusCode::UNAUTHORIZED,
            "expected `Authorization: Bearer TOKEN` with the token of admin.token in the state directory",
        );
        return ([(header::WWW_AUTHENTICATE, "Bearer")], failure).into_response();
    }
    next.run(request).await
}

/// Lets through who asks for this machine (a web page elsewhere that resolves to us does not), and counts the answers.
pub(super) async fn right_host(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let response = match check(&api.hosts, request.headers()) {
        Ok(()) => in_json(next.run(request).await),
        Err(failure) => failure.into_response(),
    };
    let counter = match response.status().as_u16() {
        ..400 => &api.answers.good,
        400..500 => &api.answers.refused,
        500.. => &api.answers.failed,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    response
}

/// Refusals of the router itself (a path that is no UTF-8) come as text: they get the form that all others have.
fn in_json(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if status.as_u16() < 400 || kind.is_some_and(|kind| kind == "application/json") {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("refused");
    Failure::new(status, reason.to_lowercase()).into_response()
}

fn check(hosts: &[String], headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(header::HOST) else {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "expected a Host header",
        ));
    };
    let name = without_port(host);
    // A page elsewhere can make its own name lead here, but not an address that it does not have.
    let known = name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| name.eq_ignore_ascii_case(known));
    if !known {
        let error = format!(
            "this is not known as {name}; ask for its address, or start it with --http-host NAME"
        );
        return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST, error));
    }
    match text(header::ORIGIN) {
        None if headers.contains_key(header::ORIGIN) => Err(foreign()),
        Some(origin) if origin.strip_prefix("http://") != Some(host) => Err(foreign()),
        None | Some(_) => Ok(()),
    }
}

fn foreign() -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "web pages of another origin are not served",
    )
}

/// `localhost:9994` and `[::1]:9994` without port and brackets.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &str, origin: Option<&str>) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let hosts = ["master.example".to_owned()];
        check(&hosts, &headers)
            .err()
            .map(|failure| failure.into_response().status())
    }

    #[test]
    fn only_addresses_and_this_machines_names_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:9994",
            "127.0.0.1:9994",
            "[::1]:9994",
            "192.0.2.1:1",
            "Master.Example:9994",
        ] {
            assert_eq!(asked(host, None), None, "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:9994",
            "127.1.evil",
            "",
        ] {
            assert_eq!(
                asked(host, None),
                Some(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
    }

    #[test]
    fn only_a_page_of_the_api_itself_may_ask() {
        assert_eq!(asked("localhost:9994", Some("http://localhost:9994")), None);
        for origin in [
            "http://localhost:80",
            "http://evil.example",
            "null",
            "https://localhost:9994",
        ] {
            let status = asked("localhost:9994", Some(origin));
            assert_eq!(status, Some(StatusCode::FORBIDDEN), "{origin}");
        }
    }
}
