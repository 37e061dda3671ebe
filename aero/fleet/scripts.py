# -*- test-case-name: tests.test_redis -*-
"""
What Redis does in one step (Lua, executed atomically).

Time is Redis' own, in milliseconds: the clocks of several machines never agree. A claim is a
member of a sorted set whose score is the moment that it runs out, so what a process held that died
is free again after a while, without anybody looking.
"""

from __future__ import annotations

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

#: Keys: a set for each claim. Arguments: the holder, milliseconds that it lasts, a limit for each
#: claim. Gives 0, or the number of the claim that is refused.
ACQUIRE = (
    _NOW
    + """
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZSCORE', key, ARGV[1]) == false
      and redis.call('ZCARD', key) >= tonumber(ARGV[2 + i]) then
    return i
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', key, ARGV[2] * 2)
end
return 0
"""
)

#: Keys: a set for each claim. Arguments: milliseconds, then the holder of each. It adds what is
#: not there, because a Redis that was restarted has forgotten everything.
REFRESH = (
    _NOW
    + """
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[1], ARGV[1 + i])
  redis.call('PEXPIRE', key, ARGV[1] * 2)
end
return #KEYS
"""
)

#: Keys: a set for each claim. Arguments: the holder.
RELEASE = """
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 0
"""

#: Keys: buckets. Arguments: tokens a second, the most in a bucket, and the tokens that were spent
#: out of each. Gives the milliseconds until there is one, for each.
DEBIT = (
    _NOW
    + """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local waits = {}
for i, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'n', 't')
  local tokens, last = tonumber(found[1]) or burst, tonumber(found[2]) or now
  tokens = math.min(burst, tokens + math.max(0, now - last) * rate / 1000) - ARGV[2 + i]
  tokens = math.max(tokens, -burst)
  waits[i] = tokens < 1 and math.ceil((1 - tokens) * 1000 / rate) or 0
  redis.call('HSET', key, 'n', tostring(tokens), 't', now)
  redis.call('PEXPIRE', key, math.ceil(2 * burst * 1000 / rate) + 1000)
end
return waits
"""
)

#: Keys: the hash of the answers to one question. Arguments: the process, its answer, milliseconds
#: that the answers last.
ANSWER = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
"""

#: Keys: the sorted set of revocations, and the channel. Arguments: the end in seconds since 1970,
#: and the message.
REVOKE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', KEYS[2], ARGV[2])
return 0
"""
