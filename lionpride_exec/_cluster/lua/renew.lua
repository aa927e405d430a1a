-- Keep what a worker holds. Return whether its lease was still running, and the ids that it does not hold any more.
--
-- Arguments: worker, description, lease (milliseconds), held (entries, each {stream, entry_id, id}), call (names this
-- call, since it may be sent twice).
local FORGOTTEN_AT_A_TIME = 20
local CLAIMED_AT_A_TIME = 500

local name = prefix .. 'w:' .. args.worker
local common = redis.call('HGET', meta, 'lease')
if common and common ~= int(args.lease) and redis.call('EXISTS', name) == 0 then
    return redis.error_reply('LEASE ' .. common)  -- two workers with different leases have been started at once
end
local since = redis.call('SET', name, args.call, 'PX', int(args.lease), 'NX', 'GET')
if since then
    redis.call('PEXPIRE', name, int(args.lease))
end
local was_alive = since and since ~= args.call
redis.call('ZADD', prefix .. 'ws', int(now), args.worker .. ' ' .. args.description)

-- Forget some workers that were not heard of for an hour.
local gone = redis.call('ZRANGEBYSCORE', prefix .. 'ws', '-inf', int(now - HOUR), 'LIMIT', 0, FORGOTTEN_AT_A_TIME)
for _, member in ipairs(gone) do
    forget(string.match(member, '^%S*'), member)
end

local lost, kept = {}, {}
for _, entry in ipairs(args.held) do
    local number, entry_id, id = unpack(entry)
    if #redis.call('XPENDING', stream(number), 'lp', entry_id, entry_id, 1, args.worker) == 0 then
        lost[#lost + 1] = id
    else
        kept[number] = kept[number] or {}
        table.insert(kept[number], entry_id)
    end
end
for number, messages in pairs(kept) do
    for first = 1, #messages, CLAIMED_AT_A_TIME do
        local last = math.min(first + CLAIMED_AT_A_TIME - 1, #messages)
        -- JUSTID: the time is set anew, and the entries are not sent.
        local command = { 'XCLAIM', stream(number), 'lp', args.worker, '0' }
        for place = first, last do
            command[#command + 1] = messages[place]
        end
        command[#command + 1] = 'JUSTID'
        redis.call(unpack(command))
    end
end
return { was_alive and 1 or 0, lost }
