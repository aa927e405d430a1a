#!lua flags=no-writes,allow-oom
-- Return all that a queue has, at one moment, as JSON. The names of keys and fields are those of _cluster/lua/common.lua.
--
-- KEYS[1] is the key `meta` of the queue. ARGV[1] is the number of streams.
local prefix = string.sub(KEYS[1], 1, -5)

-- The rest of the name of each key, by the kind that it begins with. The server looks at all its keys for that, once.
local names = { e = {}, s = {}, l = {} }
for _, name in ipairs(redis.call('KEYS', string.gsub(prefix, '[%[%]?*\\]', '\\%0') .. '*')) do
    local kind, rest = string.match(string.sub(name, #prefix + 1), '^(%a):(.*)$')
    if names[kind] then
        table.insert(names[kind], rest)
    end
end

-- Return a hash, or a sorted set with its scores, as a map.
local function map(list)
    local found = { [''] = '' }  -- so that an empty one is a map in JSON too
    for place = 1, #list, 2 do
        found[list[place]] = list[place + 1]
    end
    return found
end

-- Return whether one of some keys expires.
local function expires(...)
    for _, name in ipairs({ ... }) do
        if redis.call('PTTL', prefix .. name) >= 0 then
            return true
        end
    end
    return false
end

local events = {}
for number, id in ipairs(names.e) do
    local event, buckets = map(redis.call('HGETALL', prefix .. 'e:' .. id)), {}
    for place, limit in ipairs(event.li and cmsgpack.unpack(event.li) or {}) do
        buckets[place] = limit[1]
    end
    local key = 'k:' .. (event.ky or '')
    events[number] = { event_id = id, status = event.st or '', token = event.tk or '', entry_id = event.mi or '',
        stream = tonumber(event.qs or -1), waits_for = tonumber(event.wa or 0), key = event.ky or '', buckets = buckets,
        key_id = redis.call('GET', prefix .. key) or '', has_envelope = redis.call('EXISTS', prefix .. 'b:' .. id) == 1,
        expires = expires('e:' .. id, 'b:' .. id, 'o:' .. id, key), parked_at = event.pk or '', turn_at = event.tu or '' }
end

local entries, held = {}, {}
for number = 0, ARGV[1] - 1 do
    local stream = prefix .. 'q:' .. number
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
        entries[#entries + 1] = { number, entry[1], entry[2][1] == 'i' and entry[2][2] or '' }
    end
    for _, entry in ipairs(redis.call('XPENDING', stream, 'lp', '-', '+', 1000000)) do
        held[#held + 1] = { number, entry[1], entry[2], entry[3],
            redis.call('EXISTS', prefix .. 'w:' .. entry[2]) == 1 }
    end
end

local followers = {}
for number, id in ipairs(names.s) do
    followers[number] = { id, redis.call('SMEMBERS', prefix .. 's:' .. id) }
end

local buckets = { [''] = '' }
for _, name in ipairs(names.l) do
    local bucket = string.match(name, '^(.*):')
    buckets[bucket] = buckets[bucket] or {
        costs = map(redis.call('HGETALL', prefix .. 'l:' .. bucket .. ':c')),
        uses = map(redis.call('ZRANGE', prefix .. 'l:' .. bucket .. ':u', 0, -1, 'WITHSCORES')),
        holds = map(redis.call('HGETALL', prefix .. 'l:' .. bucket .. ':h')),
        line = redis.call('ZRANGE', prefix .. 'l:' .. bucket .. ':p', 0, -1) }
end

local moved = {}
for number, entry in ipairs(redis.call('XRANGE', prefix .. 't', '-', '+')) do
    local fields = map(entry[2])
    moved[number] = { fields.i or '', fields.s or '' }
end
local is_whole = #moved == 0 and redis.call('HLEN', prefix .. 'n') == 0
if #moved > 0 then
    is_whole = map(redis.call('XINFO', 'STREAM', prefix .. 't'))['entries-added'] == #moved
end

return cjson.encode({ counts = map(redis.call('HGETALL', prefix .. 'n')), events = events, entries = entries,
    held = held, delayed = redis.call('ZRANGE', prefix .. 'd', 0, -1), followers = followers, buckets = buckets,
    moved = moved, is_whole = is_whole })
