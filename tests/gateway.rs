//! The gateway of `examples/gateway`: what it forwards, what ends there, and
//! what it says when the origin does not answer.

#[path = "../examples/gateway/args.rs"]
mod args;
#[path = "../examples/gateway/fields.rs"]
mod fields;
#[path = "../examples/gateway/front.rs"]
mod front;
#[path = "../examples/gateway/proxy.rs"]
mod proxy;
#[path = "../examples/gateway/server.rs"]
mod server;
#[path = "../examples/gateway/settings.rs"]
mod settings;
#[path = "support/gateway.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Gateway, field, within};
use tower::{Layer, ServiceExt};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n{fields}\r\n")
}

#[tokio::test]
async fn an_answer_streams_while_the_origin_still_makes_it() {
    let gateway = Gateway::start().await;
    let mut client = gateway.connect().await;
    client.send(&get("/", "")).await;
    let mut origin = gateway.accept().await;
    origin.head().await;
    origin
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    client.until("first").await;
    origin.send("6\r\nsecond\r\n0\r\n\r\n").await;
    assert!(client.until("0\r\n\r\n").await.contains("second"));
    // and the copy that was made on the way is whole
    gateway.cache.idle().await;
    let hit = gateway.alone(&get("/", "")).await;
    assert!(hit.ends_with("\r\n\r\nfirstsecond"), "{hit}");
}

