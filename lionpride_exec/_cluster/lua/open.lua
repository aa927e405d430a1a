-- Make the queue if it is not there. Return its format, its epoch, and the last id of the stream of transitions.
--
-- Arguments: format, new_epoch, streams (how many).
local found = redis.call('HMGET', meta, 'format', 'epoch', 'streams')
if not found[1] then
    redis.call('HSET', meta, 'format', args.format, 'epoch', args.new_epoch, 'streams', args.streams)
    found = { args.format, args.new_epoch, args.streams }
end
for number = 0, args.streams - 1 do
    if redis.call('EXISTS', stream(number)) == 0 then
        redis.call('XGROUP', 'CREATE', stream(number), 'lp', '0', 'MKSTREAM')
    end
end
local last = redis.call('XREVRANGE', prefix .. 't', '+', '-', 'COUNT', 1)
return { tostring(found[1]), found[2], tostring(found[3]), last[1] and last[1][1] or '0-0' }
