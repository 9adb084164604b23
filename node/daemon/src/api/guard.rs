//! Who may use the control API.
//!
//! In: the peer's credentials, or Host, Origin and bearer token. Out: the request, or a refusal.
//! Never: a browser's request (it has an Origin); a token compared byte by byte until the first difference.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::doors::Caller;
use super::routes::refusal;

/// Lets root in, our own user, and our own group.
pub async fn by_peer(
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let ours = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if caller.user.is_some_and(|user| may(user, ours)) {
        return next.run(request).await;
    }
    refusal(
        StatusCode::FORBIDDEN,
        "only root, the node's user and its group may ask",
    )
    .into_response()
}

/// Lets in who knows the token, names us by a loopback name, and is no browser.
pub async fn by_token(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || !host_is_local(headers) {
        return refusal(
            StatusCode::FORBIDDEN,
            "only programs on this machine may ask",
        )
        .into_response();
    }
    if !token_fits(headers, &token) {
        return refusal(
            StatusCode::UNAUTHORIZED,
            "the bearer token is missing or wrong",
        )
        .into_response();
    }
    next.run(request).await
}

fn may(caller: (u32, u32), ours: (u32, u32)) -> bool {
    caller.0 == 0 || caller.0 == ours.0 || caller.1 == ours.1
}

fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => host.split(':').next(),
    };
    matches!(name, Some("127.0.0.1" | "::1" | "localhost"))
}

fn token_fits(headers: &HeaderMap, token: &str) -> bool {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn root_and_our_own_user_and_group_may_ask_and_nobody_else() {
        let ours = (1000, 1000);
        assert!(may((0, 0), ours) && may((1000, 5), ours) && may((7, 1000), ours));
        assert!(!may((7, 7), ours) && !may((7, 0), ours));
    }

    #[test]
    fn a_name_that_could_be_rebound_is_not_local() {
        for host in ["127.0.0.1:9", "localhost", "localhost:1", "[::1]:9"] {
            assert!(host_is_local(&headers(&[(HOST, host)])), "{host}");
        }
        for host in [
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!host_is_local(&headers(&[(HOST, host)])), "{host}");
        }
        assert!(!host_is_local(&HeaderMap::new()));
    }

    #[test]
    fn only_the_whole_token_fits() {
        let fits = |value| token_fits(&headers(&[(AUTHORIZATION, value)]), "secret");
        assert!(fits("Bearer secret"));
        assert!(
            !fits("Bearer secre")
                && !fits("Bearer secrets")
                && !fits("secret")
                && !fits("Basic secret")
        );
        assert!(!token_fits(&HeaderMap::new(), "secret"));
    }
}
