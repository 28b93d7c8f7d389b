//! What Redis does in one step with entries, their groups and their locks.

/// Puts a key into groups until it expires, and drops what has expired. That comes
/// second: a full server refuses a script whose first write takes memory, and no later one.
macro_rules! join {
    () => {
        r"
local function time()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function join(first, key, ttl)
  local now = time()
  for at = first, #KEYS do
    local group = KEYS[at]
    local known = redis.call('ZSCORE', group, key)
    redis.call('ZADD', group, math.max(tonumber(known or '0'), now + ttl), key)
    redis.call('ZREMRANGEBYSCORE', group, '-inf', now)
    if redis.call('PTTL', group) < ttl then redis.call('PEXPIRE', group, ttl) end
  end
end
"
    };
}

/// Keys: groups. Arguments: key, life in milliseconds.
pub(super) const JOIN: &str = concat!(join!(), "join(1, ARGV[1], tonumber(ARGV[2])) return 1");

/// The keys of a group.
pub(super) const MEMBERS: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')";

/// Removes entries of a group, and their names from it, in one step: of one that is
/// written meanwhile both are there. Returns how many there were.
/// Keys: group, entries.
pub(super) const TAKE: &str = r"
local there = redis.call('UNLINK', unpack(KEYS, 2))
redis.call('ZREM', KEYS[1], unpack(KEYS, 2))
return there";

/// Removes an entry if its frame begins so. Returns how many went. Keys: entry.
pub(super) const TAKE_BACK: &str = r"
if redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])";

/// Writes an entry, if its lease is still held, and gives that back; what is no frame, under a
/// name that may be others', is left, and so is an answer that began later, is as valid and may
/// still be served: frames tell when they came, how long that took and by which clock
/// (`entry/layout.rs`; under `early(false)` not how long). A value may have been given by who knew
/// less of the clock: its time alone counts. What leads to one that is given waits for no time
/// either, and takes the lock from who fills: it ends with the value, or as leases do. The groups
/// come first: an entry is never there without them. Who may not publish leaves
/// the others to their polling. Without a lease the mark that nobody shall wait goes: there
/// is an answer that may be shared. Returns 0 where it is not held or comes too late, -1 where
/// something else was left; else 3 more than the milliseconds that what was there would have lived, or 1 if
/// nothing was.
/// Keys: entry, lock, groups. Arguments: token, `*` for whoever's, `+` for that of what leads to one
/// that is given, or nothing, frame, life in milliseconds, channel, the groups' life, what is told,
/// how frames begin or nothing.
pub(super) const STORE: &str = concat!(
    join!(),
    r"
local given, leads = ARGV[1] == '*' or ARGV[1] == '+', ARGV[1] == '+'
local leased = ARGV[1] ~= '' and not leads
if leased and not given and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local there = redis.pcall('GETRANGE', KEYS[1], 0, 108)
if type(there) ~= 'string' then there = '?' end
if there ~= '' and string.sub(there, 1, #ARGV[7]) ~= ARGV[7] then return -1 end
local function head(frame)
  if #frame < 109 or string.sub(frame, 1, 4) ~= 'LRDR' or string.byte(frame, 5) < 2 or string.byte(frame, 6) % 4 >= 2 then return end
  local created, number = struct.unpack('<I8', frame, 17), struct.unpack('<I8', frame, 57)
  local began = created - struct.unpack('<I4', frame, 106)
  local is_value = math.floor(string.byte(frame, 105) / 32) % 2 == 1
  return created, began, string.sub(frame, 49, 56), number, created + struct.unpack('<I8', frame, 33), is_value
end
local created, began, epoch, number, ends, is_value = head(there)
local own = {head(ARGV[2])}
-- one from after all that is another clock's
if not given and created and own[1] and began > own[2] and created < own[1] + 10000
  and epoch == own[3] and (is_value or number >= own[4]) and ends > time() then return 0 end
join(3, KEYS[1], tonumber(ARGV[5]))
local before = redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if leased then
  if redis.call('DEL', KEYS[2]) == 1 then redis.pcall('PUBLISH', ARGV[4], ARGV[6]) end
elseif redis.call('GET', KEYS[2]) == '!' then redis.call('DEL', KEYS[2])
elseif leads then redis.call('SET', KEYS[2], '+', 'XX', 'PX', 3000) end
return before + 3"
);

/// Asks for a lock: 1 is ours, also where it was and its asker has not heard of that; 0
/// another's, 2 nobody's, 3 nobody's for the key was filled since it was looked at.
/// Keys: lock, entry. Arguments: token, life in milliseconds, whether to look at
/// the entry, what of it was seen, and the number below which a holder gives way.
pub(super) const ACQUIRE: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder == '!' then return 2 end
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if holder and (tonumber(string.sub(holder, 33), 16) or 0) >= tonumber(ARGV[5]) then return 0 end
if ARGV[3] == '1' and redis.call('GETRANGE', KEYS[2], 16, 23) ~= ARGV[4] then return 3 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// Keys: lock. Arguments: token, life in milliseconds.
pub(super) const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Gives a lock back, or leaves a mark that nobody shall wait: a full server refuses that as the
/// first write, and not behind another one.
/// Keys: lock. Arguments: token, life of the mark or 0, channel, what is told.
pub(super) const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] ~= '0' then redis.call('SET', KEYS[1], '!', 'PX', ARGV[2]) end
redis.pcall('PUBLISH', ARGV[3], ARGV[4])
return 1";
