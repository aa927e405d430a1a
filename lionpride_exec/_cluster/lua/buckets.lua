-- Limits for all workers together. A bucket counts one limit for one key. A cost is out from the start of its run until
-- it comes back. The keys of a bucket:
--   <bucket>:c  hash: `used`, the sum of all costs that are out; `shut`, until when nothing is taken; `next`, when the next
--               event is due that is parked; token -> cost
--   <bucket>:u  sorted set: token -> when its cost comes back
--   <bucket>:h  hash: token -> worker, for costs that are out until the end of the run, and `per` after it
--   <bucket>:w  sorted set: worker -> since when it waits for a release
--   <bucket>:p  sorted set: event -> its place among those that are parked until a run ends
-- A token stands for one run. A limit is {bucket, amount, per, cost, hold}: `per` is in microseconds, `hold` says that
-- the time begins at the end of the run. The window slides, so no window of `per` has more than `amount`.

local USES_AT_A_TIME = 100

-- A cost may be a fraction. Text with 17 digits is read as the same number again.
local function exact(number)
    return string.format('%.17g', number)
end

-- Give costs back. If no cost is out any more, the sum is set to exactly 0, without errors of rounding.
local function give(name, tokens)
    for _, token in ipairs(tokens) do
        local cost = redis.call('HGET', bucket(name, 'c'), token)
        if cost then
            redis.call('HDEL', bucket(name, 'c'), token)
            redis.call('HINCRBYFLOAT', bucket(name, 'c'), 'used', exact(-tonumber(cost)))
        end
    end
    if redis.call('ZCARD', bucket(name, 'u')) == 0 and redis.call('HLEN', bucket(name, 'h')) == 0 then
        redis.call('HDEL', bucket(name, 'c'), 'used')
    end
end

-- Keep what a bucket knows for a day after its last use, and as long as a cost is out until a run ends.
local function keep(name, per)
    if redis.call('EXISTS', bucket(name, 'h')) == 1 then
        redis.call('PERSIST', bucket(name, 'c'))
        return
    end
    local found = redis.call('HMGET', bucket(name, 'c'), 'shut', 'next')
    local till = math.max(now + per, tonumber(found[1] or 0), tonumber(found[2] or 0))
    expire_after(bucket(name, 'c'), till - now + DAY)
end

-- Have the cost of a run come back after a time.
local function return_after(name, token, per)
    redis.call('ZADD', bucket(name, 'u'), int(now + per), token)
    expire_after(bucket(name, 'u'), per + DAY)
end

-- Record the end of a run in one bucket. If the cost is out until then, it comes back after `per`.
local function release_one(name, token, per)
    if redis.call('HDEL', bucket(name, 'h'), token) == 1 then
        if per > 0 then
            return_after(name, token, per)
        else
            give(name, { token })
        end
        keep(name, per)
        wake(name)
    end
end

-- Record the end of a run in all its buckets.
local function release(id, token)
    local taken = redis.call('HGET', hash(id), 'li')
    if taken then
        for _, limit in ipairs(cmsgpack.unpack(taken)) do
            release_one(limit[1], token, limit[2])
        end
        redis.call('HDEL', hash(id), 'li')
    end
end

-- Give back the costs whose time is over.
local function refresh(name)
    local due = redis.call('ZRANGEBYSCORE', bucket(name, 'u'), '-inf', int(now))
    if #due > 0 then
        redis.call('ZREMRANGEBYSCORE', bucket(name, 'u'), '-inf', int(now))
        give(name, due)
    end
end

-- End the runs of workers whose lease has run out.
local function release_dead(name, per)
    local held, alive = redis.call('HGETALL', bucket(name, 'h')), {}
    for place = 1, #held, 2 do
        local worker = held[place + 1]
        if alive[worker] == nil then
            alive[worker] = redis.call('EXISTS', prefix .. 'w:' .. worker) == 1
        end
        if not alive[worker] then
            release_one(name, held[place], per)
        end
    end
end

-- Return when a cost may be taken: 0 for now, else a time, -1 if a run has to end first.
local function free_at(limit)
    local name, amount, cost = limit[1], limit[2], limit[4]
    local found = redis.call('HMGET', bucket(name, 'c'), 'used', 'shut')
    local shut = tonumber(found[2] or 0)
    -- A little above the amount, so that rounded sums of fractional costs do not keep the last one out.
    local excess = tonumber(found[1] or 0) + cost - amount - math.min(amount * 1e-12, 1e-6)
    if excess <= 0 then
        return shut > now and shut or 0
    end
    local first = 0
    while true do
        local uses = redis.call('ZRANGE', bucket(name, 'u'), first, first + USES_AT_A_TIME - 1, 'WITHSCORES')
        for place = 1, #uses, 2 do
            excess = excess - tonumber(redis.call('HGET', bucket(name, 'c'), uses[place]) or 0)
            if excess <= 0 then
                return math.max(tonumber(uses[place + 1]), shut)
            end
        end
        if #uses < 2 * USES_AT_A_TIME then  -- pairs of token and time: these were the last
            return -1
        end
        first = first + USES_AT_A_TIME
    end
