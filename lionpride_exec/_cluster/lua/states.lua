-- Return the last id of the stream of transitions, and for each event: status, attempt, worker, outcome, and the event
-- that did not complete, so that this one was skipped. The status of an event that the queue does not know is "".
--
-- Arguments: ids.
local last = redis.call('XREVRANGE', prefix .. 't', '+', '-', 'COUNT', 1)
local out = {}
for number, id in ipairs(args.ids) do
    local found = redis.call('HMGET', hash(id), 'st', 'at', 'wk', 'wy')
    local outcome = ENDED[found[1]] and redis.call('GET', prefix .. 'o:' .. id)
    out[number] = { found[1] or '', found[2] or 0, found[3] or '', outcome or '', found[4] or '' }
end
return { last[1] and last[1][1] or '0-0', out }
