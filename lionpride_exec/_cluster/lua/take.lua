-- Hand events to a worker. Return whether the queue is paused, and for each event: id, stream, message, status, attempt,
-- envelope, what is stored of its attempts.
--
-- Arguments:
--   worker
--   want: how many new events
--   read: entries that the worker has read itself, each {stream, message, id}. A paused queue takes them back.
--   idle: milliseconds after which an entry of another worker is taken over. 0: none is.
--   known: the ids that the worker knows it holds, if it has lost an answer. It gets the others that it holds, 10,000 of
--     a stream at most. false: no answer was lost.
--   streams: how many
local out = {}

-- Add an event to the answer. If the entry is not that of its event any more, remove the entry instead.
local function load(number, message, id)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'mi')
    if found[3] ~= message or ENDED[found[1]] then
        drop(number, message)
        return
    end
    out[#out + 1] = { id, number, message, found[1], found[2], redis.call('GET', prefix .. 'b:' .. id) or '',
        redis.call('GET', prefix .. 'o:' .. id) or '' }
end

if args.known then
    local known = {}
    for _, id in ipairs(args.known) do
        known[id] = true
    end
    for number = 0, args.streams - 1 do
        for _, entry in ipairs(redis.call('XPENDING', stream(number), 'lp', '-', '+', 10000, args.worker)) do
            local found = redis.call('XRANGE', stream(number), entry[1], entry[1])[1]
            if found and not known[found[2][2]] then
                load(number, entry[1], found[2][2])
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
if args.idle > 0 then
    for number = 0, args.streams - 1 do
        local room = args.want - #out
        if room > 0 then
            local stale = redis.call('XPENDING', stream(number), 'lp', 'IDLE', int(args.idle), '-', '+', room)
            for _, entry in ipairs(stale) do
                local claimed = redis.call('XCLAIM', stream(number), 'lp', args.worker, int(args.idle), entry[1])
                if claimed[1] then
                    load(number, claimed[1][1], claimed[1][2][2])
                else
                    redis.call('XACK', stream(number), 'lp', entry[1])  -- the entry was deleted
                end
            end
        end
    end
end
for number = 0, args.streams - 1 do
    local room = args.want - #out
    if room > 0 then
        local read = redis.call('XREADGROUP', 'GROUP', 'lp', args.worker, 'COUNT', room, 'STREAMS', stream(number), '>')
        if read then
            for _, entry in ipairs(read[1][2]) do
                load(number, entry[1], entry[2][2])
            end
        end
    end
end
return { 0, out }
