-- Look at some of the server's keys. Return the cursor for the next call ('0': all keys were looked at), and the ids of
-- the events found that have a status.
--
-- Arguments: status, cursor, count (keys to look at).
local pattern = string.gsub(prefix, '[%[%]?*\\]', '\\%0') .. 'e:*'
local found = redis.call('SCAN', args.cursor, 'MATCH', pattern, 'COUNT', args.count)
local ids = {}
for _, name in ipairs(found[2]) do
    if redis.call('HGET', name, 'st') == args.status then
        ids[#ids + 1] = string.sub(name, #prefix + 3)
    end
end
return { found[1], ids }
