-- What all scripts begin with: the arguments, the names of the keys, and the one way from status to status.
--
-- KEYS[1] is the key `meta` of the queue. All other keys have the same prefix, so they are in the same slot:
--   meta        hash: `format`, `epoch`, `streams`, `lowest` (the number of the lowest level), `lease` (milliseconds, of
--               all workers), and `paused` while the queue is paused
--   q:<number>  stream: the events that may start, with the consumer group `lp`. 0 goes first; from 1 on, the levels
--   d           sorted set: id -> when the event is due
--   n           hash: status -> how many events have it
--   t           stream: all transitions, and why workers could not run events (`i`, `u` the reason, `w`)
--   bell        stream: tells all workers that an event has become due earlier
--   m:<worker>  stream: messages for one worker
--   w:<worker>  there while the lease of the worker runs: the call that began the lease
--   ws          sorted set: worker, a space, and what it says of itself -> when it has renewed its lease last
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
--   cn  the final status that a request to end its run has asked for
--   tk  the token of its last run           wk  the worker of its last run
--   li  what its run has taken of limits    af  the events that it comes after, if any
--   rk  the call that retried it last       gv  the last step by which a worker let go of it
--   pk  the bucket in which it is parked    tu  the bucket in which it is its turn
--   ps  how much later those parked after it are due
--   ts  since when it has its status        cu  1 if its last run was cut short by the death of its worker, and no
--                                               worker that knows its class has had it since
--
-- ARGV[1] is a map in MessagePack. Its field `epoch` is what `open.lua` returned. A value of bytes cannot be in the
-- map, since the server's MessagePack does not know the type. It is an argument after the map, and the map has its
-- number, from 1 on. The number 0 stands for no bytes.

local meta = KEYS[1]
local prefix = string.sub(meta, 1, -5)
local args = cmsgpack.unpack(ARGV[1])

if args.epoch and redis.call('HGET', meta, 'epoch') ~= args.epoch then
    return redis.error_reply('EPOCH the data of the queue is gone')
end

local function bytes(number)
    return number == 0 and '' or ARGV[number + 1]
end

local OPEN = { pending = true, processing = true }
local ENDED = { completed = true, failed = true, cancelled = true, skipped = true, aborted = true }

-- Outcomes up to so many bytes are in the stream of transitions. Longer ones are read from their own key.
local SMALL = 512

-- tostring() loses digits of large numbers, so whole numbers are written with this function.
local function int(number)
    return string.format('%.0f', number)
end

-- In microseconds.
local SECOND = 1000000
local HOUR = 3600 * SECOND
local DAY = 24 * HOUR

-- How many messages are kept at most: for one worker, and for all.
local MAILBOX_LENGTH = 10000
local BELL_LENGTH = 16

-- Microseconds since 1970 by the clock of the server. A double holds them exactly.
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]

-- Return a time that a client sent. A negative number is microseconds from now on, since the client's clock may differ.
local function absolute(sent)
    return sent < 0 and now - sent or sent
end

local function stream(number)
    return prefix .. 'q:' .. number
end

local function hash(id)
    return prefix .. 'e:' .. id
end

-- Record a transition: in the hash of the event, in the counts, and in the stream of all transitions. The fields and
-- values after the outcome are put into the hash too.
local function move(id, old, new, attempt, worker, outcome, ...)
    redis.call('HSET', hash(id), 'st', new, 'ts', int(now), ...)
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
local function drop(number, entry_id)
    if entry_id and entry_id ~= '' then
        redis.call('XACK', stream(number), 'lp', entry_id)
        redis.call('XDEL', stream(number), entry_id)
    end
end

-- Put an event into a stream. Stream 0 goes first; the others are the levels of priority.
local function enqueue(id, number)
    local entry_id = redis.call('XADD', stream(number), '*', 'i', id)
    redis.call('HSET', hash(id), 'mi', entry_id, 'qs', number)
