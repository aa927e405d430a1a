-- Have events that have ended be pending again, as if they had never begun. Return for each: "queued"; "open" (it has
-- not ended); "completed"; "unknown"; "after" (an event that it comes after has ended without being completed, so that
-- one has to be retried first, or in the same call). Nothing changes but for those that are "queued".
--
-- Arguments: ids, call (names this call, since it may be sent twice).
local words, left = {}, {}
for number, id in ipairs(args.ids) do
    local found = redis.call('HMGET', hash(id), 'st', 'rk')
    if not found[1] then
        words[number] = 'unknown'
    elseif found[2] == args.call then
        words[number] = 'queued'
    elseif not ENDED[found[1]] then
        words[number] = 'open'
    elseif found[1] == 'completed' then
        words[number] = 'completed'
    else
        words[number] = 'after'
        left[#left + 1] = number
    end
end

-- Return how many events an event has to wait for, false if one of these has ended without being completed. A
-- predecessor that the queue does not know any more has been completed long ago.
local function count_open(id, after)
    local open, count = {}, 0
    for _, other in ipairs(after) do
        local status = redis.call('HGET', hash(other), 'st')
        if ENDED[status] and status ~= 'completed' then
            return false
        elseif status and status ~= 'completed' then
            open[other] = true
        end
    end
    for other in pairs(open) do
        redis.call('SADD', prefix .. 's:' .. other, id)
        count = count + 1
    end
    return count
end

local function requeue(id)
    local found = redis.call('HMGET', hash(id), 'st', 'lv', 'du', 'ky', 'af')
    if not ENDED[found[1]] then
        return true  -- its id is twice in the call
    end
    local waits = count_open(id, found[5] and cmsgpack.unpack(found[5]) or {})
    if not waits then
        return false
    end
    redis.call('HSET', hash(id), 'at', 0, 'wa', waits, 'mi', '', 'qs', found[2], 'rk', args.call)
    redis.call('HDEL', hash(id), 'tk', 'wk', 'wy', 'cn', 'cu')
    redis.call('DEL', prefix .. 'o:' .. id)
    redis.call('PERSIST', hash(id))
    redis.call('PERSIST', prefix .. 'b:' .. id)
    if found[4] ~= '' then
        redis.call('PERSIST', prefix .. 'k:' .. found[4])
    end
    move(id, found[1], 'pending', 0, '', '')
    if waits == 0 then
        schedule(id, found[2], tonumber(found[3]))
    end
    return true
end

-- An event may stand before one that it comes after. So go on until nothing changes.
local before
repeat
    before = #left
    local rest = {}
    for _, number in ipairs(left) do
        if requeue(args.ids[number]) then
            words[number] = 'queued'
        else
            rest[#rest + 1] = number
        end
    end
    left = rest
until #left == before
return words
