-- Record what a worker did. Return a word and a number for each step.
--
-- Arguments: worker, steps. The steps are:
--   {'begin', id, entry_id, token, limits}: the event begins, and takes what its limits say. The answers are:
--     "go" and the attempt;
--     "gone": the entry is not this worker's any more;
--     "wait", the microseconds after which to ask again (-1: once a run has ended), and the index from 0 on of the limit
--     that refuses. If several refuse, it is one for which a run has to end, else the one with the latest time.
--   {'settle', token, bucket, cost}: the run has cost so much. "done".
--   {'shut', bucket, time}: nothing is taken from the bucket until that time. "done".
--   {'finish', id, entry_id, token, status, outcome}: the event ends. The event may also end before it has begun. "done";
--     "again" if this was recorded before; "fenced" if another run counts.
--   {'give_back', id, entry_id, token, counts}: the event can be taken again at once.
--   {'postpone', id, entry_id, token, due, attempts, counts, why}: it can be taken again at a time. `attempts` is the
--     record of its earlier attempts. `why` is a word for clients: why the worker cannot run it. nil or "": no reason.
--   {'park', id, entry_id, token, limit, wait}: it can be taken again when it may be its turn under the limit. That is
--     not before `wait` microseconds are over; -1 if a run has to end first.
--   {'pass_place', bucket}: the worker was told of a place in the bucket and cannot use it now. The next worker is told.
--     "done".
--   {'leave', description}: the worker ends, so its lease ends too. "done".
-- The steps that concern an event have the names of the methods of the worker. The answers to "give_back", "postpone" and
-- "park" are those to "finish", and "ended", see let_go(). `counts` says whether the run that ends counts as an attempt.
-- A negative time is microseconds from now on. The worker sends a step again if the answer was lost. So each step is
-- idempotent.
local out = {}

-- Return whether the worker holds an entry.
local function is_held(number, entry_id)
    if entry_id == '' then
        return false
    end
    local found = redis.call('XPENDING', stream(number), 'lp', entry_id, entry_id, 1, args.worker)
    return #found > 0
end

-- An event begins. If it takes something else than what it was its turn to take, the turn passes to the next event.
local function use_turn(id, turn, limits)
    for _, limit in ipairs(limits) do
        if turn == limit[1] then
            redis.call('HDEL', hash(id), 'tu')
            return
        end
    end
    pass_turn(id, turn)
end

local function begin(id, entry_id, token, limits)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'mi', 'qs', 'tk', 'pk', 'tu', 'cn', 'cu')
    if found[1] == 'processing' and found[5] == token then
        return { 'go', found[2] }
    end
    if found[3] ~= entry_id or not is_held(found[4], entry_id) then
        return { 'gone', 0 }
    end
    if found[1] == 'processing' then
        release(id, found[5])  -- of the run that the dead worker began
        if found[8] then  -- the dead worker was asked to end it
            finish(id, found[8], args.worker, '')
            return { 'gone', 0 }
        end
    end
    local wait, number = acquire(limits, token)
    if wait ~= 0 then
        return { 'wait', wait, number }
    end
    local attempt = found[2] + 1
    move(id, found[1], 'processing', attempt, args.worker, '', 'at', attempt, 'tk', token, 'wk', args.worker, taken_of(limits))
    if found[6] or found[9] then
        redis.call('HDEL', hash(id), 'pk', 'ps', 'cu')
    end
    if found[7] then
        use_turn(id, found[7], limits)
    end
    return { 'go', attempt }
end

-- What a worker does by a step that may come twice.
local function name_step(entry_id, token)
    return args.worker .. ' ' .. entry_id .. ' ' .. token
end

local function end_run(id, entry_id, token, status, outcome)
    local found = redis.call('HMGET', hash(id), 'st', 'mi', 'qs', 'tk', 'gv', 'cu', 'at')
    local is_last, step = token ~= '' and found[4] == token, name_step(entry_id, token)
    if ENDED[found[1]] then
        return { (is_last or found[5] == step) and 'again' or 'fenced', 0 }
    end
    if found[1] ~= 'processing' or not is_last then  -- it has not begun here
        if found[2] ~= entry_id or not is_held(found[3], entry_id) then
            return { 'fenced', 0 }
        end
        redis.call('HDEL', hash(id), 'tk')
        redis.call('HSET', hash(id), 'wk', args.worker, 'gv', step)
    end
    if found[1] == 'processing' then
        release(id, found[4])  -- of this run, or of that of a dead worker
    end
    if found[6] and found[1] == 'pending' then  -- it ends because its last run was cut short
        move(id, 'pending', 'processing', found[7], args.worker, '')
    end
    finish(id, status, args.worker, bytes(outcome))
    return { 'done', 0 }
