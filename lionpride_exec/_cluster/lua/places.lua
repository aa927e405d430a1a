-- Return the ids of those events whose run has lost its place under a limit on how many run at once, because its worker
-- was taken for dead.
--
-- Arguments: ids.
local out = {}
for _, id in ipairs(args.ids) do
    local found = redis.call('HMGET', hash(id), 'li', 'tk')
    for _, limit in ipairs(found[1] and cmsgpack.unpack(found[1]) or {}) do
        if limit[2] == 0 and redis.call('HEXISTS', prefix .. 'l:' .. limit[1] .. ':h', found[2] or '') == 0 then
            out[#out + 1] = id
            break
        end
    end
end
return out
