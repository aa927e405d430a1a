-- Return for each bucket: the sum of the costs that are out, how many costs are out until a run ends, how many workers
-- wait for a release, until when nothing is taken (0: it is open), how many events stand in line until a run ends.
--
-- Arguments: buckets (names).
local out = {}
for number, name in ipairs(args.buckets) do
    refresh(name)
    local found = redis.call('HMGET', bucket(name, 'c'), 'used', 'shut')
    local till = tonumber(found[2] or 0)
    out[number] = { found[1] or '0', redis.call('HLEN', bucket(name, 'h')), redis.call('ZCARD', bucket(name, 'w')),
        till > now and found[2] or '0', redis.call('ZCARD', bucket(name, 'p')) }
end
return out
