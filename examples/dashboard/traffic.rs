//! Visitors: they like some things better than others.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::app::name;

/// Small numbers more often than large ones, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize, bias: i32) -> usize {
        (self.roll().powi(bias) * end as f64) as usize
    }
}

/// Asks `rate` times a second, for ever.
pub async fn run(app: Router, endpoints: usize, rate: u32) {
    let mut dice = Dice(7);
    let every = Duration::from_millis(20);
    let mut ticks = tokio::time::interval(every);
    let mut owed = 0.0;
    loop {
        ticks.tick().await;
        owed += f64::from(rate) * every.as_secs_f64();
        while owed >= 1.0 {
            owed -= 1.0;
            let endpoint = name(dice.below(endpoints, 2));
            let id = dice.below(300, 4);
            let mut request =
                Request::get(format!("/{endpoint}/{id}")).header("host", "example.test");
            if dice.roll() < 0.1 {
                request = request.header("authorization", format!("Bearer {}", dice.below(5, 1)));
            }
            let Ok(request) = request.body(Body::empty()) else {
                continue;
            };
            let app = app.clone();
            tokio::spawn(async move {
                let Ok(response) = app.oneshot(request).await;
                let _ = response.into_body().collect().await;
            });
        }
    }
}
