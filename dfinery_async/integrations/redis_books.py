"""The books of a shared quota, as the script that Redis runs. Times are milliseconds of Redis's own clock.

What is lent in a window is never more than what the window has. How many calls it has is found from what replies say:
it is at least what is left by a reply and what had certainly been counted before, and at most what is left by a reply
and all that was lent. The first bound is sharp at the window's beginning, and what others use shows in the second.

State, a hash: `n` number of the window, `ends`, `sure` whether a reply has told its end, `lent`, `counted` by replies,
`low` and `high` the two bounds of this window, `guess` the first bound of the window before, and by client what had
been counted when it asked last, `asked`, and the time before, `before`. The sorted set holds each client with the
moment until which its lease runs.
"""

__all__ = ["BOOKS"]

BOOKS = """
local state, clients = KEYS[1], KEYS[2]
local what, me, mine = ARGV[1], ARGV[2], ARGV[3]
local unused, answered, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local period, span = tonumber(ARGV[7]), tonumber(ARGV[8])
local remaining, heard, reset_in, dated = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12] == '1'

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function text(number) return string.format('%.0f', number) end

local kept = redis.call('HMGET', state, 'n', 'ends', 'sure', 'lent', 'counted', 'low', 'high', 'guess')
local n, ends, sure = tonumber(kept[1]), tonumber(kept[2]), kept[3] == '1'
local lent, counted = tonumber(kept[4]) or 0, tonumber(kept[5]) or 0
local low, high, guess = tonumber(kept[6]), tonumber(kept[7]), tonumber(kept[8])
local began = n == nil
if began then n, ends, sure = 0, now + period, false end

local function next_window(until_when)
  guess = low or guess
  n, ends, lent, counted, low, high, began = n + 1, until_when, 0, 0, nil, nil, true
end

if now >= ends then next_window(ends + (math.floor((now - ends) / period) + 1) * period) end

-- What the client's replies say of the window.
local present = remaining ~= nil
if reset_in then
  local seen = now + reset_in
  if not sure then
    ends, sure = seen, true
  elseif seen > ends + period / 2 then
    next_window(seen)
  elseif seen < ends - period / 2 then
    present = false
  elseif dated and seen < ends then
    ends = seen
  end
end

-- What became of its lease before. In a window that is new to it, calls of its own were lent in none.
local window, asked, asked_before = text(n), nil, nil
if mine == window then
  lent = math.max(0, lent - unused)
  counted = counted + answered
  asked, asked_before = unpack(redis.call('HMGET', state, 'asked:' .. me, 'before:' .. me))
else
  if began then redis.call('DEL', state) end
  if present then lent, counted = lent + heard, counted + heard end
end
-- A reply may have been under way when the client asked last, but hardly when it asked before that.
local certain = heard
if asked_before then
  local sum, own = string.match(asked_before, '(%d+) (%d+)')
  certain = math.max(certain, tonumber(sum) + heard - tonumber(own))
end
if present then
  low = math.max(low or 0, remaining + certain)
  high = math.min(high or math.huge, remaining + math.max(lent, heard))
end

local total = math.min(low or guess or limit, high or math.huge)
local left = total - lent
if high and low and high < low then left = left - math.max(0, lent - counted) end  -- others use it, too

local slice = math.max(100, math.floor(math.min(span, period) / 60))
redis.call('ZREMRANGEBYSCORE', clients, '-inf', now - 2 * slice)
local turn = tonumber(redis.call('ZSCORE', clients, me) or 0)
redis.call('ZADD', clients, math.max(turn, now), me)
local sharing = redis.call('ZCARD', clients)
if sharing > 1 then left = left - 1 - total / 500 end  -- for calls that were lent in no window, as at a start

-- A call that leaves just before the end arrives in the next window.
local guard = math.min(math.floor(period / 200), 50)
local rest = math.max(0, ends - guard - now)
local calls, seconds, ends_in = 0, 0, rest
if what == 'leave' then
  redis.call('ZREM', clients, me)
  redis.call('HDEL', state, 'asked:' .. me, 'before:' .. me)
elseif rest <= 0 then
  seconds = ends - now + 1
elseif left < 1 then
  seconds = math.min(slice, ends - now + 1)
elseif period > span and sharing == 1 then
  calls = math.max(1, math.floor(left / 8))
  ends_in = math.min(rest, slice)
elseif turn > now + 2 and mine == window then
  seconds = math.min(turn - now, ends - now + 1)
else
  local rate = left / math.min(rest, span) / sharing
  local time = math.min(slice, rest)
  calls = math.max(1, math.floor(rate * time))
  seconds = math.max(1, math.min(rest, math.floor(calls / rate)))
  calls = math.min(calls, math.floor(left))
  ends_in = math.min(rest, math.max(2 * seconds, slice))
  redis.call('ZADD', clients, now + seconds, me)
end
lent = lent + calls

redis.call('HSET', state, 'n', window, 'ends', text(ends), 'sure', sure and '1' or '0', 'lent', text(lent),
  'counted', text(counted))
if what == 'ask' then
  if asked then redis.call('HSET', state, 'before:' .. me, asked) end
  redis.call('HSET', state, 'asked:' .. me, text(counted) .. ' ' .. text(present and heard or 0))
end
for name, value in pairs({low = low or false, high = high or false, guess = guess or false}) do
  if value then redis.call('HSET', state, name, text(value)) else redis.call('HDEL', state, name) end
end
local keep = math.min(2 * period + 60000, 9e11)
redis.call('PEXPIRE', state, text(keep))
redis.call('PEXPIRE', clients, text(keep))
return {window, text(calls), text(seconds), text(ends_in), sharing}
"""
