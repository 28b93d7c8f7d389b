//! A Redis Cluster on this machine: real servers, with or without replicas.

use super::support::eventually;
use super::support::redis_server::Redis;

pub struct Cluster {
    /// The primaries at first, then as many replicas.
    pub nodes: Vec<Redis>,
    primaries: usize,
}

const SLOTS: usize = 16_384;

impl Cluster {
    pub async fn start(primaries: usize, replicas: bool) -> Self {
        let count = if replicas { primaries * 2 } else { primaries };
        let start = |_| {
            Redis::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--repl-diskless-sync-delay",
                "0",
            ])
        };
        let nodes: Vec<Redis> = (0..count).map(start).collect();
        let cluster = Self { nodes, primaries };
        for (n, node) in cluster.nodes[..primaries].iter().enumerate() {
            let (first, next) = (n * SLOTS / primaries, (n + 1) * SLOTS / primaries);
            let (first, last) = (first.to_string(), (next - 1).to_string());
            node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            let epoch = (n + 1).to_string();
            node.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        for node in &cluster.nodes[1..] {
            let port = cluster.nodes[0].port().to_string();
            node.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        cluster.whole(count).await;
        for (n, replica) in cluster.nodes[primaries..].iter().enumerate() {
            let primary = cluster.nodes[n].id();
            eventually("it knows its primary", || async {
                let replicates = ["CLUSTER", "REPLICATE", &primary];
                replica.try_command::<()>(&replicates).is_ok()
            })
            .await;
        }
        eventually("replicas follow", || async {
            cluster.nodes[primaries..].iter().all(|replica| {
                let info: String = replica.command(&["INFO", "replication"]);
                info.contains("role:slave") && info.contains("master_link_status:up")
            })
        })
        .await;
        cluster.whole(count).await;
        cluster
    }

    /// All know all, and each slot's server.
    async fn whole(&self, count: usize) {
        let known = format!("cluster_known_nodes:{count}");
        for node in &self.nodes {
            eventually("the cluster is whole", || async {
                let info: String = node.command(&["CLUSTER", "INFO"]);
                let ok = info.contains("cluster_state:ok") && info.contains(&known);
                let slots: redis::Value = node.command(&["CLUSTER", "SLOTS"]);
                ok && matches!(slots, redis::Value::Array(ranges) if ranges.len() == self.primaries)
            })
            .await;
        }
    }

    /// By the first two of its nodes.
    pub fn url(&self) -> String {
        let hosts = self.nodes[..2].iter();
        let hosts: Vec<_> = hosts.map(|n| format!("127.0.0.1:{}", n.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The primary of a key, as one of its nodes sees it.
    pub fn primary_of(&self, key: &str) -> usize {
        let slot: usize = self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]);
        (0..self.primaries)
            .rfind(|n| n * SLOTS / self.primaries <= slot)
            .unwrap_or(0)
    }

    /// Moves a slot with all that lies in it, while it is used.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        let slot = slot.to_string();
        let setslot = |node: &Redis, how: &str, id: &str| {
            node.command::<()>(&["CLUSTER", "SETSLOT", &slot, how, id]);
        };
        setslot(to, "IMPORTING", &from.id());
        setslot(from, "MIGRATING", &to.id());
        loop {
            let keys: Vec<String> = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            if keys.is_empty() {
                break;
            }
            let port = to.port().to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            from.command::<redis::Value>(&words);
        }
        for node in [to, from] {
            setslot(node, "NODE", &to.id());
        }
    }
}

impl Redis {
    fn id(&self) -> String {
        self.command(&["CLUSTER", "MYID"])
    }
}
