//! Processes that are paused, and clocks that are wrong (FAULTS 9, 10).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use larder::testing::ManualClock;
use larder::{Clock, Policy, hours, minutes, tag};

use super::*;
use crate::proxy::Way;
use crate::support::Reply;

/// Ends with its test.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    /// This test, called again as a process of its own.
    fn start(redis: &Redis, test: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env("LARDER_TEST_URL", redis.url())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

/// A process that has the right to fill is stopped by SIGSTOP while its handler runs.
/// Its right runs out, another one fills, all of it is invalidated and filled again;
/// then it goes on, and its answer is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_with_a_lease_writes_nothing_late() {
    let mut site = Site::new();
    if let Ok(url) = std::env::var("LARDER_TEST_URL") {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        site.gate = Some(Arc::clone(&gate));
        let process = process(&site, url.clone());
        let client = redis::Client::open(url).unwrap();
        let app = process.app.clone();
        let tell = |name: &str| {
            let mut set = redis::cmd("SET");
            let mut connection = client.get_connection().unwrap();
            set.arg(name).arg(1).exec(&mut connection).unwrap();
        };
        let told = |name: &str| {
            let mut connection = client.get_connection().unwrap();
            redis::cmd("GET").arg(name).query(&mut connection) == Ok(Some(1))
        };
        let asked = tokio::spawn(async move { get(&app, "/items/1").await });
        eventually("it fills", || async { site.runs() == 1 }).await;
        tell("fills");
        eventually("it may go on", || async { told("go") }).await;
        gate.add_permits(10);
        assert_eq!(asked.await.unwrap().text(), "v0");
        process.cache.idle().await;
        tell("ended");
        return;
    }
    let redis = Redis::start();
    let said = |name: &str| redis.command::<Option<u64>>(&["GET", name]) == Some(1);
    let test = "clocks::a_process_that_was_stopped_with_a_lease_writes_nothing_late";
    let other = Other::start(&redis, test);
    eventually("it fills", || async { said("fills") }).await;
    other.signal("-STOP");
    let a = patient(&site, redis.url());
    let lock = |key: &String| key.contains(":!lock:");
    let locks: Vec<String> = redis.keys().into_iter().filter(lock).collect();
    redis.command::<()>(&["PEXPIRE", &locks[0], "1"]); // as if 30 s had gone
    served(&a, &site).await;
    site.write();
    a.cache.invalidate(tag("item:1")).await.unwrap();
    served(&a, &site).await;
    a.cache.idle().await;
    redis.command::<()>(&["SET", "go", "1"]);
    other.signal("-CONT");
    eventually("it has ended", || async { said("ended") }).await;
    served(&a, &site).await;
    served(&bare(&site, redis.url()), &site).await;
}

/// A host's clock that is wrong by so much, and still.
fn wrong_by(minutes_off: i64) -> ManualClock {
    let clock = ManualClock::new();
    let off = minutes(minutes_off.unsigned_abs());
    clock.set_wall(match minutes_off < 0 {
        true => clock.wall() - off,
        false => clock.wall() + off,
    });
    clock
}

struct Host {
    process: Process,
    clock: ManualClock,
}

impl Host {
    fn new(site: &Site, redis: &Redis, clock: ManualClock) -> Self {
        let policy = Policy::ttl(minutes(5)).revalidate(hours(1));
        let settings = builder(redis.url()).operation_timeout(TIMEOUT * 20);
        let settings = settings.clock(Arc::new(clock.clone()));
        let process = site.with_policy(settings.build().unwrap(), policy);
        Self { process, clock }
    }

    async fn get(&self) -> Reply {
        let reply = self.process.get().await;
        self.process.cache.idle().await;
        reply
    }

    async fn age(&self) -> Option<u64> {
        self.get().await.header("age").parse().ok()
    }
}

#[tokio::test]
async fn hosts_whose_clocks_differ_agree_on_ages() {
    for (one, other) in [(0, 15), (0, -15), (15, -15), (-15, 15)] {
        let redis = Redis::start();
        let site = Site::new();
        let a = Host::new(&site, &redis, wrong_by(one));
        let b = Host::new(&site, &redis, wrong_by(other));
        get(&b.process.app, "/items/2").await; // it knows the server's time
        a.get().await;
        let at = format!("{one} and {other} minutes");
        for host in [&a, &b] {
            assert_eq!(host.age().await, Some(0), "{at}");
            host.clock.advance(minutes(4));
        }
        for host in [&a, &b] {
            let age = host.age().await.unwrap();
            assert!((239..=241).contains(&age), "{at}: {age} s");
            host.clock.advance(minutes(2));
        }
        assert!(!b.get().await.hit(), "{at}: six minutes old");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_makes_nothing_older_or_younger() {
    let redis = Redis::start();
    let site = Site::new();
    let a = Host::new(&site, &redis, ManualClock::new());
    a.get().await;
    for jump in [minutes(15), minutes(0), hours(24 * 365)] {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800);
        for wall in [wall + jump, wall - jump] {
            a.clock.set_wall(wall);
            let reply = a.get().await;
            assert!(reply.hit(), "{jump:?}: {}", reply.cache_status());
            assert_eq!(reply.header("age"), "0");
        }
    }
    // and what is invalidated is so, whatever the hour
    a.clock.set_wall(SystemTime::UNIX_EPOCH + hours(1));
    site.write();
    a.process.cache.invalidate(tag("item:1")).await.unwrap();
    assert_eq!(a.get().await.text(), "v1");
}

/// A beat that was sent before a process slept gives no lease when its answer comes.
/// Who has waited for it meanwhile beats again: Redis is well.
#[tokio::test]
async fn who_waited_for_a_beat_from_before_a_sleep_beats_again() {
    let (redis, proxy) = behind_proxy();
    let (site, clock) = (Site::new(), ManualClock::new());
    let builder = builder(proxy.url()).operation_timeout(PATIENT);
    let builder = builder.clock(Arc::new(clock.clone())).memory(16 * MIB);
    let a = site.with(builder.build().unwrap());
    a.get().await;
    a.cache.idle().await;
    proxy.stall(Way::ToClient, 0);
    let before = redis.calls("evalsha");
    let sent = || async { redis.calls("evalsha") > before };
    eventually("a beat is under way", sent).await;
    clock.advance(SHORT * 100);
    let app = a.app.clone();
    let asked = tokio::spawn(async move { get(&app, "/items/1").await });
    for _ in 0..100 {
        tokio::task::yield_now().await; // it waits by now
    }
    proxy.flow();
    let reply = asked.await.unwrap();
    assert!(reply.hit(), "{}", reply.cache_status());
}
