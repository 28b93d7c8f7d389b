//! Allocations of a hit in memory, in process and with the request's own
//! making. Apart from `hit`, for counting takes time.
//!
//! `cargo bench --bench allocations`

#[path = "support/cases.rs"]
mod cases;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (mut cases, _cache) = cases::cases().await;
    println!("{:<22} {:>12}", "", "allocations");
    for case in &mut cases {
        let counted = allocation_counter::measure(|| (case.run)(1));
        println!("{:<22} {:>12}", case.name, counted.count_total);
    }
}
