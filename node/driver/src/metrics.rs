//! Counters for Prometheus, over a small HTTP listener.
//!
//! Owner: the program. In: a handle, an address. Out: `/metrics` as text.
//! Never: names of people or networks.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use zt_engine::counters::CounterGroups;

use crate::runtime::Handle;

/// Opens the listener; call before privileges are dropped.
///
/// # Errors
/// The kernel's reason when the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers `/metrics` until the program ends.
///
/// # Errors
/// The kernel's reason when the listener cannot be used.
pub async fn serve(listener: std::net::TcpListener, handle: Handle) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let routes = Router::new()
        .route("/metrics", get(answer))
        .with_state(handle);
    axum::serve(listener, routes).await
}

/// The counters in Prometheus' text format: `zt_drops_total{reason="..."}`, and one metric per other group.
pub fn text(groups: &CounterGroups) -> String {
    let mut text = String::new();
    for (group, counts) in groups {
        let label = if *group == "drops" { "reason" } else { "kind" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# TYPE zt_{group}_total counter");
        for (name, count) in counts {
            let _ = writeln!(text, "zt_{group}_total{{{label}=\"{name}\"}} {count}");
        }
    }
    text
}

async fn answer(State(handle): State<Handle>) -> impl IntoResponse {
    let body = text(&handle.counters().await);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_one_metric_with_a_reason_each() {
        let mut groups = CounterGroups::new();
        groups.entry("drops").or_default().insert("forged", 3);
        groups.entry("frames").or_default().insert("in", 1);
        let text = text(&groups);
        assert!(
            text.contains("# TYPE zt_drops_total counter\nzt_drops_total{reason=\"forged\"} 3\n")
        );
        assert!(text.contains("zt_frames_total{kind=\"in\"} 1\n"));
    }
}
