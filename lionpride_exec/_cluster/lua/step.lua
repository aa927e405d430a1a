-- Record what a worker did. Return one word for each step.
--
-- Arguments: worker, steps. The steps are:
--   {'begin', id, message, token, limits}: "go" and the attempt, "gone" if the entry is not this worker's any more,
--     "wait" and the microseconds after which to ask again if a limit refuses (-1: once a run has ended).
--   {'settle', token, bucket, cost}: the run has cost so much. "done".
--   {'shut', bucket, time}: nothing is taken from the bucket until that time. "done".
--   {'finish', id, token, status, outcome}: "done"; "again" if this was recorded before; "fenced" if another run counts.
--   {'close', id, message, status, outcome}: like finish, for an event that did not begin.
--   {'back', id, message, token, counts}: the event is taken by another worker, at once. "done" or "fenced".
--   {'later', id, message, token, due, attempts}: it is taken again at a time, with what is stored of its attempts.
-- The worker sends a step again if the answer was lost. So each step is idempotent.
local out = {}

-- Return whether the worker holds an entry.
local function is_held(number, message)
    if message == '' then
        return false
    end
    local found = redis.call('XPENDING', stream(number), 'lp', message, message, 1, args.worker)
    return #found > 0
end

local function begin(id, message, token, limits)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'mi', 'qs', 'tk')
    if found[1] == 'processing' and found[5] == token then
        return { 'go', found[2] }
    end
    if found[3] ~= message or not is_held(found[4], message) then
        return { 'gone', 0 }
    end
    if found[1] == 'processing' then
        release(id, found[5])  -- of the run that the dead worker began
    end
    local wait = acquire(limits, id, token)
    if wait ~= 0 then
        return { 'wait', wait }
    end
    local attempt = redis.call('HINCRBY', hash(id), 'at', 1)
    redis.call('HSET', hash(id), 'tk', token, 'wk', args.worker)
    move(id, found[1], 'processing', attempt, args.worker, '')
    return { 'go', attempt }
end

local function end_run(id, token, status, outcome)
    local found = redis.call('HMGET', hash(id), 'st', 'tk')
    if found[2] ~= token then
        return { 'fenced', 0 }
    elseif ENDED[found[1]] then
        return { 'again', 0 }
    elseif found[1] ~= 'processing' then
        return { 'fenced', 0 }
    end
    release(id, token)
    finish(id, status, args.worker, bytes(outcome))
    return { 'done', 0 }
end

local function close(id, message, status, outcome)
    local found = redis.call('HMGET', hash(id), 'st', 'mi', 'qs', 'wk')
    if ENDED[found[1]] then
        return { (found[1] == status and found[4] == args.worker) and 'again' or 'fenced', 0 }
    elseif found[1] ~= 'pending' or found[2] ~= message or not is_held(found[3], message) then
        return { 'fenced', 0 }
    end
    redis.call('HSET', hash(id), 'wk', args.worker)
    finish(id, status, args.worker, bytes(outcome))
    return { 'done', 0 }
end

-- Return whether the worker may give an event away: it runs under the token, or it has not begun and the worker holds it.
local function may_give(found, message, token)
    if found[1] == 'processing' then
        return found[5] == token
    end
    return found[1] == 'pending' and found[3] == message and is_held(found[4], message)
end

local function part_with(id, message, token, number, due, attempts, counts)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'mi', 'qs', 'tk', 'lv')
    if not may_give(found, message, token) then
        local is_repeated = token ~= '' and found[1] == 'pending' and found[5] == token
        return { is_repeated and 'again' or 'fenced', 0 }
    end
    drop(found[4], found[3])
    if attempts ~= 0 then
        redis.call('SET', prefix .. 'o:' .. id, bytes(attempts))
    end
    if found[1] == 'processing' then
        release(id, token)
        local attempt = tonumber(found[2])
        if not counts then
            attempt = redis.call('HINCRBY', hash(id), 'at', -1)
        end
        move(id, 'processing', 'pending', attempt, args.worker, '')
    end
    schedule(id, number or found[6], due)
    return { 'done', 0 }
end

for number, step in ipairs(args.steps) do
    local kind = step[1]
    if kind == 'begin' then
        out[number] = begin(step[2], step[3], step[4], step[5])
    elseif kind == 'finish' then
        out[number] = end_run(step[2], step[3], step[4], step[5])
    elseif kind == 'close' then
        out[number] = close(step[2], step[3], step[4], step[5])
    elseif kind == 'settle' then
        settle(step[3], step[2], step[4])
        out[number] = { 'done', 0 }
    elseif kind == 'shut' then
        shut(step[2], step[3])
        out[number] = { 'done', 0 }
    elseif kind == 'back' then
        out[number] = part_with(step[2], step[3], step[4], 0, 0, 0, step[5])
    else
        out[number] = part_with(step[2], step[3], step[4], false, step[5], step[6], true)
    end
end
return out
