-- What all scripts begin with: the arguments, the names of the keys, and the one way from status to status.
--
-- KEYS[1] is the key `meta` of the queue. All other keys have the same prefix, so they are in the same slot:
--   meta        hash: `format`, `epoch`, `streams`, and `paused` while the queue is paused
--   q:<number>  stream: the events that may start, with the consumer group `lp`. 0 goes first; from 1 on, the levels
--   d           sorted set: id -> when the event is due
--   n           hash: status -> how many events have it
--   t           stream: all transitions
--   bell        stream: tells all workers that an event has become due earlier
--   m:<worker>  stream: messages for one worker
--   w:<worker>  there while the lease of the worker runs
--   e:<id>      hash: one event, see below
--   b:<id>      the envelope of an event
--   o:<id>      the outcome of an event. Before its end: what is stored of its attempts
--   s:<id>      set: the events that wait for this one
--   k:<key>     the id of the event that has the key
--   l:<bucket>  limits, see buckets.lua
-- The hash of an event has short names, since there are many events:
--   st  status                              mi  its entry in the stream, '' if it has none
--   at  how often it has begun              qs  the number of the stream
--   lv  its level of priority               du  when it may start
--   ky  its key, '' if none                 rt  milliseconds to keep it after its end, 0 for ever
--   wa  how many events it waits for        wy  the event that did not complete, so that this one was skipped
--   tk  the token of its last run           wk  the worker of its last run
--   li  what its run has taken of limits
--
-- ARGV[1] is a map in MessagePack. Its field `epoch` is what `open.lua` returned. A value of bytes cannot be in the map,
-- since the server's MessagePack does not know the type. It is an argument after the map, and the map has its number,
-- from 1 on. The number 0 stands for no bytes.

local meta = KEYS[1]
local prefix = string.sub(meta, 1, -5)
local args = cmsgpack.unpack(ARGV[1])

if args.epoch and redis.call('HGET', meta, 'epoch') ~= args.epoch then
    return redis.error_reply('EPOCH the data of the queue is gone')
end

local function bytes(number)
    return number == 0 and '' or ARGV[number + 1]
end

local ENDED = { completed = true, failed = true, cancelled = true, skipped = true, aborted = true }

-- Outcomes up to so many bytes are in the stream of transitions. Longer ones are read from their own key.
local SMALL = 512

-- tostring() loses digits of large numbers, so whole numbers are written with this function.
local function int(number)
    return string.format('%.0f', number)
end

-- Microseconds since 1970 by the clock of the server. A double holds them exactly.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function stream(number)
    return prefix .. 'q:' .. number
end

local function hash(id)
    return prefix .. 'e:' .. id
end

-- Record a transition: in the hash of the event, in the counts, and in the stream of all transitions.
local function move(id, old, new, attempt, worker, outcome)
    redis.call('HSET', hash(id), 'st', new)
    if old then
        redis.call('HINCRBY', prefix .. 'n', old, -1)
    end
    redis.call('HINCRBY', prefix .. 'n', new, 1)
    if #outcome > SMALL then
        outcome = ''
    end
    redis.call('XADD', prefix .. 't', '*', 'i', id, 's', new, 'a', attempt, 'w', worker, 'o', outcome)
end

-- Remove the entry of an event from its stream, and from the list of the entries that workers hold.
local function drop(number, message)
    if message and message ~= '' then
        redis.call('XACK', stream(number), 'lp', message)
        redis.call('XDEL', stream(number), message)
    end
end

-- Put an event into a stream. Stream 0 goes first; the others are the levels of priority.
local function enqueue(id, number)
    local message = redis.call('XADD', stream(number), '*', 'i', id)
    redis.call('HSET', hash(id), 'mi', message, 'qs', number)
end

-- Have an event taken once it is due. The bell wakes workers that wait for a later time.
local function schedule(id, number, due)
    if due > now then
        redis.call('ZADD', prefix .. 'd', int(due), id)
        redis.call('HSET', hash(id), 'mi', '', 'qs', number)
        redis.call('XADD', prefix .. 'bell', 'MAXLEN', 16, '*', 'due', int(due))
    else
        enqueue(id, number)
    end
end

-- Send a message to one worker. It expires after an hour without another one, since the worker may be dead.
local function send(worker, ...)
    local mailbox = prefix .. 'm:' .. worker
    redis.call('XADD', mailbox, 'MAXLEN', '~', 10000, '*', ...)
    redis.call('PEXPIRE', mailbox, 3600000)
end

-- Make the keys of an event that has ended expire.
local function expire(id, retain, key)
    if retain > 0 then
        for _, name in ipairs({ 'e:' .. id, 'b:' .. id, 'o:' .. id }) do
            redis.call('PEXPIRE', prefix .. name, int(retain))
        end
        if key ~= '' then
            redis.call('PEXPIRE', prefix .. 'k:' .. key, int(retain))
        end
    end
end

-- End one event. Its dependents are left to finish().
local function end_event(id, status, worker, outcome)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'qs', 'mi', 'rt', 'ky')
    drop(found[3], found[4])
    redis.call('ZREM', prefix .. 'd', id)
    redis.call('HSET', hash(id), 'mi', '')
    if outcome ~= '' then
        redis.call('SET', prefix .. 'o:' .. id, outcome)
    end
    move(id, found[1], status, found[2], worker, outcome)
    expire(id, tonumber(found[5]), found[6])
end

-- End an event. If it is completed, the events that wait for it go on. Otherwise they are skipped, and so are the events
-- that wait for these.
local function finish(id, status, worker, outcome)
    end_event(id, status, worker, outcome)
    local ended = { { id, status } }
    while #ended > 0 do
        local last = table.remove(ended)
        local followers = prefix .. 's:' .. last[1]
        for _, follower in ipairs(redis.call('SMEMBERS', followers)) do
            local found = redis.call('HMGET', hash(follower), 'st', 'lv', 'du')
            if found[1] == 'pending' then
                if last[2] ~= 'completed' then
                    end_event(follower, 'skipped', '', '')
                    redis.call('HSET', hash(follower), 'wy', last[1])
                    ended[#ended + 1] = { follower, 'skipped' }
                elseif redis.call('HINCRBY', hash(follower), 'wa', -1) == 0 then
                    schedule(follower, found[2], tonumber(found[3]))
                end
            end
        end
        redis.call('DEL', followers)
    end
end
