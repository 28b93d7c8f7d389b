//! Statistics, analytics, targets.

use std::time::Duration;

use larder::seconds;
use serde_json::json;

use crate::support::ask;
use crate::{app, chart, run, systems, systems_with, tell};

#[tokio::test]
async fn d8_stats_with_the_applications_labels() {
    for system in systems() {
        for _ in 0..4 {
            system.tell("1", 32.0).await;
        }
        let shown = ask(&system.app, "GET", "/narrative/stats", None)
            .await
            .json();
        assert_eq!(shown["engineVersion"], "narrative@1.0.0");
        assert_eq!(shown["promptHash"].as_str().unwrap().len(), 16);
        assert_eq!(
            (&shown["ttlDays"], &shown["keys"]),
            (&json!(7), &json!(2)),
            "{shown}"
        );
        assert!(shown["hitRate"].as_f64().unwrap() > 0.7, "{shown}");
        let redis = shown["memoryUsed"]["redis"].as_u64().unwrap();
        assert_eq!(redis > 0, system.redis.is_some(), "{shown}");
    }
}

#[tokio::test]
async fn d9_analytics_of_systems_users_hours_and_costs() {
    for system in systems() {
        for n in 0..30 {
            let tradition = if n % 3 == 0 { "vedic" } else { "western" };
            tell(
                &system.app,
                tradition,
                &chart(&format!("user-{}", n % 5), 32.0),
            )
            .await;
        }
        system.narrator.cache.idle().await;
        let shown = ask(&system.app, "GET", "/narrative/analytics", None)
            .await
            .json();
        let numbers = ["totalRequests", "cacheHits", "cacheMisses", "uniqueUsers"];
        assert_eq!(
            numbers.map(|name| shown[name].as_u64().unwrap()),
            [30, 28, 2, 5],
            "{shown}"
        );
        assert_eq!(
            shown["topSystems"][0],
            json!({"system": "western", "score": 20}),
            "{shown}"
        );
        let cost = |name: &str| shown[name].as_f64().unwrap();
        assert!(
            (cost("estimatedCost") - 2.0 * app::COST).abs() < 1e-9,
            "{shown}"
        );
        assert!(
            (cost("costWithoutCache") - 30.0 * app::COST).abs() < 1e-9,
            "{shown}"
        );
        assert!(
            (cost("costPerUser") - 2.0 * app::COST / 5.0).abs() < 1e-9,
            "{shown}"
        );
        assert_eq!(shown["hitRateByHour"].as_array().unwrap().len(), 24);
        assert!(shown["hitRateByDay"].as_array().unwrap().len() >= 30);
        assert!(shown["avgGenerationTime"].is_f64(), "{shown}");
    }
}

#[tokio::test]
async fn d11_a_month_meets_its_targets() {
    for system in systems_with(Duration::from_millis(20), 0.5) {
        let month = run::month(&system.narrator, 10, 40).await;
        let name = system.name;
        assert!(month.cold > 0.95 && month.warmed >= 0.99, "{name}: {month}");
        assert!(
            month.slowest < seconds(5) && month.errors == 0,
            "{name}: {month}"
        );
        assert!(
            month.p99_warmed < Duration::from_millis(100),
            "{name}: {month}"
        );
    }
    assert!(run::cost(10_000, 0.95) <= 50.0 + 1e-6 && run::cost(100_000, 0.95) <= 500.0 + 1e-6);
    assert!(run::cost(1_000, 0.95) < 20.0 && run::cost(10_000, 0.98) <= 20.0 + 1e-6);
}
