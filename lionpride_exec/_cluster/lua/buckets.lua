-- Limits for all workers together. A bucket counts one limit for one key. A cost is out from the start of its run until it
-- comes back. The keys of a bucket:
--   <bucket>:c  hash: `used`, the sum of all costs that are out; `shut`, until when nothing is taken; token -> cost
--   <bucket>:u  sorted set: token -> when its cost comes back
--   <bucket>:h  hash: token -> worker, for costs that come back some time after the end of the run
--   <bucket>:w  sorted set: worker -> since when it waits for a release
-- A token stands for one run. A limit is {bucket, amount, per, cost, hold}: `per` is in microseconds, `hold` says that the
-- time begins at the end of the run. The window slides, so no window of `per` has more than `amount`.

local function bucket(name, part)
    return prefix .. 'l:' .. name .. ':' .. part
end

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

-- Tell the worker that has waited longest that something came back.
local function wake(name)
    local longest = redis.call('ZPOPMIN', bucket(name, 'w'))
    if longest[1] then
        send(longest[1], 'b', name)
    end
end

-- Record the end of a run in one bucket. If the bucket holds the cost, the cost comes back after `per`.
local function release_one(name, token, per)
    if redis.call('HDEL', bucket(name, 'h'), token) == 1 then
        if per > 0 then
            redis.call('ZADD', bucket(name, 'u'), int(now + per), token)
        else
            give(name, { token })
        end
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
        local uses = redis.call('ZRANGE', bucket(name, 'u'), first, first + 99, 'WITHSCORES')
        for place = 1, #uses, 2 do
            excess = excess - tonumber(redis.call('HGET', bucket(name, 'c'), uses[place]) or 0)
            if excess <= 0 then
                return math.max(tonumber(uses[place + 1]), shut)
            end
        end
        if #uses < 200 then  -- fewer than 100 pairs of token and time: these were the last
            return -1
        end
        first = first + 100
    end
end

-- Take all costs of a run, or none. Return 0 if they are taken; else after how many microseconds to ask again, -1 if a
-- run has to end first.
local function acquire(limits, id, token)
    local wait = 0
    for _, limit in ipairs(limits) do
        refresh(limit[1])
        local at = free_at(limit)
        if at ~= 0 and limit[5] then
            release_dead(limit[1], limit[3])
            at = free_at(limit)
        end
        if at == -1 then
            redis.call('ZADD', bucket(limit[1], 'w'), 'NX', int(now), args.worker)
            wait = -1
        elseif at ~= 0 and wait ~= -1 then
            wait = math.max(wait, at - now, 1)
        end
    end
    if wait ~= 0 then
        return wait
    end
    local taken = {}
    for number, limit in ipairs(limits) do
        local name, per = limit[1], limit[3]
        redis.call('HINCRBYFLOAT', bucket(name, 'c'), 'used', exact(limit[4]))
        redis.call('HSET', bucket(name, 'c'), token, exact(limit[4]))
        if limit[5] then
            redis.call('HSET', bucket(name, 'h'), token, args.worker)
        else
            redis.call('ZADD', bucket(name, 'u'), int(now + per), token)
        end
        redis.call('ZREM', bucket(name, 'w'), args.worker)
        for _, part in ipairs({ 'c', 'u', 'h', 'w' }) do
            redis.call('PEXPIRE', bucket(name, part), int(per / 1000 + 86400000))  -- a day after the last use
        end
        taken[number] = { name, per }
    end
    if #taken > 0 then
        redis.call('HSET', hash(id), 'li', cmsgpack.pack(taken))
    end
    return 0
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
        redis.call('PEXPIRE', bucket(name, 'c'), int((till - now) / 1000 + 86400000))
    end
end
