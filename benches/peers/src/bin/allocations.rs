//! Counts the allocations of a request, for the column of `time`'s table: a
//! binary of its own, because the counting allocator costs time.

use std::process::ExitCode;

use allocation_counter::measure;
use larder_peers::answer::KEYS;
use larder_peers::in_process::{Case, cases};
use larder_peers::stats::median;
use larder_peers::{Result, runtime};
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    match count() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("allocations: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a name and a number for each service.
fn count() -> Result<()> {
    let runtime = runtime()?;
    for case in cases(&runtime)? {
        let counts: Result<Vec<f64>> = (0..ROUNDS).map(|_| of(&case, &runtime)).collect();
        println!("{}\t{}", case.name, median(&counts?));
        case.only_hits()?;
    }
    Ok(())
}

fn of(case: &Case, runtime: &Runtime) -> Result<f64> {
    let mut done = Ok(());
    let info = measure(|| done = case.run(runtime));
    done?;
    Ok(info.count_total as f64 / KEYS as f64)
}
