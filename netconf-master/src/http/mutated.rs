//! Whatever is sent, the API answers, never with a fault of its own.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use super::tests::server;

/// Bits that look random and are the same in each run (Knuth's MMIX generator).
struct Bits(u64);

impl Bits {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What is no name and no JSON, or hardly.
const WORDS: [&str; 20] = [
    "",
    "zz",
    "..",
    "%00",
    "%ff",
    "0123456789000001",
    "ffffffffff",
    "0000000000000001",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e400",
    "\"\\ud800\"",
];

const FIELDS: [&str; 18] = [
    "name",
    "public",
    "mtu",
    "bridging",
    "ipv4_pools",
    "ipv4_assign",
    "ipv6_rfc4193",
    "routes",
    "dns",
    "window",
    "epoch_period_s",
    "revision",
    "status",
    "static_ips",
    "fingerprint",
    "tags",
    "max_uses",
    "expires_in_s",
];

const VALUES: [&str; 26] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1500",
    "65536",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "\"\"",
    "\"x\"",
    "\"\\u0000\"",
    "\"authorized\"",
    "\"denied\"",
    "\"10.0.0.0/8\"",
    "\"10.0.0.0/30\"",
    "\"0.0.0.0/0\"",
    "\"10.0.0.1\"",
    "\"::\"",
    "{}",
    "{\"1\":2}",
    "{\"target\":\"10.0.0.0/30\"}",
    "{\"domain\":\"a..b\"}",
    "\"0707070707070707070707070707070707070707070707070707070707070707\"",
];

const PATHS: [&str; 8] = [
    "/api/v1/networks",
    "/api/v1/networks/@",
    "/api/v1/networks/@/epoch",
    "/api/v1/networks/@/members",
    "/api/v1/networks/@/members/@",
    "/api/v1/networks/@/invites",
    "/api/v1/networks/@/invites/@",
    "/api/v1/networks/@/audit",
];

#[tokio::test]
async fn twenty_thousand_senseless_requests_are_answered_without_a_fault() {
    let server = server();
    let mut network = server.network().await;
    let mut bits = Bits(1);
    let mut sent = 0;
    while sent < 20_000 {
        let mut parts = bits.one(&PATHS).split('@');
        let mut path = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let name = if path.len() == "/api/v1/networks/".len() {
                network.as_str()
            } else {
                "0a0b0c0d0e"
            };
            let word = bits.one(&WORDS);
            path.push_str(bits.one(&[name, name, name, name, name, name, word]));
            path.push_str(part);
        }
        if bits.below(4) == 0 {
            path.push_str(bits.one(&["?limit=", "?after=", "?limit=5&after=", "?&&=", "?x"]));
            path.push_str(bits.one(&WORDS));
        }
        let words = bits.below(12);
        let mut body: String = (0..words).map(|_| bits.one(&WORDS)).collect();
        if bits.below(8) != 0 {
            let (field, value, list) = (bits.one(&FIELDS), bits.one(&VALUES), bits.one(&VALUES));
            let value = bits.one(&[value, &format!("[{value},{list}]")]).to_owned();
            body = format!(r#"{{"{field}":{value}}}"#);
        }
        let request = Request::builder()
            .method(bits.one(&["GET", "POST", "PUT", "PATCH", "DELETE"]))
            .uri(&path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, "Bearer secret")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.clone()));
        // What is no URI never gets as far as the API.
        let Ok(request) = request else {
            continue;
        };
        sent += 1;
        let (status, answer) = server.send(request).await;
        assert!(
            status < StatusCode::INTERNAL_SERVER_ERROR,
            "{path} {body}: {status} {answer}"
        );
        if status == StatusCode::NO_CONTENT && path.len() <= "/api/v1/networks/".len() + 16 {
            // It was deleted; an empty API answers nothing interesting.
            network = server.network().await;
        }
        if status.is_client_error() {
            assert!(answer["error"].is_string(), "{path} {body}: {answer}");
        }
    }
}