#[tokio::test]
async fn an_upload_streams_before_it_is_complete() {
    let gateway = Gateway::start().await;
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    let mut origin = gateway.accept().await;
    origin.until("first").await;
    client.send("6\r\nsecond\r\n0\r\n\r\n").await;
    assert!(origin.until("0\r\n\r\n").await.contains("second"));
    origin.send(OK).await;
    assert!(client.message().await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn a_body_that_the_origin_cuts_off_is_cut_off_and_not_stored() {
    let gateway = Gateway::start().await;
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        client.send(&get("/", "")).await;
        let mut origin = gateway.accept().await; // the second is no hit
        origin.head().await;
        origin
            .send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await;
        client.until("half").await;
        drop(origin);
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn every_method_is_forwarded() {
    let gateway = Gateway::start().await;
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PURGE",
        "M-SEARCH",
    ];
    for method in methods {
        let request = format!("{method} /{method}?q=1 HTTP/1.1\r\nhost: a.example\r\n\r\n");
        let answer = "HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n";
        let (seen, answer) = gateway.exchange(&request, answer).await;
        let line = format!("{method} /{method}?q=1 HTTP/1.1\r\n").to_ascii_lowercase();
        assert!(seen.starts_with(&line), "{seen}");
        assert!(answer.starts_with("http/1.1 299"), "{answer}");
    }
    let request = "OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n";
    let (seen, _) = gateway.exchange(request, OK).await;
    assert!(seen.starts_with("options * http/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn a_requests_fields_of_one_connection_end_here() {
    let gateway = Gateway::start().await;
    let request = "POST / HTTP/1.1\r\nhost: a.example\r\n\
        connection: keep-alive, X-Listed, host, content-length\r\nx-listed: 1\r\nx-kept: 1\r\n\
        keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: gzip\r\n\
        upgrade: websocket\r\nproxy-authorization: Basic eA==\r\nexpect: 100-continue\r\n\
        via: 1.0 before\r\nx-forwarded-for: 192.0.2.1\r\ncontent-length: 0\r\n\r\n";
    let (seen, _) = gateway.exchange(request, OK).await;
    for gone in [
        "connection",
        "x-listed",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "proxy-authorization",
        "expect",
    ] {
        assert_eq!(field(&seen, gone), None, "{gone}");
    }
    let is = |name: &str, value: &str| assert_eq!(field(&seen, name).as_deref(), Some(value));
    is("x-kept", "1");
    is("host", "a.example");
    is("content-length", "0");
    is("via", "1.0 before, 1.1 larder");
    is("x-forwarded-for", "192.0.2.1, 127.0.0.1");
}

#[tokio::test]
async fn a_client_that_takes_trailers_may_say_so() {
    let gateway = Gateway::start().await;
    let fields = "connection: te\r\nte: gzip, trailers\r\n";
    let (seen, _) = gateway.exchange(&get("/", fields), OK).await;
    assert_eq!(field(&seen, "te").as_deref(), Some("trailers"));
    assert_eq!(field(&seen, "connection").as_deref(), Some("te"));
}

#[tokio::test]
async fn an_answers_fields_of_one_connection_end_here() {
    let gateway = Gateway::start().await;
    let played = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: x-listed\r\nx-listed: 1\r\n\
        keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\nx-kept: 1\r\n\
        date: Sun, 06 Nov 1994 08:49:37 GMT\r\nvia: 1.1 before\r\n\r\nok";
    let (_, miss) = gateway.exchange(&get("/", ""), played).await;
    let hit = gateway.alone(&get("/", "")).await;
    for answer in [miss, hit] {
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        for gone in [
            "connection",
            "x-listed",
            "keep-alive",
            "proxy-authenticate",
            "upgrade",
        ] {
            assert_eq!(field(&answer, gone), None, "{gone}");
        }
        let is = |name: &str, value: &str| assert_eq!(field(&answer, name).as_deref(), Some(value));
        is("x-kept", "1");
        is("date", "sun, 06 nov 1994 08:49:37 gmt");
        is("via", "1.1 before, 1.0 larder");
    }
}

/// The origin does not see such a field, so an answer must not be kept as the
/// one for its value: that would be another's to poison.
#[tokio::test]
async fn a_field_that_connection_lists_is_no_part_of_a_key() {
    let gateway = Gateway::start().await;
    let german = "accept-language: de\r\n";
    let varied = "HTTP/1.1 200 OK\r\nvary: accept-language\r\ncontent-length: 2\r\n\r\nen";
    let listed = format!("connection: accept-language\r\n{german}");
    gateway.exchange(&get("/", &listed), varied).await;
    let (seen, _) = gateway.exchange(&get("/", german), varied).await;
    assert_eq!(field(&seen, "accept-language").as_deref(), Some("de"));
    let hit = gateway.alone(&get("/", "")).await;
    assert!(field(&hit, "age").is_some(), "{hit}");
}

#[tokio::test]
async fn hosts_are_kept_apart_and_a_target_decides() {
    let gateway = Gateway::start().await;
    gateway.exchange(&get("/", ""), OK).await;
    let other = "GET / HTTP/1.1\r\nhost: b.example\r\n\r\n";
    let (seen, _) = gateway.exchange(other, OK).await;
    assert_eq!(field(&seen, "host").as_deref(), Some("b.example"));
    // RFC 9112, 3.2.2: the field is ignored
    let absolute = "GET http://a.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    let hit = gateway.alone(absolute).await;
    assert!(field(&hit, "age").is_some(), "{hit}");
}

#[tokio::test]
async fn what_a_gateway_cannot_forward_is_refused() {
    let gateway = Gateway::start().await;
    for (request, status) in [
        (
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
            "501",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
    ] {
        let answer = gateway.alone(request).await;
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{answer}"
        );
    }
    let old = "GET / HTTP/1.0\r\n\r\n"; // has no host to name
    let (seen, _) = gateway.exchange(old, OK).await;
    let origin = gateway.origin.local_addr().unwrap().to_string();
    assert_eq!(field(&seen, "host"), Some(origin));
    assert_eq!(field(&seen, "via").as_deref(), Some("1.0 larder"));
}

#[tokio::test]
async fn http2_and_http1_share_what_is_stored() {
    let gateway = Gateway::start().await;
    let stream = tokio::net::TcpStream::connect(gateway.address)
        .await
        .unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a.example/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = client.send_request(request);
    let play = async {
        let mut origin = gateway.accept().await;
        let seen = origin.head().await;
        origin.send(OK).await;
        seen
    };
    let (answer, seen) = within("an answer", async { tokio::join!(answer, play) }).await;
    assert_eq!(field(&seen, "host").as_deref(), Some("a.example"));
    assert_eq!(field(&seen, "via").as_deref(), Some("2.0 larder"));
    let answer = answer.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let body = within("the body", answer.into_body().collect()).await;
    assert_eq!(body.unwrap().to_bytes(), "ok");
    gateway.cache.idle().await;
    let hit = gateway.alone(&get("/", "")).await;
    assert!(field(&hit, "age").is_some(), "{hit}");
}

#[tokio::test]
async fn an_origin_that_is_gone_is_a_502_that_names_it() {
    let mut gateway = Gateway::start().await;
    let origin = gateway.origin.local_addr().unwrap();
    gateway.origin = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = gateway.alone(&get("/", "")).await;
    assert!(answer.starts_with("http/1.1 502 "), "{answer}");
    let text = format!("the origin {origin} could not be reached: Connection refused");
    assert!(answer.contains(&text), "{answer}");
}

#[tokio::test]
async fn a_502_is_not_stored() {
    let gateway = Gateway::start().await;
    let (_, answer) = gateway.exchange(&get("/", ""), "").await; // closes without an answer
    assert!(answer.starts_with("http/1.1 502 "), "{answer}");
    assert!(answer.contains("gave no answer"), "{answer}");
    let (_, answer) = gateway.exchange(&get("/", ""), OK).await;
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_silent_origin_is_a_504() {
    let gateway = Gateway::with_timeout(Duration::from_millis(50)).await;
    let answer = gateway.alone(&get("/", "")).await;
    assert!(answer.starts_with("http/1.1 504 "), "{answer}");
    assert!(answer.contains("did not answer within 50ms"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_has_begun_is_finished_before_the_end() {
    let gateway = Gateway::start().await;
    let address = gateway.address;
    let mut client = gateway.connect().await;
    client.send(&get("/", "")).await;
    let mut origin = gateway.accept().await;
    origin.head().await;
    origin
        .send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        .await;
    client.until("half").await;
    let served = gateway.stop();
    within("newcomers are refused", async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!served.is_finished(), "the process would end");
    origin.send("rest").await;
    assert_eq!(client.rest().await, "rest");
    within("the gateway ends", served).await.unwrap();
}

fn parsed(line: &str) -> Result<args::Args, String> {
    let words = line.split_whitespace().map(str::to_owned);
    match args::parse(words) {
        Ok(args::Command::Run(args)) => Ok(args),
        Ok(args::Command::Help) => Err(args::USAGE.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_mistake_on_the_command_line_is_named() {
    for (line, named) in [
        ("", "--origin"),
        ("--origin", "--origin"),
        ("--origin https://a", "--origin"),
        ("--origin http://a/path", "--origin"),
        ("--origin http://a --origin http://b", "--origin"),
        ("--origin http://a --listen here", "--listen"),
        ("--origin http://a --memory lots", "--memory"),
        ("--origin http://a --timeout=0", "--timeout"),
        (
            "--origin http://a --policy x --store-set-cookie",
            "--policy",
        ),
        ("--origin http://a --cache", "--cache"),
    ] {
        let error = parsed(line).unwrap_err();
        assert!(error.contains(named), "{line}: {error}");
    }
    for (line, named) in [("--memory 1", "--memory"), ("--redis here", "--redis")] {
        let args = parsed(&format!("--origin http://a {line}")).unwrap();
        let error = settings::cache(&args).unwrap_err().to_string();
        assert!(error.starts_with(named), "{line}: {error}");
    }
    assert!(parsed("--help").unwrap_err().contains("usage: gateway"));
    let args = parsed("--origin=http://a:81 --listen 127.0.0.1:0 --timeout 2.5").unwrap();
    assert_eq!(args.origin, "http://a:81".parse().unwrap());
    assert_eq!(
        (args.listen.port(), args.timeout),
        (0, Duration::from_millis(2_500))
    );
}

#[tokio::test]
async fn a_table_is_read_from_toml_and_json_and_its_mistakes_name_the_file() {
    let folder = std::env::temp_dir().join(format!("larder-gateway-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let read = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        let args = parsed(&format!("--origin http://a --policy {}", file.display())).unwrap();
        settings::cache(&args).map_err(|error| error.to_string())
    };
    let toml = "memory = \"1MiB\"\n[routes]\ndefault = 60\nexcept = [\"/live\"]\n\
        [routes.paths]\n\"/a/{id}\" = \"5m\"";
    let json = r#"{"routes": {"default": "1m", "except": ["/live"]}}"#;
    for (name, text) in [("good.toml", toml), ("good.json", json)] {
        let (_cache, layer) = read(name, text).unwrap();
        let origin = tower::service_fn(|_: http::Request<Empty<Bytes>>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<Bytes>::new()))
        });
        let service = layer.layer(origin);
        // no router matches here, and the default covers every other path
        for (path, stored) in [("/", true), ("/a/1", true), ("/b", true), ("/live", false)] {
            let request = http::Request::get(path).body(Empty::new()).unwrap();
            let answer = service.clone().oneshot(request).await.unwrap();
            let outcome = larder::testing::outcome(&answer);
            assert_eq!(outcome.is_stored(), stored, "{name} {path}: {outcome:?}");
        }
    }
    for (name, text, why) in [
        ("field.toml", "memry = 1", "memry"),
        ("ttl.toml", "[routes]\ndefault = \"soon\"", "soon"),
        (
            "path.json",
            r#"{"routes": {"paths": {"a": 1}}}"#,
            "route \"a\"",
        ),
    ] {
        let error = read(name, text).map(|_| ()).unwrap_err();
        assert!(error.contains(why) && error.contains(name), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
