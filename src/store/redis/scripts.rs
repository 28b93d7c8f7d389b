//! What Redis does in one step with the shared clock, and all that it does so.

use redis::Script;

use super::counting::{LIVING, READ, TELL};
use super::entries::{ACQUIRE, JOIN, MEMBERS, RELEASE, RENEW, STORE, TAKE, TAKE_BACK};

/// More scopes than this are not kept: the oldest go, and with them what is older.
const MOST_SCOPES: &str = "65536";
/// And of patterns.
const MOST_BANS: &str = "256";

/// The clock as it is, or a new one where the server is another, or something was
/// lost or cannot be read. The first argument is the epoch of a new one; a `+` before it:
/// where the server is another, what it has of the clock goes on, and instances bring back
/// what they know.
macro_rules! clock {
    () => {
        r"
local hash, scopes = KEYS[1], KEYS[2]
-- a full server refuses a script whose first write takes memory, and no later one
local first = redis.pcall('HDEL', hash, '-')
if type(first) == 'table' then
  if not string.find(first.err, 'WRONGTYPE', 1, true) then return first end
  redis.call('DEL', hash)
end
local info = redis.pcall('INFO', 'server')
if type(info) ~= 'string' then
  return redis.error_reply('ERR larder needs INFO: without it a restart goes unseen (+info)')
end
local run = string.match(info, 'run_id:(%x+)') or ''
local merges, fresh = string.match(ARGV[1], '^(%+?)(%x+)$')
local known = redis.call('HMGET', hash, 'run', 'epoch', 'clock', 'floor', 'count', 'base',
  'all', 'aged', 'lease')
local function whole(text) return #text <= 18 and string.find(text, '^%d+$') end
local function readable()
  for at = 3, 9 do
    if known[at] and not whole(known[at]) or not known[at] and at < 6 then return false end
  end
  return known[2] and #known[2] <= 16 and string.find(known[2], '^%x+$')
end
local function begin()
  redis.call('DEL', hash, scopes)
  known = {run, fresh, '0', '0', '0', '0'}
  redis.call('HSET', hash, 'run', run, 'epoch', fresh, 'clock', '0', 'floor', '0',
    'count', '0', 'young', '1', 'base', '0')
end
-- numbers that were lost are not given again: on from the time, in microseconds
local function jump(least)
  local t = redis.call('TIME')
  local now = t[1] * 1000000 + t[2]
  known[1] = run
  known[3] = string.format('%.0f', math.max(tonumber(known[3]) + 1, least + 1, now))
  known[6] = known[3]
  redis.call('HSET', hash, 'run', run, 'clock', known[3], 'base', known[6], 'young', '1')
end
if not readable() or redis.pcall('ZCARD', scopes) ~= tonumber(known[5]) then begin()
elseif known[1] ~= run then
  if merges == '+' then jump(0) else begin() end
end
local epoch, clock, floor = known[2], tonumber(known[3]), tonumber(known[4])
-- whether replicas must confirm what was written: 2 is that none is left to
local function replicated()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' or string.find(info, 'min_slaves_good_slaves') then return '0' end
  local now = tonumber(redis.call('TIME')[1])
  local last = tonumber(redis.call('HGET', hash, 'replicated') or '0')
  if string.find(info, 'state=online') then
    if now - last > 60 then redis.call('HSET', hash, 'replicated', now) end
    return '1'
  end
  return now - last < 600 and '2' or '0'
end
local function fields(first)
  local found = {}
  local all = redis.call('HGETALL', hash)
  for at = 1, #all, 2 do
    if string.sub(all[at], 1, 1) == first then
      found[#found + 1] = {string.sub(all[at], 2), all[at + 1]}
    end
  end
  return found
end
-- a number that cannot be read may have been any
local function bans_are_readable()
  local all = redis.call('HGETALL', hash)
  for at = 1, #all, 2 do
    if string.find(all[at], '^[=~]') and not whole(all[at + 1]) then return false end
  end
  return true
end
-- what cannot be read is a row that has seen nothing, and says the same for ever
local function parts(row)
  local e, n, beats = string.match(row, '^(%x+) (%d+) (%d+)$')
  if e and #e <= 16 and whole(n) and whole(beats) then return e, n, beats end
  return '0', '0', '0'
end
local function rows(reply)
  reply[#reply + 1] = epoch
  reply[#reply + 1] = redis.call('HGET', hash, 'young') and '1' or '0'
  reply[#reply + 1] = redis.call('HGET', hash, 'lease') or '0'
  reply[#reply + 1] = known[6] or '0'
  for _, row in ipairs(fields('@')) do
    local e, n, beats = parts(row[2])
    for _, part in ipairs({row[1], e, n, beats}) do reply[#reply + 1] = part end
  end
  return reply
end
"
    };
}

/// Invalidates. Arguments: epoch, channel, what is told; kind and name of each scope
/// and pattern, in capitals where they are to be soft, `e` for a scope that is erased.
const ADVANCE: &str = concat!(
    clock!(),
    r"
if not bans_are_readable() then
  begin()
  epoch, clock, floor = known[2], 0, 0
end
local n = clock + 1
local number = string.format('%.0f', n)
local told = ARGV[3]
for at = 4, #ARGV, 2 do
  local kind, name = ARGV[at], ARGV[at + 1]
  if kind == 's' or kind == 'e' then redis.call('ZADD', scopes, number, name)
  elseif kind == 'S' then redis.call('ZADD', scopes, number, '~' .. name)
  elseif kind == 'b' then redis.call('HSET', hash, '=' .. name, number)
  elseif kind == 'B' then redis.call('HSET', hash, '~' .. name, number)
  elseif kind == '*' then redis.call('HSET', hash, 'all', number)
  else redis.call('HSET', hash, 'aged', number) end
end
local all = tonumber(redis.call('HGET', hash, 'all') or '0')
local bans = {}
for _, first in ipairs({'=', '~'}) do
  for _, ban in ipairs(fields(first)) do
    if tonumber(ban[2]) > all then bans[#bans + 1] = {first .. ban[1], ban[2]}
    else redis.call('HDEL', hash, first .. ban[1]) end
  end
end
if #bans > MOST_BANS then
  table.sort(bans, function(a, b) return tonumber(a[2]) < tonumber(b[2]) end)
  for at = 1, math.floor(#bans / 4) do
    redis.call('HDEL', hash, bans[at][1])
    floor = math.max(floor, tonumber(bans[at][2]))
  end
end
local count = redis.call('ZCARD', scopes)
if count > MOST_SCOPES then
  local last = math.floor(count / 4)
  local cut = redis.call('ZRANGE', scopes, last, last, 'WITHSCORES')
  floor = math.max(floor, tonumber(cut[2]))
  redis.call('ZREMRANGEBYSCORE', scopes, '-inf', cut[2])
  count = redis.call('ZCARD', scopes)
end
local low = string.format('%.0f', floor)
redis.call('HSET', hash, 'clock', number, 'floor', low, 'count', count)
local message = epoch .. ' ' .. number .. ' ' .. low .. ' ' .. told
redis.pcall('PUBLISH', ARGV[2], message)
return rows({replicated(), message})"
);

/// Arguments: epoch, instance, the epoch and number that it has seen, whether it
/// has known that epoch for a whole lease, its lease, an epoch that is to end or nothing. A
/// clock that is behind what was seen has gone back: it is another one. A new row begins at the time in microseconds:
/// of a row no count ever comes twice. The switch is read with `TOUCH`: `EXISTS`
/// is no use of it, and Redis may evict what is not used.
const BEAT: &str = concat!(
    clock!(),
    r"
if ARGV[7] == epoch then
  begin()
  epoch, clock = known[2], 0
elseif ARGV[3] == epoch and tonumber(ARGV[4]) > clock then
  if merges == '+' then jump(tonumber(ARGV[4])) else begin() end
  epoch, clock = known[2], tonumber(known[3])
end
if tonumber(ARGV[6]) > tonumber(redis.call('HGET', hash, 'lease') or '0') then
  redis.call('HSET', hash, 'lease', ARGV[6])
end
local row = redis.call('HGET', hash, '@' .. ARGV[2])
local t = redis.call('TIME')
local beats = row and tonumber((select(3, parts(row)))) or 0
if beats == 0 then beats = t[1] * 1000000 + t[2] end
redis.call('HSET', hash, '@' .. ARGV[2],
  ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. string.format('%.0f', beats + 1))
if ARGV[5] == '1' and ARGV[3] == epoch and tonumber(ARGV[4]) >= tonumber(known[6] or '0') then
  redis.call('HDEL', hash, 'young')
end
local time = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
return {replicated(), epoch, string.format('%.0f', clock), tostring(redis.call('TOUCH', KEYS[3])),
  time, redis.call('HGET', hash, 'lease')}"
);

/// Switches the cache off or on for all, by a key of its own: the clock may be lost, and
/// the switch stays. What is told is no invalidation: who hears it beats. Arguments:
/// epoch, whether off, channel.
const SWITCH: &str = concat!(
    clock!(),
    r"
if ARGV[2] == '1' then redis.call('SET', KEYS[3], '1')
else redis.call('DEL', KEYS[3]) end
redis.pcall('PUBLISH', ARGV[3], '')
return 1"
);

/// Arguments: epoch.
const SNAPSHOT: &str = concat!(
    clock!(),
    r"
if not bans_are_readable() then
  begin()
  epoch, clock, floor = known[2], 0, 0
end
local bans = {}
for _, first in ipairs({'=', '~'}) do
  for _, ban in ipairs(fields(first)) do
    bans[#bans + 1] = first .. ban[1]
    bans[#bans + 1] = ban[2]
  end
end
local all = redis.call('HGET', hash, 'all') or '0'
local aged = redis.call('HGET', hash, 'aged') or '0'
return {epoch, string.format('%.0f', clock), known[6] or '0', string.format('%.0f', floor), all, aged, bans,
  redis.call('ZRANGE', scopes, 0, -1, 'WITHSCORES')}"
);

/// Arguments: epoch; an epoch, and a number in it, that somebody has known for the
/// longest lease, or nothing.
const ROWS: &str = concat!(
    clock!(),
    r"
if ARGV[2] == epoch and tonumber(ARGV[3]) >= tonumber(known[6] or '0') then
  redis.call('HDEL', hash, 'young')
end
return rows({})"
);

/// Arguments: epoch, instance, the beats of its row or nothing.
const LEAVE: &str = concat!(
    clock!(),
    r"
local row = redis.call('HGET', hash, '@' .. ARGV[2])
if row and (ARGV[3] == '' or select(3, parts(row)) == ARGV[3]) then
  redis.call('HDEL', hash, '@' .. ARGV[2])
end
return 1"
);

/// A text, and the hash by which the server knows it.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) hash: String,
}

impl Text {
    fn new(text: &str) -> Self {
        let text = text
            .replace("MOST_SCOPES", MOST_SCOPES)
            .replace("MOST_BANS", MOST_BANS);
        let hash = Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

pub(super) struct Scripts {
    pub(super) join: Text,
    pub(super) members: Text,
    pub(super) take: Text,
    pub(super) take_back: Text,
    pub(super) store: Text,
    pub(super) acquire: Text,
    pub(super) renew: Text,
    pub(super) release: Text,
    pub(super) advance: Text,
    pub(super) beat: Text,
    pub(super) switch: Text,
    pub(super) snapshot: Text,
    pub(super) rows: Text,
    pub(super) leave: Text,
    pub(super) tell: Text,
    pub(super) sums: Text,
    pub(super) living: Text,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            join: Text::new(JOIN),
            members: Text::new(MEMBERS),
            take: Text::new(TAKE),
            take_back: Text::new(TAKE_BACK),
            store: Text::new(STORE),
            acquire: Text::new(ACQUIRE),
            renew: Text::new(RENEW),
            release: Text::new(RELEASE),
            advance: Text::new(ADVANCE),
            beat: Text::new(BEAT),
            switch: Text::new(SWITCH),
            snapshot: Text::new(SNAPSHOT),
            rows: Text::new(ROWS),
            leave: Text::new(LEAVE),
            tell: Text::new(TELL),
            sums: Text::new(READ),
            living: Text::new(LIVING),
        }
    }
}
