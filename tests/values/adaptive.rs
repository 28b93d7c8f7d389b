//! TTLs of values that adapt to how often these change.

use larder::values::ValuesBuilder;
use larder::{minutes, seconds};

use crate::support::tiers;
use crate::{Character, NotThere, Source, about, pass};

#[tokio::test]
async fn a_values_ttl_adapts_within_its_bounds_and_only_where_its_namespace_says_so() {
    for tiers in tiers().await {
        let cache = &tiers.cache;
        let of = |name: &str| cache.values::<Character>(name).ttl(minutes(4));
        let adaptive = |values: ValuesBuilder<Character>| {
            let values = values.adaptive(seconds(30)..=minutes(10));
            values.build().unwrap()
        };
        let all = [
            (adaptive(of("changing")), true, 30),
            (adaptive(of("constant")), false, 600),
            // values that are weighed are compared all the same
            (adaptive(of("weighed").weigh(|_| 100)), true, 30),
            (of("fixed").build().unwrap(), true, 240),
        ];
        let source = Source::default();
        for _ in 0..65 {
            for (values, changes, _) in &all {
                let source = if *changes {
                    source.clone()
                } else {
                    Source::default()
                };
                let load = move || source.load("1");
                values.get_or_try_insert_with("1", load).await.unwrap();
            }
            cache.idle().await;
            pass(cache, &tiers.clock, minutes(11)).await;
        }
        for (values, changes, ttl) in &all {
            let name = format!("{} on {}", values.name(), tiers.name);
            let made = source.make("1");
            let load = move || async move { Ok::<_, NotThere>(made) };
            values.get_or_try_insert_with("1", load).await.unwrap();
            cache.idle().await;
            assert_eq!(values.ttl("1").await.map(about), Some(*ttl), "{name}");
            let proposals = cache.ttl_proposals();
            let proposal = proposals.iter().find(|one| one.endpoint == values.name());
            let proposal = proposal.unwrap_or_else(|| panic!("{name}: {proposals:?}"));
            assert_eq!(proposal.changed > 0, *changes, "{name}: {proposal:?}");
        }
    }
}