end

-- Have an event taken once it is due. The bell wakes workers that wait for a later time.
local function schedule(id, number, due)
    if due > now then
        redis.call('ZADD', prefix .. 'd', int(due), id)
        redis.call('HSET', hash(id), 'mi', '', 'qs', number)
        redis.call('XADD', prefix .. 'bell', 'MAXLEN', BELL_LENGTH, '*', 'due', int(due))
    else
        enqueue(id, number)
    end
end

-- Make a key expire after so many microseconds, or in 3000 years: the server refuses numbers of more than 64 bits.
local function expire_after(name, micros)
    redis.call('PEXPIRE', name, int(math.min(micros / 1000, 1e14)))
end

-- Send a message to one worker. It expires after an hour without another one, since the worker may be dead.
local function send(worker, ...)
    local mailbox = prefix .. 'm:' .. worker
    redis.call('XADD', mailbox, 'MAXLEN', '~', MAILBOX_LENGTH, '*', ...)
    expire_after(mailbox, HOUR)
end

local function bucket(name, part)
    return prefix .. 'l:' .. name .. ':' .. part
end

-- Tell the worker that has waited longest for a bucket that it may ask again. A worker without a lease is passed over.
local function tell_next(name)
    repeat
        local longest = redis.call('ZPOPMIN', bucket(name, 'w'))[1]
        if longest and redis.call('EXISTS', prefix .. 'w:' .. longest) == 1 then
            return send(longest, 'b', name)
        end
    until not longest
end

-- Have a bucket used that has something to give again. It is the turn of the event that is parked first. The worker
-- that has waited longest is told too, since it may hold an event that can use the place at once.
local function wake(name)
    local id = redis.call('ZPOPMIN', bucket(name, 'p'))[1]
    if id then
        redis.call('HDEL', hash(id), 'pk')
        redis.call('HSET', hash(id), 'tu', name)
        enqueue(id, 0)
    end
    tell_next(name)
end

-- Let the next event of a bucket have the turn that an event does not use.
local function pass_turn(id, name)
    if name then
        redis.call('HDEL', hash(id), 'tu')
        wake(name)
    end
end

-- Take an event that does not begin from where it is parked. Others may be due so much earlier.
local function unpark(id, name, later)
    redis.call('HDEL', hash(id), 'pk', 'ps')
    redis.call('ZREM', bucket(name, 'p'), id)
    if later and redis.call('HEXISTS', bucket(name, 'c'), 'next') == 1 then
        redis.call('HINCRBYFLOAT', bucket(name, 'c'), 'next', int(-later))
    end
end

-- Forget a worker. A group has a consumer for each worker that has ever taken something. One that holds entries stays,
-- since they would be lost with it.
local function forget(worker, member)
    for number = 0, redis.call('HGET', meta, 'streams') - 1 do
        if #redis.call('XPENDING', stream(number), 'lp', '-', '+', 1, worker) == 0 then
            redis.call('XGROUP', 'DELCONSUMER', stream(number), 'lp', worker)
        end
    end
    redis.call('ZREM', prefix .. 'ws', member)
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

-- End one event, and leave its followers to finish().
local function end_event(id, status, worker, outcome)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'qs', 'mi', 'rt', 'ky', 'pk', 'ps', 'tu')
    drop(found[3], found[4])
    if found[7] then
        unpark(id, found[7], found[8])
    end
    redis.call('ZREM', prefix .. 'd', id)
    redis.call('HSET', hash(id), 'mi', '')
    if outcome ~= '' then
        redis.call('SET', prefix .. 'o:' .. id, outcome)
    end
    move(id, found[1], status, found[2], worker, outcome)
    expire(id, tonumber(found[5]), found[6])
    pass_turn(id, found[9])
end

-- End an event. If it is completed, the events that wait for it go on. Otherwise they are skipped, and so are the
-- events that wait for these.
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
