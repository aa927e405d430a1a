-- End events that wait, and tell the workers of those that run. Return for each: "ended", "sent", "late" or "unknown".
--
-- Arguments: ids, status, outcomes (one for each id).
local out = {}
for number, id in ipairs(args.ids) do
    local found = redis.call('HMGET', hash(id), 'st', 'wk')
    if not found[1] then
        out[number] = 'unknown'
    elseif found[1] == 'pending' then
        finish(id, args.status, '', bytes(args.outcomes[number]))
        out[number] = 'ended'
    elseif found[1] == 'processing' then
        send(found[2], 'i', id, 's', args.status)
        out[number] = 'sent'
    else
        out[number] = 'late'
    end
end
return out
