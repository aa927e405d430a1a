-- What all scripts begin with: the arguments, the names of the keys, and the one way from status to status.
--
-- KEYS[1] is the key `meta` of the queue. All other keys have the same prefix, so they are in the same slot.
-- ARGV[1] is a map in MessagePack. Its field `epoch` is what `open.lua` returned. Bytes come in the arguments after it,
-- since the server's MessagePack does not know the type: the map has their numbers, 0 for none.

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

-- Note a transition: the status in the hash of the event, the counts, and a line for all who follow the queue.
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

-- Remove the entry of an event from its stream and from the list of who holds it.
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

-- Have an event taken once its time has come. The bell tells the workers, which may wait for a later time.
local function schedule(id, number, due)
    if due > now then
        redis.call('ZADD', prefix .. 'd', int(due), id)
        redis.call('HSET', hash(id), 'mi', '', 'qs', number)
        redis.call('XADD', prefix .. 'bell', 'MAXLEN', 16, '*', 'due', int(due))
    else
        enqueue(id, number)
    end
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

-- End an event. Who waited for it goes on if it is completed; else these events are skipped, and who waits for them.
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
