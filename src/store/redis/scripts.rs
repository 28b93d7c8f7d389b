//! What Redis does in one step.

use redis::Script;

/// Puts a key into groups until it expires, and drops what has expired.
macro_rules! join {
    () => {
        r"
local function join(first, key, ttl)
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  for at = first, #KEYS do
    local group = KEYS[at]
    redis.call('ZREMRANGEBYSCORE', group, '-inf', now)
    local known = redis.call('ZSCORE', group, key)
    if not known or tonumber(known) < now + ttl then
      redis.call('ZADD', group, now + ttl, key)
    end
    if redis.call('PTTL', group) < ttl then redis.call('PEXPIRE', group, ttl) end
  end
end
"
    };
}

/// Keys: groups. Arguments: key, life in milliseconds.
const JOIN: &str = concat!(join!(), "join(1, ARGV[1], tonumber(ARGV[2])) return 1");

/// The keys of a group. They stay in it until they expire: a removal may have
/// to be repeated, and an entry that is being written must stay in its groups.
const MEMBERS: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')";

/// Writes an entry, if its lease is still held, and gives that back. The groups
/// come first: an entry is never there without them. Who may not publish leaves
/// the others to their polling.
/// Keys: entry, lock, groups. Arguments: token or nothing, frame, life in
/// milliseconds, channel, the groups' life, what is told.
const STORE: &str = concat!(
    join!(),
    r"
local leased = ARGV[1] ~= ''
if leased and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
join(3, KEYS[1], tonumber(ARGV[5]))
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if leased then
  redis.call('DEL', KEYS[2])
  redis.pcall('PUBLISH', ARGV[4], ARGV[6])
end
return 1"
);

/// Asks for a lock: 1 is ours, 0 another's, 2 nobody's, 3 nobody's for the key was
/// filled since it was looked at.
/// Keys: lock, entry. Arguments: token, life in milliseconds, whether to look at
/// the entry, and what of it was seen.
const ACQUIRE: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder == '!' then return 2 end
if holder then return 0 end
if ARGV[3] == '1' and redis.call('GETRANGE', KEYS[2], 16, 23) ~= ARGV[4] then return 3 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// Keys: lock. Arguments: token, life in milliseconds.
const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Gives a lock back, or leaves a mark that nobody shall wait.
/// Keys: lock. Arguments: token, life of the mark or 0, channel, what is told.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], '!', 'PX', ARGV[2]) end
redis.pcall('PUBLISH', ARGV[3], ARGV[4])
return 1";

/// A text, and the hash by which the server knows it.
pub(super) struct Text {
    pub(super) text: &'static str,
    pub(super) hash: String,
}

impl Text {
    fn new(text: &'static str) -> Self {
        let hash = Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }
}

pub(super) struct Scripts {
    pub(super) join: Text,
    pub(super) members: Text,
    pub(super) store: Text,
    pub(super) acquire: Text,
    pub(super) renew: Text,
    pub(super) release: Text,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            join: Text::new(JOIN),
            members: Text::new(MEMBERS),
            store: Text::new(STORE),
            acquire: Text::new(ACQUIRE),
            renew: Text::new(RENEW),
            release: Text::new(RELEASE),
        }
    }
}
