-- Put what is due into its stream. Return how many microseconds are left until the next one is due, -1 if none is.
--
-- Arguments: limit (events at a time), keep (milliseconds), length (transitions kept at most).
for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'd', '-inf', int(now), 'LIMIT', 0, args.limit)) do
    redis.call('ZREM', prefix .. 'd', id)
    local number = redis.call('HGET', hash(id), 'qs')
    if number then  -- else the event is gone, or another program has written the id
        enqueue(id, number)
    end
end
redis.call('XTRIM', prefix .. 't', 'MINID', '~', int(now / 1000 - args.keep))
redis.call('XTRIM', prefix .. 't', 'MAXLEN', '~', args.length)
local first = redis.call('ZRANGE', prefix .. 'd', 0, 0, 'WITHSCORES')
if not first[1] then
    return -1
end
return math.max(0, tonumber(first[2]) - now)
