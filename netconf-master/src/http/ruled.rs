//! Flow rules over the API: long ones, wrong ones, compiled ones.

use axum::http::StatusCode;
use serde_json::json;

use super::tests::server;

#[tokio::test]
async fn long_rules_are_taken_compiled_and_refused_by_line_not_by_their_length() {
    let server = server();
    let network = format!("/api/v1/networks/{}", server.network().await);
    let long =
        "# forty-two bytes of nothing in particular\n".repeat(2_900) + "drop if ipx;\naccept;\n";
    let (status, _) = server
        .ask("PATCH", &network, Some(json!({"rules": long})))
        .await;
    assert_eq!(status, StatusCode::OK);
    let (_, shown) = server.ask("GET", &format!("{network}/rules"), None).await;
    assert_eq!(shown["compiled"]["rules"][0]["line"], 2_901);
    assert_eq!(shown["compiled"]["rules"][1]["action"], "accept");
    for (text, said) in [
        ("accept;\n  dorp;\n".to_owned(), "line 2, column 3: 'dorp'"),
        (
            long.repeat(2),
            "line 3050, column 1: more than 131072 bytes",
        ),
        (
            "drop;\n".repeat(1_025),
            "line 1025, column 1: more than 1024 rules",
        ),
    ] {
        let (status, answer) = server
            .ask("PATCH", &network, Some(json!({"rules": text})))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["field"], "rules");
        assert!(
            answer["error"].as_str().is_some_and(|e| e.contains(said)),
            "{answer}"
        );
    }
    let (_, after) = server.ask("GET", &format!("{network}/rules"), None).await;
    assert_eq!(after, shown, "what ran goes on");
}
