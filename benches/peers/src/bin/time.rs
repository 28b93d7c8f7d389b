//! larder beside its peers in one run; see the manifest.

use std::collections::HashMap;
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use larder_peers::report::Report;
use larder_peers::{Effort, Result, http, in_process, memory, redis, runtime};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => measure(Effort::FULL),
        ["--quick"] => measure(Effort::QUICK),
        [memory::CHILD] => memory::child(),
        _ => Err("the only option is --quick".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larder-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(effort: Effort) -> Result<()> {
    eprintln!("counting allocations");
    let allocations = allocations()?;
    eprintln!("in process");
    let in_process = in_process(effort)?;
    eprintln!("over HTTP/1.1");
    let http = http::measure(effort)?;
    eprintln!("with Redis");
    let redis = redis::measure(effort)?;
    if redis.is_none() {
        eprintln!("  skipped: redis-server is not installed");
    }
    eprintln!("memory");
    let memory = memory::measure()?;
    let report = Report {
        effort,
        in_process,
        allocations,
        http,
        redis,
        memory,
    };
    println!("{}", report.markdown());
    Ok(())
}

fn in_process(effort: Effort) -> Result<http::Rates> {
    let runtime = runtime()?;
    let cases = in_process::cases(&runtime)?;
    let times = in_process::measure(&runtime, &cases, effort.rounds)?;
    let names = cases.iter().map(|case| case.name);
    Ok(names.zip(times).collect())
}

/// Asks the sibling binary, which cargo has not built if it only ran this one.
fn allocations() -> Result<HashMap<String, f64>> {
    let mut command = match (env::var_os("CARGO"), env::var_os("CARGO_MANIFEST_DIR")) {
        (Some(cargo), Some(package)) => {
            let mut command = Command::new(cargo);
            command.args(["run", "--release", "--quiet", "--bin", "allocations"]);
            command.arg("--manifest-path");
            command.arg(Path::new(&package).join("Cargo.toml"));
            command
        }
        _ => Command::new(env::current_exe()?.with_file_name("allocations")),
    };
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("running `allocations`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`allocations` failed: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let line = |line: &str| {
        let (name, number) = line.split_once('\t')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    let counts: Option<_> = text.lines().map(line).collect();
    counts.ok_or_else(|| format!("`allocations` said {text:?}").into())
}
