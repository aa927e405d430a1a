-- Return for each event: status, attempt, worker, level, key, due, whether it is delayed, how many events it waits for,
-- the event that did not complete so that this one was skipped, envelope, outcome or what is stored of its attempts,
-- the worker that holds it, milliseconds since that worker has renewed it, the bucket in which it is parked, since
-- when it has its status, microseconds until it is due, the events that have to be completed first. false for an event
-- that the queue does not know.
--
-- Arguments: ids.
local out = {}

-- Return which events an event has to wait for.
local function open_of(after)
    local open = {}
    for _, other in ipairs(after and cmsgpack.unpack(after) or {}) do
        local status = redis.call('HGET', hash(other), 'st')
        if status and status ~= 'completed' then
            open[#open + 1] = other
        end
    end
    return open
end

for number, id in ipairs(args.ids) do
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'wk', 'lv', 'ky', 'du', 'wa', 'wy', 'mi', 'qs', 'pk', 'ts', 'af')
    if found[1] then
        local delayed = redis.call('ZSCORE', prefix .. 'd', id)
        local is_pending = found[1] == 'pending'
        local holder = found[9] ~= '' and redis.call('XPENDING', stream(found[10]), 'lp', found[9], found[9], 1)[1] or {}
        out[number] = { found[1], found[2], found[3] or '', found[4], found[5], delayed or found[6], delayed and 1 or 0,
            is_pending and found[7] or 0, found[8] or '', redis.call('GET', prefix .. 'b:' .. id) or '',
            redis.call('GET', prefix .. 'o:' .. id) or '', holder[2] or '', holder[3] or 0, found[11] or '',
            found[12] or 0, delayed and int(math.max(0, delayed - now)) or 0, is_pending and open_of(found[13]) or {} }
    else
        out[number] = false
    end
end
return out
