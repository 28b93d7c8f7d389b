//! What a hit decides under `Policy::http`: whether the entry is fresh for this
//! request, and whether its client has it already.
//!
//! `RUSTFLAGS="--cfg larder_internals" cargo bench --bench decisions`

#[cfg(not(larder_internals))]
fn main() {
    println!(
        "the decisions are internal: RUSTFLAGS=\"--cfg larder_internals\" cargo bench --bench decisions"
    );
}

#[cfg(larder_internals)]
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn main() {
    use std::hint::black_box;
    use std::time::Instant;

    use http::HeaderMap;

    const TURNS: u32 = 100_000;
    let map = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
        let fields = fields.iter();
        let field = |(name, value): &(&'static str, &'static str)| {
            (
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        };
        fields.map(field).collect()
    };
    let entry = map(&[
        ("etag", "\"0123456789abcdef\""),
        ("last-modified", "Fri, 20 Nov 2026 12:00:00 GMT"),
        ("date", "Fri, 20 Nov 2026 12:00:10 GMT"),
    ]);
    println!("{:<44} {:>6}", "a hit's decisions", "ns");
    for (name, fields) in [
        (
            "an ordinary request",
            &[("accept", "*/*"), ("host", "a.example")][..],
        ),
        ("with max-age", &[("cache-control", "max-age=600")]),
        (
            "a reload of what is immutable",
            &[("cache-control", "max-age=0")],
        ),
        (
            "with If-None-Match",
            &[("if-none-match", "\"0123456789abcdef\"")],
        ),
        (
            "with If-Modified-Since",
            &[("if-modified-since", "Fri, 20 Nov 2026 12:00:00 GMT")],
        ),
    ] {
        let request = map(fields);
        let mut times: Vec<f64> = (0..51)
            .map(|_| {
                let start = Instant::now();
                for age in 0..TURNS {
                    let age = u64::from(age % 50_000);
                    black_box(larder::internals::decide(
                        black_box(age),
                        black_box(&request),
                        &entry,
                    ));
                }
                start.elapsed().as_nanos() as f64 / f64::from(TURNS)
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        println!("{name:<44} {:>6.1}", times[times.len() / 2]);
    }
}
