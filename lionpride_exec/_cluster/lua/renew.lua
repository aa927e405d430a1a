-- Keep what a worker holds. Return whether its lease was still running, and the ids that it does not hold any more.
--
-- Arguments: worker, lease (milliseconds), held (entries, each {stream, message, id}).
local alive = redis.call('SET', prefix .. 'w:' .. args.worker, '1', 'PX', int(args.lease), 'GET')
local lost, kept = {}, {}
for _, entry in ipairs(args.held) do
    local number, message, id = unpack(entry)
    if #redis.call('XPENDING', stream(number), 'lp', message, message, 1, args.worker) == 0 then
        lost[#lost + 1] = id
    else
        kept[number] = kept[number] or {}
        table.insert(kept[number], message)
    end
end
for number, messages in pairs(kept) do
    for first = 1, #messages, 500 do
        local last = math.min(first + 499, #messages)
        -- JUSTID: the time is set anew, and the entries are not sent.
        local command = { 'XCLAIM', stream(number), 'lp', args.worker, '0' }
        for place = first, last do
            command[#command + 1] = messages[place]
        end
        command[#command + 1] = 'JUSTID'
        redis.call(unpack(command))
    end
end
return { alive and 1 or 0, lost }
