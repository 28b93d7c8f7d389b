//! Filling ahead.

use std::sync::Mutex;
use std::time::Duration;

use larder::{WarmList, seconds};

use crate::narrator::Narrator;
use crate::profile::{Profile, top};
use crate::standin::StandIn;
use crate::support::terminal::Terminal;
use crate::{progress, systems};

#[tokio::test]
async fn d7_prewarming_skips_what_is_fresh_and_goes_on_after_a_failure() {
    for system in systems() {
        let narrator = &system.narrator;
        let name = |profile: &Profile| profile.system.clone();
        let list = || WarmList::named(top(100), name);
        let mut run = narrator.prewarm(list(), Duration::from_millis(1));
        let (mut lines, mut last) = (0, String::new());
        while let Some(step) = run.next().await {
            lines += 1;
            last = step.to_string();
        }
        assert_eq!(lines, 100);
        assert!(
            last.starts_with("100/100 ") && last.ends_with(": filled"),
            "{last}"
        );
        let report = run.report().await;
        assert!(report.is_complete() && report.filled == 100, "{report}");
        narrator.cache.idle().await;
        let calls = system.calls();
        let again = narrator
            .prewarm(list(), Duration::from_millis(1))
            .report()
            .await;
        assert_eq!(
            (again.fresh, system.calls()),
            (100, calls),
            "{}",
            system.name
        );

        let text = "{\"system\":\"x\",\"percentages\":{\"a\":1}}\nnonsense\n{\"system\":\"y\",\"percentages\":{\"a\":1}}\n";
        let list = WarmList::parse(text, |line| serde_json::from_str::<Profile>(line));
        let report = narrator
            .prewarm(list, Duration::from_millis(1))
            .report()
            .await;
        assert_eq!((report.filled, report.failed[0].at), (2, 2), "{report:?}");
        assert!(!report.is_complete(), "its exit status tells");

        narrator.generator.set_down(true);
        let lines = (0..3).map(|n| format!("{{\"system\":\"z\",\"percentages\":{{\"a\":{n}}}}}\n"));
        let list = WarmList::parse(&lines.collect::<String>(), |line| {
            serde_json::from_str::<Profile>(line)
        });
        let report = narrator
            .prewarm(list, Duration::from_millis(1))
            .report()
            .await;
        assert_eq!(report.failed.len(), 3, "each is tried: {report:?}");
        assert_eq!(report.failed[0].why, "the service did not answer");
    }
}

#[tokio::test(start_paused = true)]
async fn d7_one_is_begun_each_second() {
    let (cache, _clock) = larder::testing::cache();
    let narrator = Narrator::new(&cache, StandIn::new(Duration::ZERO), 0.5).unwrap();
    let list = WarmList::named(top(20), |profile: &Profile| profile.system.clone());
    let start = tokio::time::Instant::now();
    let report = narrator.prewarm(list, seconds(1)).report().await;
    assert_eq!((report.filled, start.elapsed().as_secs()), (20, 19));
}

#[tokio::test]
async fn d7_a_bar_and_a_line_for_each_show_how_far_it_is() {
    for system in systems() {
        let name = |profile: &Profile| profile.system.clone();
        let (lines, terminal) = (Mutex::new(Vec::new()), Terminal::default());
        for drawn in [true, false] {
            let list = WarmList::named(top(3), name);
            let run = system.narrator.prewarm(list, Duration::from_millis(1));
            let bar = progress::bar(run.total());
            bar.set_draw_target(match drawn {
                true => terminal.target(),
                false => indicatif::ProgressDrawTarget::hidden(), // cron has no terminal
            });
            let print = |line: &str| lines.lock().unwrap().push(line.to_owned());
            let report = progress::follow(&bar, run, print).await;
            assert!(report.is_complete() && bar.is_finished(), "{report}");
        }
        let shown = terminal.shown();
        for n in 1..=3 {
            assert!(shown.contains(&format!(" {n}/3 ")), "{n}: {shown}");
        }
        let wanted = ["filled", "fresh"].map(|how| {
            let systems = ["western", "vedic", "chinese"].into_iter().enumerate();
            systems
                .map(|(n, system)| format!("{}/3 {system}: {how}", n + 1))
                .collect::<Vec<_>>()
        });
        assert_eq!(
            lines.into_inner().unwrap(),
            wanted.concat(),
            "{}",
            system.name
        );
    }
}
