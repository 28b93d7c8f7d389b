//! What Redis does in one step with counts (`ledger.rs`).

/// Counts a batch, unless it is known. Entries that were removed are taken from the
/// hours in proportion: when they would have expired nobody knows.
/// Keys: who told, entries, slots, users, names. Arguments: the batch's number, the present hour,
/// removed entries, how many slots, how many sets of users, how many pairs for the
/// entries and these; for each slot its life in milliseconds, how many pairs, and these;
/// for each set of users how many, and these; for each list of names how many pairs, and
/// these.
pub(super) const TELL: &str = r"
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
local at = 6
local function count(key)
  local pairs = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, pairs do
    redis.call('HINCRBY', key, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
count(KEYS[2])
local removed = tonumber(ARGV[3])
if removed > 0 then
  local all, sum, hours = redis.call('HGETALL', KEYS[2]), 0, {}
  for i = 1, #all, 2 do
    local n = tonumber(all[i + 1])
    if tonumber(all[i]) >= tonumber(ARGV[2]) and n > 0 then
      hours[#hours + 1] = {all[i], n}
      sum = sum + n
    end
  end
  table.sort(hours, function(a, b) return a[1] < b[1] end)
  removed = math.min(removed, sum)
  local left = removed
  for _, hour in ipairs(hours) do
    local gone = math.floor(removed * hour[2] / sum)
    hour[2] = hour[2] - gone
    left = left - gone
    redis.call('HSET', KEYS[2], hour[1], hour[2])
  end
  for _, hour in ipairs(hours) do
    local gone = math.min(left, hour[2])
    if gone > 0 then redis.call('HINCRBY', KEYS[2], hour[1], -gone) end
    left = left - gone
  end
end
local key = 3
for _ = 1, tonumber(ARGV[4]) do
  local life = ARGV[at]
  at = at + 1
  count(KEYS[key])
  redis.call('PEXPIRE', KEYS[key], life)
  key = key + 1
end
local month = 32 * 86400
for _ = 1, tonumber(ARGV[5]) do
  local last = at + tonumber(ARGV[at])
  for each = at + 1, last do redis.call('PFADD', KEYS[key], ARGV[each]) end
  redis.call('EXPIRE', KEYS[key], month)
  at = last + 1
  key = key + 1
end
for i = key, #KEYS do
  local last = at + 2 * tonumber(ARGV[at])
  for each = at + 1, last, 2 do redis.call('ZINCRBY', KEYS[i], ARGV[each + 1], ARGV[each]) end
  redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -1001)
  redis.call('EXPIRE', KEYS[i], 3 * 86400)
  at = last + 1
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 172800)
return 1";

/// Keys: slots.
pub(super) const READ: &str = r"
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('HGETALL', key) end
return found";

/// Forgets what has expired, and counts the rest. Keys: entries. Arguments: the
/// present hour.
pub(super) const LIVING: &str = r"
local all, sum = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  if tonumber(all[i]) < tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], all[i])
  else sum = sum + tonumber(all[i + 1]) end
end
return math.max(sum, 0)";