end

-- Take an event from the worker: it is pending then, and in no stream. Return "done", its level and the bucket in which
-- it is its turn. Return "again" if this was done before, "fenced" if the worker neither runs nor holds it, "ended" if
-- the end of the run was asked for, so that the event does not run again.
local function let_go(id, entry_id, token, counts)
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'mi', 'qs', 'tk', 'lv', 'gv', 'tu', 'pk', 'ps', 'cn')
    local is_running = found[1] == 'processing' and found[5] == token
    local step = name_step(entry_id, token)
    if found[7] == step then
        return 'again'
    elseif not is_running and (found[3] ~= entry_id or not is_held(found[4], entry_id)) then
        return 'fenced'
    end
    drop(found[4], found[3])
    redis.call('HSET', hash(id), 'mi', '', 'gv', step)
    if found[9] then
        unpark(id, found[9], found[10])
    end
    if found[1] == 'processing' then
        release(id, found[5])  -- of this run, or of that of a dead worker
        local attempt = tonumber(found[2])
        if not is_running then
            redis.call('HSET', hash(id), 'cu', 1)
        elseif not counts then
            attempt = redis.call('HINCRBY', hash(id), 'at', -1)
        end
        if found[11] then
            finish(id, found[11], args.worker, '')
            return 'ended'
        end
        move(id, 'processing', 'pending', attempt, args.worker, '')
    end
    return 'done', found[6], found[8]
end

local function give_back(id, entry_id, token, counts)
    local word = let_go(id, entry_id, token, counts)
    if word == 'done' then
        enqueue(id, 0)
    end
    return { word, 0 }
end

local function postpone(id, entry_id, token, due, attempts, counts, why)
    local word, level, turn = let_go(id, entry_id, token, counts)
    if word == 'done' then
        if attempts ~= 0 then
            redis.call('SET', prefix .. 'o:' .. id, bytes(attempts))
        end
        schedule(id, level, due)
        pass_turn(id, turn)
        if why and why ~= '' then
            redis.call('XADD', prefix .. 't', '*', 'i', id, 'u', why, 'w', args.worker)
        end
    end
    return { word, 0 }
end

local function park_step(id, entry_id, token, limit, wait)
    local word, level, turn = let_go(id, entry_id, token, false)
    if word == 'done' then
        -- Where a run has to end first, its cost comes back after `per` at the earliest.
        park(id, level, limit, wait < 0 and limit[3] or wait, turn)
    end
    return { word, 0 }
end

for number, step in ipairs(args.steps) do
    local kind = step[1]
    if kind == 'begin' then
        out[number] = begin(step[2], step[3], step[4], step[5])
    elseif kind == 'finish' then
        out[number] = end_run(step[2], step[3], step[4], step[5], step[6])
    elseif kind == 'settle' then
        settle(step[3], step[2], step[4])
        out[number] = { 'done', 0 }
    elseif kind == 'shut' then
        shut(step[2], absolute(step[3]))
        out[number] = { 'done', 0 }
    elseif kind == 'pass_place' then
        tell_next(step[2])
        out[number] = { 'done', 0 }
    elseif kind == 'leave' then
        redis.call('DEL', prefix .. 'w:' .. args.worker, prefix .. 'm:' .. args.worker)
        forget(args.worker, args.worker .. ' ' .. step[2])
        out[number] = { 'done', 0 }
    elseif kind == 'give_back' then
        out[number] = give_back(step[2], step[3], step[4], step[5])
    elseif kind == 'postpone' then
        out[number] = postpone(step[2], step[3], step[4], absolute(step[5]), step[6], step[7], step[8])
    else
        out[number] = park_step(step[2], step[3], step[4], step[5], step[6])
    end
end
return out
