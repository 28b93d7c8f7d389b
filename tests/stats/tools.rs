//! What is made for the tools that teams have: Prometheus rules and a Grafana dashboard.
//! promtool is asked where it is installed (Debian's `prometheus` has it).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The labels of the README's table, and those that Prometheus adds.
const LABELS: [&str; 11] = [
    "cache", "endpoint", "outcome", "cause", "scope", "reason", "kind", "part", "source", "phase",
    "le",
];

pub(crate) fn board() -> Value {
    serde_json::from_str(include_str!("../../ops/grafana.json")).unwrap()
}

/// Runs promtool, if it is there.
fn promtool(args: &[&str]) {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    match Command::new("promtool")
        .current_dir(ops)
        .args(args)
        .output()
    {
        Ok(done) => {
            let said = [done.stdout, done.stderr].concat();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
        }
        Err(_) => println!("promtool is not here: skipped {args:?}"),
    }
}

/// Each query, with Grafana's variables as Prometheus would see them.
pub(crate) fn queries(board: &Value) -> Vec<String> {
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let exprs = targets.map(|target| target["expr"].as_str().unwrap());
    let plain = |expr: &str| {
        let expr = expr.replace("$__rate_interval", "5m");
        expr.replace("$cache", ".*").replace("$endpoint", ".*")
    };
    exprs.map(plain).collect()
}

#[test]
fn the_dashboard_has_what_grafana_needs() {
    let board = board();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 36);
    assert!(board["uid"].as_str().is_some_and(|uid| uid.len() <= 40));
    let panels = board["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id");
        assert!(
            panel["type"].is_string() && panel["fieldConfig"].is_object(),
            "{title}"
        );
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: 24 columns");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies over another");
        }
        let mut refs = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(refs.insert(target["refId"].as_str().unwrap()), "{title}");
            let source = &target["datasource"];
            assert_eq!(source["uid"], "${datasource}", "{title}");
        }
        assert!(!refs.is_empty(), "{title} shows something");
    }
    let variables = board["templating"]["list"].as_array().unwrap();
    let names: BTreeSet<_> = variables
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cache", "datasource", "endpoint"].into());
    let text = board.to_string();
    for used in text.split('$').skip(1) {
        let used = used.trim_start_matches('{');
        let end = used.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let name = &used[..end.unwrap_or(used.len())];
        let known = name.starts_with("__") || names.contains(name);
        assert!(known, "nobody sets ${name}");
    }
}

#[test]
fn queries_and_rules_use_labels_that_are_exported() {
    let mut all = queries(&board());
    all.push(include_str!("../../ops/alerts.yml").to_owned());
    for text in &all {
        for selector in text
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
        {
            for matcher in selector.0.split(',').filter(|m| m.contains('"')) {
                let label = matcher.split(['=', '!']).next().unwrap().trim();
                assert!(LABELS.contains(&label), "{label} in {text}");
            }
        }
        for by in text.split(" by (").skip(1) {
            for label in by.split(')').next().unwrap().split(',') {
                assert!(LABELS.contains(&label.trim()), "{label} in {text}");
            }
        }
    }
}

#[test]
fn prometheus_understands_the_dashboards_queries() {
    let rules = queries(&board()).iter().enumerate().fold(
        "groups:\n  - name: dashboard\n    rules:\n".to_owned(),
        |rules, (n, expr)| {
            let expr = serde_json::to_string(expr).unwrap();
            format!("{rules}      - {{ record: \"q:{n}\", expr: {expr} }}\n")
        },
    );
    let name = format!("larder-queries-{}.yml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_rules_load_and_each_alert_fires_when_it_should() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts.test.yml"]);
    let (rules, tests) = (
        include_str!("../../ops/alerts.yml"),
        include_str!("../../ops/alerts.test.yml"),
    );
    for rule in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        let named = format!("alertname: {rule}\n");
        assert!(
            tests.matches(&named).count() >= 2,
            "{rule}: fires, and does not"
        );
    }
}
