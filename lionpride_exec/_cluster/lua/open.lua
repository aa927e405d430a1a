-- Make the queue if it is not there. Return its format, its epoch, the last id of the stream of transitions, how many
-- streams it has, the number of its lowest level and the lease of its workers in milliseconds ('' if not known).
--
-- Arguments: format, new_epoch, streams (how many), and if the caller knows them: lowest (the number of its lowest
-- level), lease (of the worker that the caller is going to be; it counts if no worker is alive).
local function is_worked_on()
    for _, member in ipairs(redis.call('ZREVRANGE', prefix .. 'ws', 0, -1)) do
        if redis.call('EXISTS', prefix .. 'w:' .. string.match(member, '^%S*')) == 1 then
            return true
        end
    end
    return false
end

if redis.call('HSETNX', meta, 'format', args.format) == 1 then
    redis.call('HSET', meta, 'epoch', args.new_epoch, 'streams', args.streams)
end
if args.lowest then
    redis.call('HSETNX', meta, 'lowest', int(args.lowest))
end
if args.lease then
    local known = redis.call('HGET', meta, 'lease')
    if known ~= int(args.lease) and not (known and is_worked_on()) then
        redis.call('HSET', meta, 'lease', int(args.lease))
    end
end
for number = 0, args.streams - 1 do
    if redis.call('EXISTS', stream(number)) == 0 then
        redis.call('XGROUP', 'CREATE', stream(number), 'lp', '0', 'MKSTREAM')
    end
end
local last = redis.call('XREVRANGE', prefix .. 't', '+', '-', 'COUNT', 1)
local found = redis.call('HMGET', meta, 'format', 'epoch', 'streams', 'lowest', 'lease')
return { found[1], found[2], last[1] and last[1][1] or '0-0', found[3], found[4] or '', found[5] or '' }
