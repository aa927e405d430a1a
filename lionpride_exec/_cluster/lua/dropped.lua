-- Return whether transitions after a cursor may have been dropped from the stream: 1 or 0.
--
-- Arguments: cursor; safe, the milliseconds for which each transition is kept at least.
--
-- XINFO does not tell what XTRIM has dropped. So the transition itself must be there, or be the last one, or be young.
local name = prefix .. 't'
if #redis.call('XRANGE', name, args.cursor, args.cursor) > 0 then
    return 0
end
local info = redis.call('XINFO', 'STREAM', name)
for place = 1, #info, 2 do
    if info[place] == 'last-generated-id' and info[place + 1] == args.cursor then
        return 0
    end
end
local made = tonumber(string.match(args.cursor, '^%d+'))
return now / 1000 - made > args.safe and 1 or 0
