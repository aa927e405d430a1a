-- Hand events to a worker. Return a number: 1 if the queue is paused; 2 if there was no room to take over all that may be
-- taken over; otherwise 0. And for each event: id, stream, entry_id, status, attempt, envelope, what is stored of its
-- attempts.
--
-- Arguments:
--   worker
--   want: how many new events
--   read: entries that the worker has read itself, each {stream, entry_id, id}. A paused queue takes them back. The id
--     is '' if another program has written the entry.
--   idle: milliseconds after which an entry of another worker is taken over. 0: none is.
--   known: the ids that the worker knows it holds, if it has lost an answer. It gets the others that it holds,
--     MOST_UNKNOWN of a stream at most. false: no answer was lost.
--   streams: how many
local MOST_UNKNOWN = 10000

local out = {}

-- Add an event to the answer. If the entry is not that of its event any more, remove the entry instead.
local function load(number, entry_id, id)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'mi', 'cu')
    if found[3] ~= entry_id or not OPEN[found[1]] or not tonumber(found[2]) then
        drop(number, entry_id)
        return
    end
    out[#out + 1] = { id, number, entry_id, found[4] and 'processing' or found[1], found[2], redis.call('GET', prefix .. 'b:' .. id) or '',
        redis.call('GET', prefix .. 'o:' .. id) or '' }
end

-- Return the id of the event that an entry is for. It is '' for an entry of another program, which load() removes.
local function id_of(fields)
    return fields[1] == 'i' and fields[2] or ''
end

if args.known then
    local known = {}
    for _, id in ipairs(args.known) do
        known[id] = true
    end
    for number = 0, args.streams - 1 do
        for _, entry in ipairs(redis.call('XPENDING', stream(number), 'lp', '-', '+', MOST_UNKNOWN, args.worker)) do
            local found = redis.call('XRANGE', stream(number), entry[1], entry[1])[1]
            if found and not known[id_of(found[2])] then
                load(number, entry[1], id_of(found[2]))
            end
        end
    end
end
if redis.call('HGET', meta, 'paused') then
    for _, entry in ipairs(args.read) do
        if redis.call('HGET', hash(entry[3]), 'mi') == entry[2] then
            enqueue(entry[3], 0)
        end
        drop(entry[1], entry[2])
    end
    return { 1, out }
end
for _, entry in ipairs(args.read) do
    load(entry[1], entry[2], entry[3])
end
local has_more = false
if args.idle > 0 then
    for number = 0, args.streams - 1 do
        local room = args.want - #out
        if room > 0 then
            local stale = redis.call('XPENDING', stream(number), 'lp', 'IDLE', int(args.idle), '-', '+', room)
            for _, entry in ipairs(stale) do
                local claimed = redis.call('XCLAIM', stream(number), 'lp', args.worker, int(args.idle), entry[1])
                if claimed[1] then
                    load(number, claimed[1][1], id_of(claimed[1][2]))
                else
                    redis.call('XACK', stream(number), 'lp', entry[1])  -- the entry was deleted
                end
            end
            has_more = has_more or #stale == room
        else
            has_more = true
        end
    end
end
for number = 0, args.streams - 1 do
    local room = args.want - #out
    if room > 0 then
        local read = redis.call('XREADGROUP', 'GROUP', 'lp', args.worker, 'COUNT', room, 'STREAMS', stream(number), '>')
        if read then
            for _, entry in ipairs(read[1][2]) do
                load(number, entry[1], id_of(entry[2]))
            end
        end
    end
end
return { has_more and 2 or 0, out }
