//! The API as an administrator, an outsider and a fumbler use it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use hyper::service::Service as _;
use serde_json::{Value, json};
use zt_engine::Unix;

use super::{AdminToken, Api};
use crate::controller::Push;
use crate::desk::{Desk, News};
use crate::testing;

/// An API over a memory store, and the news it makes.
pub(super) struct Server {
    router: axum::Router,
    news: tokio::sync::mpsc::Receiver<News>,
}

pub(super) fn server() -> Server {
    let (desk, news) = Desk::new(Arc::new(testing::controller()), || Unix(1_000_000));
    let router = Api::new(desk, AdminToken::new("secret"), Vec::new()).router();
    Server { router, news }
}

impl Server {
    pub(super) async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let service = hyper_util::service::TowerToHyperService::new(self.router.clone());
        let response = service.call(request).await.unwrap();
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        if kind.is_some_and(|kind| kind == "text/event-stream") {
            // It has no end.
            return (status, Value::Null);
        }
        let bytes = axum::body::to_bytes(Body::new(response.into_body()), 1 << 24)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::String(text)),
        )
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:9994")
            .header(header::AUTHORIZATION, "Bearer secret");
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub(super) async fn network(&self) -> String {
        let wanted = json!({"name": "home", "ipv4_pools": ["10.20.0.0/24"]});
        let (status, network) = self.ask("POST", "/api/v1/networks", Some(wanted)).await;
        assert_eq!(status, StatusCode::CREATED, "{network}");
        network["id"].as_str().unwrap().to_owned()
    }

    fn pushes(&mut self) -> Vec<Push> {
        let mut pushes = Vec::new();
        while let Ok(News::Push(push)) = self.news.try_recv() {
            pushes.push(push);
        }
        pushes
    }
}

#[tokio::test]
async fn a_network_is_made_changed_and_deleted() {
    let mut server = server();
    let id = server.network().await;
    let path = format!("/api/v1/networks/{id}");
    let (status, shown) = server.ask("GET", &path, None).await;
    assert_eq!((status, &shown["public"]), (StatusCode::OK, &json!(false)));
    let (_, changed) = server.ask("PATCH", &path, Some(json!({"mtu": 2800}))).await;
    assert_eq!(changed["mtu"], 2800);
    assert_eq!(changed["ipv4_pools"], json!(["10.20.0.0/24"]));
    assert_eq!(server.pushes().len(), 1, "members are told");
    let (_, list) = server.ask("GET", "/api/v1/networks", None).await;
    assert_eq!(list, json!([changed]));
    let (status, _) = server.ask("DELETE", &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = server.ask("GET", &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_the_token_only_the_open_routes_answer() {
    let server = server();
    for (_, path, open) in documented() {
        let path = filled(&path);
        for token in [
            None,
            Some("Bearer wrong"),
            Some("Basic secret"),
            Some("secret"),
        ] {
            let mut request = Request::builder()
                .uri(&path)
                .header(header::HOST, "localhost");
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, token);
            }
            let (status, _) = server.send(request.body(Body::empty()).unwrap()).await;
            if open {
                assert_eq!(status, StatusCode::OK, "{path}");
            } else if path.ends_with("/epoch") {
                // Only a POST exists.
                assert_ne!(status, StatusCode::OK, "{path}");
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token:?}");
            }
        }
    }
}

#[tokio::test]
async fn another_host_or_origin_is_refused_even_with_the_token() {
    let server = server();
    for (host, origin, expected) in [
        ("evil.example", None, StatusCode::MISDIRECTED_REQUEST),
        (
            "localhost",
            Some("http://evil.example"),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let mut request = Request::builder()
            .uri("/api/v1/networks")
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, "Bearer secret");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let (status, _) = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, expected);
    }
}

