//! Attacks 30 and 31: what another writer has put into Redis, shown by the admin router.

use axum::http::Method;
use larder::{Cache, MIB};
use serde_json::Value;

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, get};
use crate::{READER, app, ask, read, request};

const HTML: &str = "api:<img src=x onerror=alert(1)>:7";

#[tokio::test]
async fn html_in_a_forged_key_is_text_and_forged_frames_are_no_entries() {
    let redis = Redis::start();
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    let cache = builder.operation_timeout(PATIENT).build().unwrap();
    let app = app(&cache);
    get(&app, "/users/7").await;
    cache.idle().await;
    let real = redis.entries().remove(0);
    let _: () = redis.command(&["COPY", &real, HTML]);
    let forged = [
        ("api:users:junk", "<script>alert(1)</script>"),
        ("api:users:short", "LRDR"),
        ("api:users:empty", ""),
    ];
    for (key, value) in forged {
        redis.command::<()>(&["SET", key, value]);
    }
    redis.command::<u64>(&["LPUSH", "api:users:list", "no string"]);
    let page = read(&app, "/entries").await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(page.headers["content-type"], "application/json");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert!(
        !page.text.contains("<script"),
        "no value is shown: {}",
        page.text
    );
    let page: Value = page.json();
    let listed: Vec<&str> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].as_str().unwrap())
        .collect();
    assert!(listed.contains(&&*real), "{listed:?}");
    for (key, _) in forged {
        assert!(!listed.contains(&key), "{listed:?}");
    }
    for key in ["api:users:junk", "api:users:short", "api:users:none"] {
        let answer = read(&app, &format!("/entry?key={key}")).await;
        assert_eq!(answer.status, 404, "{key}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(!answer.text.contains("<script"));
    }
    // a problem that quotes what was asked for is JSON as well
    let bearer = format!("Bearer {READER}");
    let asked = "/entry?key=%3Cscript%3E&%3Cscript%3E=1";
    let answer = ask(
        &app,
        request(Method::GET, asked, &[("authorization", &bearer)], ""),
    )
    .await;
    assert!(answer.status.is_client_error());
    assert_eq!(answer.headers["content-type"], "application/json");
    // and the cache serves what it has made itself
    assert!(get(&app, "/users/7").await.hit());
}
