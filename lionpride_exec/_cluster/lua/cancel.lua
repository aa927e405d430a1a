-- End events that wait, and tell the workers of those that run. Return for each: "ended", "sent", "late" or "unknown".
--
-- Arguments: ids, status, outcomes (one for each id).
local out = {}
for number, id in ipairs(args.ids) do
    local found = redis.call('HMGET', hash(id), 'st', 'wk', 'mi', 'qs')
    if not found[1] then
        out[number] = 'unknown'
    elseif found[1] == 'pending' then
        finish(id, args.status, '', bytes(args.outcomes[number]))
        out[number] = 'ended'
    elseif found[1] == 'processing' then
        redis.call('HSET', hash(id), 'cn', args.status)  -- its worker may be dead: then it must not run again
        -- Another worker may have taken it over, and wait for a limit with it.
        local held = redis.call('XPENDING', stream(found[4]), 'lp', found[3], found[3], 1)[1]
        send(held and held[2] or found[2], 'i', id, 's', args.status, 'o', bytes(args.outcomes[number]))
        out[number] = 'sent'
    else
        out[number] = 'late'
    end
end
return out