#[allow(clippy::too_many_lines, reason = "one row a case")]
#[tokio::test]
async fn wrong_input_names_its_field_and_changes_nothing() {
    let mut server = server();
    let id = server.network().await;
    let network = format!("/api/v1/networks/{id}");
    let member = format!("{network}/members/0a0b0c0d0e");
    let (_, before) = server.ask("GET", &network, None).await;
    let cases = [
        ("POST", "/api/v1/networks", json!({"mtu": 1}), "mtu"),
        ("POST", "/api/v1/networks", json!({"mtu": "big"}), "mtu"),
        ("PATCH", &network, json!({"rules": "accept if"}), "rules"),
        ("POST", "/api/v1/networks", json!({"mtu": -1}), "mtu"),
        (
            "POST",
            "/api/v1/networks",
            json!({"colour": "red"}),
            "colour",
        ),
        (
            "POST",
            "/api/v1/networks",
            json!({"ipv4_pools": ["10.0.0.1/8"]}),
            "ipv4_pools[0]",
        ),
        (
            "POST",
            "/api/v1/networks",
            json!({"routes": [{"target": "x"}]}),
            "routes[0].target",
        ),
        (
            "PATCH",
            &network,
            json!({"public": true, "window": 0}),
            "window",
        ),
        (
            "PATCH",
            &network,
            json!({"revision": 999, "public": true}),
            "revision",
        ),
        ("PUT", &member, json!({"status": "admin"}), "status"),
        (
            "PUT",
            &member,
            json!({"static_ips": ["10.21.0.1"]}),
            "static_ips",
        ),
        (
            "PUT",
            &member,
            json!({"static_ips": ["10.20.0.255"]}),
            "static_ips",
        ),
        ("PUT", &member, json!({"fingerprint": "12"}), "fingerprint"),
        (
            "PUT",
            &format!("{network}/members/zz"),
            json!({}),
            "address",
        ),
        (
            "POST",
            &format!("{network}/invites"),
            json!({"max_uses": -1}),
            "max_uses",
        ),
        (
            "POST",
            &format!("{network}/invites"),
            json!({"expires_in_s": 1e18}),
            "expires_in_s",
        ),
        ("GET", "/api/v1/networks?limit=0", Value::Null, "limit"),
        ("GET", "/api/v1/networks?limit=1001", Value::Null, "limit"),
        ("GET", "/api/v1/networks?after=xyz", Value::Null, "after"),
        ("GET", "/api/v1/networks?order=name", Value::Null, "order"),
        ("GET", "/api/v1/networks/xyz", Value::Null, "network"),
    ];
    for (method, path, body, field) in cases {
        let body = Some(body).filter(|body| !body.is_null());
        let (status, answer) = server.ask(method, path, body.clone()).await;
        assert!(
            status.is_client_error(),
            "{method} {path} {body:?}: {status} {answer}"
        );
        assert_eq!(answer["field"], field, "{method} {path} {body:?}: {answer}");
        assert!(
            answer["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty())
        );
    }
    let (_, after) = server.ask("GET", &network, None).await;
    assert_eq!(before, after);
    let (_, members) = server.ask("GET", &format!("{network}/members"), None).await;
    assert_eq!(members, json!([]));
    assert_eq!(server.pushes(), []);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_a_reason() {
    let server = server();
    for (kind, body, expected) in [
        ("application/json", "{".to_owned(), StatusCode::BAD_REQUEST),
        ("application/json", "[]".to_owned(), StatusCode::BAD_REQUEST),
        (
            "application/json",
            "{} {}".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "application/json",
            "[".repeat(60_000),
            StatusCode::BAD_REQUEST,
        ),
        (
            "application/json",
            " ".repeat(330_000),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            "text/plain",
            "{}".to_owned(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/networks")
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, "Bearer secret")
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        let (status, answer) = server.send(request).await;
        assert_eq!(status, expected, "{answer}");
        assert!(
            answer["error"].is_string() && answer["field"].is_null(),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn members_are_paged_let_in_and_put_out() {
    let mut server = server();
    let id = server.network().await;
    let members = format!("/api/v1/networks/{id}/members");
    for number in 1..=5 {
        let path = format!("{members}/0a0000000{number}");
        let (status, _) = server.ask("PUT", &path, Some(json!({"name": "x"}))).await;
        assert_eq!(status, StatusCode::OK);
    }
    let (_, first) = server.ask("GET", &format!("{members}?limit=2"), None).await;
    let last = first[1]["address"].as_str().unwrap();
    let (_, rest) = server
        .ask("GET", &format!("{members}?limit=10&after={last}"), None)
        .await;
    assert_eq!(
        (
            first.as_array().unwrap().len(),
            rest.as_array().unwrap().len()
        ),
        (2, 3)
    );
    let one = format!("{members}/0a00000001");
    let known = json!({"status": "authorized", "fingerprint": "07".repeat(32)});
    let (_, member) = server.ask("PATCH", &one, Some(known)).await;
    assert_eq!(member["status"], "authorized", "{member}");
    assert_eq!(member["ips"].as_array().unwrap().len(), 1, "{member}");
    server.pushes();
    let (_, member) = server
        .ask("PATCH", &one, Some(json!({"status": "denied"})))
        .await;
    assert_eq!(member["ips"], json!([]));
    let revoked = server
        .pushes()
        .iter()
        .any(|push| matches!(push, Push::RevokeAll { .. }));
    assert!(revoked, "the others are told at once");
    let (status, _) = server.ask("DELETE", &one, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = server.ask("PATCH", &one, Some(json!({}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_address_is_given_to_one_member_only() {
    let server = server();
    let id = server.network().await;
    let path = |number| format!("/api/v1/networks/{id}/members/0a0000000{number}");
    let wanted = json!({"static_ips": ["10.20.0.9"]});
    let (status, _) = server.ask("PUT", &path(1), Some(wanted.clone())).await;
    assert_eq!(status, StatusCode::OK);
    let (status, answer) = server.ask("PUT", &path(2), Some(wanted)).await;
    assert_eq!(
        (status, &answer["field"]),
        (StatusCode::CONFLICT, &json!("static_ips"))
    );
}

#[tokio::test]
async fn an_invite_shows_its_text_once_and_carries_the_world() {
    let server = server();
    let id = server.network().await;
    let invites = format!("/api/v1/networks/{id}/invites");
    let (status, made) = server.ask("POST", &invites, None).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let text: zt_wire::Invite = made["invite"].as_str().unwrap().parse().unwrap();
    assert_eq!(text.network.to_string(), id);
    assert_eq!(text.world, testing::WORLD);
    assert_eq!(
        (&made["max_uses"], &made["expires_at"]),
        (&json!(1), &json!(1_086_400))
    );
    let (_, list) = server.ask("GET", &invites, None).await;
    assert_eq!(list[0]["id"], made["id"]);
    assert!(list[0].get("invite").is_none(), "{list}");
    let one = format!("{invites}/{}", made["id"].as_str().unwrap());
    let (status, _) = server.ask("DELETE", &one, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, shown) = server.ask("GET", &one, None).await;
    assert_eq!(shown["revoked"], true);
}

#[tokio::test]
async fn the_audit_says_who_did_what_even_after_the_network_is_gone() {
    let server = server();
    let id = server.network().await;
    let network = format!("/api/v1/networks/{id}");
    server
        .ask("PATCH", &network, Some(json!({"public": true})))
        .await;
    server.ask("DELETE", &network, None).await;
    let (_, audit) = server.ask("GET", &format!("{network}/audit"), None).await;
    let actions: Vec<&str> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["network.create", "network.update", "network.delete"]
    );
    let (_, rest) = server
        .ask("GET", &format!("{network}/audit?after=2"), None)
        .await;
    assert_eq!(rest.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn events_follow_the_log_from_where_the_reader_was() {
    use futures_util::StreamExt as _;
    let server = server();
    let id = server.network().await;
    let request = Request::builder()
        .uri("/api/v1/events")
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, "Bearer secret")
        .header("Last-Event-ID", "0");
    let service = hyper_util::service::TowerToHyperService::new(server.router.clone());
    let response = service
        .call(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let mut stream = Body::new(response.into_body()).into_data_stream();
    let first = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        first.contains("event: network.create") && first.contains("id: 1"),
        "{first}"
    );
    let network = format!("/api/v1/networks/{id}");
    server
        .ask("PATCH", &network, Some(json!({"public": true})))
        .await;
    let second = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        second.contains("event: network.update") && second.contains("id: 2"),
        "{second}"
    );
}

#[tokio::test]
async fn every_documented_route_exists_and_no_other() {
    let server = server();
    let documented = documented();
    for (method, path, _) in &documented {
        let (status, answer) = server.ask(method, &filled(path), None).await;
        let missing = answer["error"]
            .as_str()
            .is_some_and(|error| error.contains("openapi.json"));
        assert!(
            status != StatusCode::METHOD_NOT_ALLOWED && !missing,
            "{method} {path}: {status}"
        );
    }
    let paths: BTreeSet<&String> = documented.iter().map(|(_, path, _)| path).collect();
    for path in paths {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let known = documented.iter().any(|(m, p, _)| m == method && p == path);
            let (status, _) = server.ask(method, &filled(path), None).await;
            assert_eq!(
                status == StatusCode::METHOD_NOT_ALLOWED,
                !known,
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn the_description_names_exactly_the_fields_that_records_have() {
    let server = server();
    let id = server.network().await;
    let network = format!("/api/v1/networks/{id}");
    let member = format!("{network}/members/0a0b0c0d0e");
    let full = json!({"routes": [{"target": "10.0.0.0/8", "via": "10.20.0.1"}]});
    let (_, shown) = server.ask("PATCH", &network, Some(full)).await;
    let (_, made) = server
        .ask("POST", &format!("{network}/invites"), None)
        .await;
    let (_, invites) = server.ask("GET", &format!("{network}/invites"), None).await;
    let (_, member) = server.ask("PUT", &member, None).await;
    let (_, audit) = server.ask("GET", &format!("{network}/audit"), None).await;
    let (_, error) = server.ask("GET", "/nowhere", None).await;
    let (_, rules) = server.ask("GET", &format!("{network}/rules"), None).await;
    for (schema, record) in [
        ("Network", &shown),
        ("NetworkRules", &rules),
        ("MemberCounts", &shown["members"]),
        ("Route", &shown["routes"][0]),
        ("Dns", &shown["dns"]),
        ("Member", &member),
        ("NewInvite", &made),
        ("Invite", &invites[0]),
        ("Audit", &audit[0]),
        ("Error", &error),
    ] {
        let fields: BTreeSet<&String> = record.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            properties(&document(), schema).iter().collect(),
            "{schema}"
        );
    }
}

#[tokio::test]
async fn every_documented_setting_is_taken_and_no_other() {
    let server = server();
    let id = server.network().await;
    let document = document();
    for (schema, method, path) in [
        ("NetworkSettings", "PATCH", format!("/api/v1/networks/{id}")),
        (
            "MemberSettings",
            "PUT",
            format!("/api/v1/networks/{id}/members/0a0b0c0d0e"),
        ),
        (
            "InviteSettings",
            "POST",
            format!("/api/v1/networks/{id}/invites"),
        ),
    ] {
        // Serde lists what it would have taken when it refuses a field.
        let (_, answer) = server.ask(method, &path, Some(json!({"no_such": 1}))).await;
        let error = answer["error"].as_str().unwrap();
        let (_, listed) = error.split_once("expected one of ").unwrap();
        let listed = listed.split(" at line").next().unwrap();
        let taken: BTreeSet<String> = listed
            .split(", ")
            .map(|name| name.trim_matches('`').to_owned())
            .collect();
        assert_eq!(taken, properties(&document, schema), "{schema}");
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_are_told_without_token() {
    let server = server();
    server.network().await;
    for (path, part) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "zt_master_networks 1"),
    ] {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, "localhost");
        let (status, answer) = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer.as_str().unwrap().contains(part), "{answer}");
    }
}

fn document() -> Value {
    serde_json::from_str(super::about::OPENAPI).unwrap()
}

fn properties(document: &Value, schema: &str) -> BTreeSet<String> {
    let properties = &document["components"]["schemas"][schema]["properties"];
    properties.as_object().unwrap().keys().cloned().collect()
}

/// Method, path and whether it is open, of each operation.
fn documented() -> Vec<(String, String, bool)> {
    let document = document();
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if method != "parameters" {
                let open = operation["security"] == json!([]);
                all.push((method.to_uppercase(), path.clone(), open));
            }
        }
    }
    all
}

fn filled(path: &str) -> String {
    path.replace("{network}", "0123456789000001")
        .replace("{address}", "0a0b0c0d0e")
        .replace("{invite}", "0000000000000001")
}