end

-- Return when a cost may be taken, like free_at(), with what has come back by now.
local function ask(limit)
    refresh(limit[1])
    local at = free_at(limit)
    if at ~= 0 and limit[5] and args.judge ~= false then
        release_dead(limit[1], limit[3])
        at = free_at(limit)
    end
    return at
end

-- Take all costs of a run, or none. Return 0 if they are taken. Else return after how many microseconds to ask again
-- (-1: once a run has ended), and the index from 0 on of the limit that decides this. The worker may have been told of
-- the places that it leaves free then, so the next workers are told of them.
local function acquire(limits, token)
    local wait, decides, left = 0, 0, {}
    for number, limit in ipairs(limits) do
        local at = ask(limit)
        if at == 0 then
            left[#left + 1] = limit[1]
        elseif at == -1 then
            redis.call('ZADD', bucket(limit[1], 'w'), 'NX', int(now), args.worker)
            expire_after(bucket(limit[1], 'w'), DAY)
            if wait ~= -1 then
                wait, decides = -1, number - 1
            end
        elseif wait ~= -1 and math.max(at - now, 1) > wait then
            wait, decides = math.max(at - now, 1), number - 1
        end
    end
    if wait ~= 0 then
        for _, name in ipairs(left) do
            tell_next(name)
        end
        return wait, decides
    end
    for _, limit in ipairs(limits) do
        local name, per = limit[1], limit[3]
        redis.call('HINCRBYFLOAT', bucket(name, 'c'), 'used', exact(limit[4]))
        redis.call('HSET', bucket(name, 'c'), token, exact(limit[4]))
        if limit[5] then
            redis.call('HSET', bucket(name, 'h'), token, args.worker)
        else
            return_after(name, token, per)
        end
        redis.call('ZREM', bucket(name, 'w'), args.worker)
        keep(name, per)
    end
    return 0
end

-- Return the field of an event and its value that say what its run has taken, or nothing.
local function taken_of(limits)
    if #limits > 0 then
        local taken = {}
        for number, limit in ipairs(limits) do
            taken[number] = { limit[1], limit[3] }
        end
        return 'li', cmsgpack.pack(taken)
    end
end

-- Correct the cost of a run. Nothing changes once the cost has come back.
local function settle(name, token, cost)
    local before = redis.call('HGET', bucket(name, 'c'), token)
    if before then
        redis.call('HSET', bucket(name, 'c'), token, exact(cost))
        redis.call('HINCRBYFLOAT', bucket(name, 'c'), 'used', exact(cost - tonumber(before)))
    end
end

-- Have nothing taken from a bucket until a time.
local function shut(name, till)
    local before = tonumber(redis.call('HGET', bucket(name, 'c'), 'shut') or 0)
    if till > before then
        redis.call('HSET', bucket(name, 'c'), 'shut', int(till))
        keep(name, 0)
    end
end

-- Have an event wait outside of the streams until it may be its turn under a limit.
--
-- Where costs come back after a time, the events are due one after the other, none before `wait` microseconds are over.
-- Where a run has to end first, the events stand in a line, and each end of a run takes the first one out, see wake().
-- While there is a line, a run has yet to end, or it is the turn of an event that was taken out. That event uses its
-- turn by its start. If it does not start, the turn passes to the next one. So the line always goes on.
local function park(id, level, limit, wait, turn)
    local name, amount, per, cost = limit[1], limit[2], limit[3], limit[4]
    if per > 0 then
        local due = math.max(now + wait, tonumber(redis.call('HGET', bucket(name, 'c'), 'next') or 0))
        local later = int(per * cost / amount)
        redis.call('HSET', bucket(name, 'c'), 'next', int(due + later))
        redis.call('HSET', hash(id), 'pk', name, 'ps', later)
        keep(name, per)
        schedule(id, level, due)
        return pass_turn(id, turn)
    end
    local at = ask(limit)
    if at >= 0 then  -- there is room by now, or the bucket is shut until then
        schedule(id, level, at)
        return turn ~= name and pass_turn(id, turn)
    end
    if redis.call('EXISTS', bucket(name, 'h')) == 0 then  -- it costs more than there is: no run will end
        schedule(id, level, now + SECOND)
        return pass_turn(id, turn)
    end
    local first = redis.call('ZRANGE', bucket(name, 'p'), 0, 0, 'WITHSCORES')[2] or 0
    local last = redis.call('ZRANGE', bucket(name, 'p'), -1, -1, 'WITHSCORES')[2] or 0
    redis.call('HSET', hash(id), 'pk', name)
    if turn ~= name then
        redis.call('ZADD', bucket(name, 'p'), last + 1, id)
        return pass_turn(id, turn)
    end
    -- Another run has used its turn. It is the first one again.
    redis.call('ZADD', bucket(name, 'p'), first - 1, id)
    redis.call('HDEL', hash(id), 'tu')
end
