"""What happens in Redis in one step. Its clock is the only one, so gateways need not agree on the time.

A limit that is not there is passed as -1. Each script looks at everything before it writes anything: whoever
is refused has used up nothing. In each, KEYS and ARGV have the same order of accounts, project before plan.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# A log of the last moments, no longer than the limit: exact in every window, and it knows when the next is
# free. A counter by the minute would let twice as many through around its turn; a leaky bucket lets its size
# through at once and then more, which is not what "100 a minute" says.
_FULL = """
local function wait_ms(key, limit, window)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
    local count = redis.call('ZCARD', key)
    if count < limit then return nil end
    local freeing = redis.call('ZRANGE', key, count - limit, count - limit, 'WITHSCORES')
    return math.max(1, freeing[2] + window - now)
end
"""

# KEYS: streams, openings, audio of each account. ARGV: lease, lease ms, window ms, then of each account the
# limits of streams, openings, audio ms. Answer: {} for yes; {what, index of the account, wait ms}; or
# {'unknown', index} where the audio of the day is not known and is to be brought.
ENTER = f"""{_NOW}{_FULL}
local lease, lease_ms, window = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local function of(account)
    local k, a = 3 * account, 3 + 3 * account
    return KEYS[k + 1], KEYS[k + 2], KEYS[k + 3],
           tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
end
local accounts = #KEYS / 3
local again = redis.call('ZSCORE', KEYS[1], lease)
if not again then
    for account = 0, accounts - 1 do
        local streams, _, _, limit = of(account)
        redis.call('ZREMRANGEBYSCORE', streams, '-inf', now)
        if limit >= 0 and redis.call('ZCARD', streams) >= limit then return {{'streams', account, 0}} end
    end
    for account = 0, accounts - 1 do
        local _, _, audio, _, _, limit = of(account)
        if limit >= 0 then
            local used = redis.call('GET', audio)
            if not used then return {{'unknown', account, 0}} end
            if tonumber(used) >= limit then return {{'audio', account, 0}} end
        end
    end
    for account = 0, accounts - 1 do
        local _, openings, _, _, limit = of(account)
        local wait = limit >= 0 and wait_ms(openings, limit, window)
        if wait then return {{'openings', account, wait}} end
    end
end
for account = 0, accounts - 1 do
    local streams, openings, _, _, limit = of(account)
    redis.call('ZADD', streams, now + lease_ms, lease)
    redis.call('PEXPIRE', streams, 2 * lease_ms)
    if limit >= 0 and not again then
        redis.call('ZADD', openings, now, lease)
        redis.call('PEXPIRE', openings, window)
    end
end
return {{}}
"""

# KEYS: requests of each account. ARGV: a name for the request, window ms, then the limit of each account.
REQUEST = f"""{_NOW}{_FULL}
local name, window = ARGV[1], tonumber(ARGV[2])
for account = 0, #KEYS - 1 do
    local limit = tonumber(ARGV[3 + account])
    local wait = limit >= 0 and wait_ms(KEYS[account + 1], limit, window)
    if wait then return {{'requests', account, wait}} end
end
for account = 0, #KEYS - 1 do
    if tonumber(ARGV[3 + account]) >= 0 then
        redis.call('ZADD', KEYS[account + 1], now, name)
        redis.call('PEXPIRE', KEYS[account + 1], window)
    end
end
return {{}}
"""

# KEYS: streams of some accounts, then audio of some. ARGV: lease ms, how many of KEYS are of streams; for
# each of those how many leases and the leases; for each of audio the ms to add. Answer: the audio of each, -1
# where it is not known. What is not known is not begun at 0.
RENEW = f"""{_NOW}
local lease_ms, sets = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = 3
for set = 1, sets do
    local count = tonumber(ARGV[at])
    for index = at + 1, at + count do
        redis.call('ZADD', KEYS[set], now + lease_ms, ARGV[index])
    end
    redis.call('PEXPIRE', KEYS[set], 2 * lease_ms)
    at = at + 1 + count
end
local audio = {{}}
for key = sets + 1, #KEYS do
    local used = redis.call('GET', KEYS[key])
    if used and ARGV[at] ~= '0' then used = redis.call('INCRBY', KEYS[key], ARGV[at]) end
    audio[#audio + 1] = used and tonumber(used) or -1
    at = at + 1
end
return audio
"""
