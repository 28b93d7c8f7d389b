//! With all rules no violation; without one of them some.

use super::run::{Report, Setup, run};
use super::world::Fault::{self, *};
const EVERYTHING: &[Fault] = &[
    LosePush,
    SlowPush,
    SlowCall,
    Twice,
    Flush,
    EvictClock,
    EvictScopes,
    EvictRows,
    Failover,
    Failover,
    Split,
    Split,
    Restart,
    Restart,
    Cut,
    Cut,
    Pause,
    Pause,
    WallJump,
];

pub(super) const SHARED: Setup = Setup {
    hosts: 3,
    shared: true,
    faults: &[],
    leases: &[150],
    operations: 40,
    without: &[],
    lapses: &[],
};
/// One process and a store that knows no clock.
pub(super) const PLAIN: Setup = Setup {
    hosts: 1,
    shared: false,
    operations: 120,
    ..SHARED
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs so many seeds. The story of the first that fails is told.
pub(super) fn hunt(name: &str, setup: &Setup, first: u64, seeds: u64) -> Report {
    let (first, seeds) = match number("LARDER_SEED") {
        Some(seed) => (seed, number("LARDER_RUNS").unwrap_or(1)),
        None => (first, number("LARDER_RUNS").unwrap_or(seeds)),
    };
    let mut all = Report::default();
    for seed in first..first + seeds {
        let report = run(seed, setup, false);
        let found = !report.violations.is_empty();
        all.add(report);
        if found {
            println!("{name}: seed {seed} fails");
            if std::env::var_os("LARDER_STORY").is_some() {
                println!("{}", run(seed, setup, true).story.join("\n"));
            }
            break;
        }
    }
    let violations = std::mem::take(&mut all.violations);
    println!("{name}: from seed {first} on {all:?}");
    violations
        .iter()
        .for_each(|violation| println!("{violation}"));
    all.violations = violations;
    all
}

#[test]
fn a_seed_replays() {
    let setup = Setup {
        faults: EVERYTHING,
        ..SHARED
    };
    for seed in 0..10 {
        let (a, b) = (run(seed, &setup, true), run(seed, &setup, true));
        for (a, b) in a.story.iter().zip(&b.story) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(a.print(), b.print(), "seed {seed}");
    }
}

#[test]
fn no_read_after_ok_is_older_than_the_call() {
    let setup = Setup {
        faults: EVERYTHING,
        ..SHARED
    };
    let found = hunt("all rules", &setup, 150, 60);
    assert!(found.hits > 0 && found.invalidations > 0 && found.faults > 0);
    assert!(found.violations.is_empty());
    let found = hunt("all rules, plain", &PLAIN, 0, 40);
    assert!(found.hits > 0 && found.violations.is_empty());
}
