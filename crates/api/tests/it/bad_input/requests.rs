//! Odd paths, methods and headers.

use serde_json::json;
use test_support::{ACME, Method, PASSWORD};

use super::{Bench, document, fields, operations, raw, short};

#[tokio::test]
async fn odd_paths_lead_nowhere() {
    let bench = Bench::new().await;
    let card = bench.ids["card_id"];
    let paths = [
        "//api/v1/me".to_owned(),
        "/api//v1/me".to_owned(),
        "/api/v1/me/".to_owned(),
        "/API/V1/ME".to_owned(),
        "/api/v1/./me".to_owned(),
        "/api/v1/cards/../me".to_owned(),
        "/api/v1/cards/%2e%2e/me".to_owned(),
        "/api/v1/cards%2f".to_owned() + &card.to_string(),
        format!("/api/v1/cards/{card}%2f"),
        format!("/api/v1/cards/{card}%00"),
        format!("/api/v1/cards/{card}%20"),
        format!("/api/v1/cards/%7b{card}%7d%7d"),
        format!("/api/v1/cards/{card};x=y"),
        format!("/api/v1/cards/{card}/"),
        format!("/api/v1/cards/{card}/..%2f..%2fme"),
        "/api/v1/cards/%".to_owned(),
        "/api/v1/cards/%zz".to_owned(),
        "/api/v1/cards/%ff%fe".to_owned(),
        "/api/v1/cards/%00".to_owned(),
        "/api/v1/cards/1".to_owned(),
        "/api/v1/cards/-1".to_owned(),
        "/api/v1/cards/null".to_owned(),
        "/api/v1/cards/'%20OR%20true--".to_owned(),
        format!("/api/v1/cards/{}", "x".repeat(10_000)),
        format!("/api/v1/{}", "a/".repeat(2_000)),
        "/docs/..%2f..%2fCargo.toml".to_owned(),
        "/docs/../openapi.json".to_owned(),
        "/docs/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/.env".to_owned(),
        "/%".to_owned(),
    ];
    for path in &paths {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\r\n",
            bench.cookie()
        );
        let (status, text) = raw(&bench, head.as_bytes()).await;
        assert_eq!(status, 404, "{path}: {}", short(&text));
        assert!(
            text.to_lowercase()
                .contains("content-type: application/problem+json"),
            "{path}: {}",
            short(&text)
        );
        assert!(
            text.contains("\"code\":\"not_found\""),
            "{path}: {}",
            short(&text)
        );
    }
    // Each id of each operation.
    for operation in operations(&document()) {
        for name in bench
            .ids
            .keys()
            .filter(|name| operation.path.contains(&format!("{{{name}}}")))
        {
            for odd in [
                "x",
                "%00",
                "..%2f",
                "00000000-0000-0000-0000-00000000000",
                "%c3%28",
            ] {
                let path = bench.path(&operation.path.replace(&format!("{{{name}}}"), odd));
                let body = operation.body.as_ref().map(|_| json!({"nope": 1}));
                let answer = bench
                    .admin
                    .send(operation.method.clone(), &path, body.as_ref())
                    .await;
                // Where both are wrong, either may be said.
                fields(
                    &answer,
                    &[404, 422],
                    &format!("{} with {name} = {odd}", operation.id),
                );
            }
        }
    }
    bench.nothing_happened().await;
}

#[tokio::test]
async fn other_methods_are_named_in_allow() {
    let bench = Bench::new().await;
    let document = document();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        let path = bench.path(pattern);
        let mut documented: Vec<String> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        if documented.contains(&"GET".to_owned()) {
            documented.push("HEAD".to_owned());
        }
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "PROPFIND",
        ] {
            if documented.iter().any(|known| known == method) {
                continue;
            }
            let answer = bench.admin.send(method.parse().unwrap(), &path, None).await;
            assert_eq!(answer.problem(405), "method_not_allowed", "{method} {path}");
            let allow = answer.headers["allow"].to_str().unwrap();
            for known in &documented {
                assert!(
                    allow.split(", ").any(|word| word == known),
                    "{method} {path}: {known} is not in {allow}"
                );
            }
        }
    }
    for path in ["/openapi.json", "/docs/", "/docs"] {
        assert_eq!(
            bench.admin.post(path, &json!({})).await.problem(405),
            "method_not_allowed",
            "{path}"
        );
    }
    for (path, status) in [("/healthz", 200), ("/api/v1/me", 200), ("/nowhere", 404)] {
        let answer = bench.admin.send(Method::HEAD, path, None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (status, ""),
            "HEAD {path}"
        );
    }
    bench.nothing_happened().await;
}

