//! A real Prometheus, where one is installed (Debian: `prometheus`): it scrapes what larder
//! exports, takes the rules, and answers each query of the dashboard.

use std::future::ready;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, routing::get as on_get};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::Instant;

use crate::export::everything;
use crate::support::redis_server::Redis;
use crate::tools::{board, queries};

/// A server of this test's own, ended with it.
struct Prometheus {
    child: Child,
    url: String,
    scratch: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

impl Prometheus {
    /// One that scrapes a target twice a second.
    fn start(target: &str) -> Option<Self> {
        let name = format!("larder-prometheus-{}", std::process::id());
        let scratch = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&scratch).unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs:\n  - job_name: larder\n    static_configs: [{{ targets: [{target:?}] }}]\n"
        );
        let file = scratch.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap().to_string();
        drop(port);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", scratch.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let url = format!("http://{address}");
        child.ok().map(|child| Self {
            child,
            url,
            scratch,
        })
    }

    /// Waits for an answer: it looks for its targets after five seconds.
    async fn until(&self, query: &str, right: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.ask(query).is_some_and(|said| right(&said)) {
            assert!(Instant::now() < deadline, "never answered: {query}");
            tokio::task::yield_now().await;
        }
    }

    /// The answer to a query, a line for each series; none while it cannot answer.
    fn ask(&self, query: &str) -> Option<String> {
        let promtool = Command::new("promtool")
            .args(["query", "instant", &self.url, query])
            .output()
            .unwrap();
        let said = String::from_utf8(promtool.stdout).unwrap();
        promtool.status.success().then(|| said.trim().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_answers_each_query_of_the_dashboard_and_takes_the_rules() {
    let redis = Redis::start();
    let cache = everything(&redis).await;
    let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
    let handle = recorder.handle();
    metrics::with_local_recorder(&*recorder, || cache.publish_metrics());
    let text = handle.render();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "what is {name}?");
    }
    let counted = cache.clone();
    let metrics = on_get(move || {
        metrics::with_local_recorder(&*recorder, || counted.publish_metrics());
        ready(handle.render())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let app = Router::new().route("/metrics", metrics);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let Some(prometheus) = Prometheus::start(&target) else {
        return println!("prometheus is not here: skipped");
    };
    let scraped = r#"count_over_time(larder_enabled[1m]) >= 3"#;
    prometheus.until(scraped, |said| !said.is_empty()).await;
    assert_ne!(
        prometheus.ask("up == 1").unwrap(),
        "",
        "it can read what it gets"
    );
    for query in queries(&board()) {
        let said = prometheus.ask(&query);
        let said = said.unwrap_or_else(|| panic!("no answer to {query}"));
        assert!(!said.is_empty(), "nothing for {query}");
    }
    cache.set_enabled(false);
    let pending = r#"ALERTS{alertname="LarderSwitchedOff",alertstate="pending"}"#;
    prometheus.until(pending, |said| !said.is_empty()).await;
}