#[tokio::test]
async fn odd_headers_are_refused_or_ignored() {
    let bench = Bench::new().await;
    let card = format!("/api/v1/cards/{}", bench.ids["card_id"]);
    let change = json!({"title": "Changed"});
    let long = "9".repeat(6_000);
    for tag in [
        "1",
        "\"x\"",
        "W/\"1\"",
        "\"1\", \"2\"",
        "\"\"",
        "\"",
        "\"-\"",
        "\"1e1\"",
        "\"99999999999999999999\"",
        &long,
        " ",
    ] {
        let answer = bench
            .admin
            .with_header("if-match", tag)
            .patch(&card, &change)
            .await;
        let what = format!("If-Match: {}", short(tag));
        super::names(&answer, &[400], "If-Match", &what);
    }
    for tag in ["\"7\"", "\"-1\"", "\"0\""] {
        assert_eq!(
            bench
                .admin
                .with_header("if-match", tag)
                .patch(&card, &change)
                .await
                .problem(412),
            "stale_version"
        );
    }
    let bytes = [
        b"PATCH ".as_slice(),
        card.as_bytes(),
        b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n",
        bench.cookie().as_bytes(),
        b"content-type: application/json\r\nif-match: \"\xff\"\r\ncontent-length: 2\r\n\r\n{}",
    ]
    .concat();
    assert_eq!(raw(&bench, &bytes).await.0, 400);

    let stranger = bench.app.anonymous();
    let filler = "x".repeat(8_000);
    let cookies = [
        format!("plinth_session={filler}"),
        format!("other={filler}"),
        format!("a=b; {}", "c=d; ".repeat(1_500)),
        "plinth_session=".to_owned(),
        "plinth_session=%00%ff".to_owned(),
        ";;;===".to_owned(),
    ];
    for cookie in &cookies {
        let answer = stranger.with_header("cookie", cookie).get("/api/v1/me").await;
        assert_eq!(answer.problem(401), "unauthenticated", "{}", short(cookie));
    }
    let key = format!("plinth_{filler}");
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "bearer x",
        "Basic x",
        "Bearer plinth_",
        "Digest username=x",
        &filler,
        &format!("Bearer {key}"),
    ] {
        let answer = bench
            .admin
            .with_header("authorization", authorization)
            .get("/api/v1/me")
            .await;
        assert_eq!(answer.problem(401), "unauthenticated", "{}", short(authorization));
    }
    for (name, value) in [
        ("x-request-id", "short"),
        ("x-request-id", &filler),
        ("x-request-id", "a b c d e f g h"),
        ("traceparent", "zz-zz"),
        ("accept", "text/html;q=x"),
        ("accept-encoding", "nonsense, gzip;q=7"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-for", "'"),
        ("range", "bytes=99-1"),
        ("if-none-match", "\""),
        ("user-agent", &filler),
        ("host", "localhost:99999"),
    ] {
        let answer = bench.admin.with_header(name, value).get("/api/v1/me").await;
        assert!(
            answer.status == 200 || answer.status == 400,
            "{name}: {}: {}",
            short(value),
            short(&answer.text)
        );
        if answer.status == 200 {
            let id = answer.headers["x-request-id"].to_str().unwrap();
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name}: {id}"
            );
        }
    }
    let nothing = bench
        .admin
        .with_header("accept-encoding", "identity;q=0")
        .get("/api/v1/me")
        .await;
    assert_eq!(nothing.problem(406), "refused");
    // A page of another site, with the cookie that the browser sends along.
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(
            bench
                .admin
                .with_header(name, value)
                .patch(&card, &change)
                .await
                .problem(403),
            "cross_site"
        );
    }
    bench.nothing_happened().await;
}

/// Anybody may claim anything of where they come from; only a trusted proxy is believed.
#[tokio::test]
async fn strangers_do_not_choose_their_address() {
    let bench = Bench::new().await;
    let sign_in = json!({"domain": ACME, "email": "operator@plinth.test", "password": PASSWORD});
    let agent = "y".repeat(7_000);
    let stranger = bench
        .app
        .anonymous()
        .with_header("x-forwarded-for", "203.0.113.7")
        .with_header("x-forwarded-proto", "https")
        .with_header("forwarded", "for=203.0.113.7")
        .with_header("x-real-ip", "203.0.113.7")
        .with_header("user-agent", &agent);
    let answer = stranger.post("/api/v1/sessions", &sign_in).await;
    assert!(
        !answer.headers["set-cookie"].to_str().unwrap().contains("Secure"),
        "plain HTTP was taken for TLS"
    );
    answer.expect(201);
    let query =
        "SELECT count(*), count(*) FILTER (WHERE ip = '127.0.0.1') FROM sessions WHERE user_agent ^@ 'yyy'";
    let row = bench.app.world.client().query_one(query, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 1));
    let query = "SELECT count(*) FROM activity_stream WHERE ip <> '127.0.0.1'";
    assert_eq!(
        bench
            .app
            .world
            .client()
            .query_one(query, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
}

/// What is not HTTP at all is ended by the server, without a word of its inside and without harm.
#[tokio::test]
async fn what_is_no_http_is_ended() {
    let bench = Bench::new().await;
    let requests: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/sessions HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
    ];
    for request in requests {
        let (status, text) = raw(&bench, request).await;
        assert!(
            status < 500,
            "{}: {text}",
            short(&String::from_utf8_lossy(request))
        );
    }
    let many: String = (0..300).map(|n| format!("x-{n}: y\r\n")).collect();
    let (status, _) = raw(
        &bench,
        format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes(),
    )
    .await;
    assert!(status < 500, "{status}");
    let (status, _) = raw(
        &bench,
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(300_000)).as_bytes(),
    )
    .await;
    assert!(status < 500, "{status}");
    bench.nothing_happened().await;
}
