-- Take in events. Return for each a word and an id:
--   "new", or "again" if its id is known, and its id;
--   "known" and the id of the event that has its key;
--   "missing" and the id in `after` that the queue does not know.
-- Nothing is stored of an event that is "known" or "missing".
--
-- Arguments: events, each {id, level, due, key, retain, envelope, after}. `due` is in microseconds since 1970, 0 for at
-- once; a negative number is microseconds from now on. `retain` is in milliseconds after the end, 0 for ever. `after`
-- is a list of ids.
local replies = {}

local function first_unknown(ids)
    for _, id in ipairs(ids) do
        if redis.call('EXISTS', hash(id)) == 0 then
            return id
        end
    end
    return nil
end

for number, event in ipairs(args.events) do
    local id, level, due, key, retain, envelope, after = unpack(event)
    due = absolute(due)
    local known = key ~= '' and redis.call('GET', prefix .. 'k:' .. key)
    if redis.call('EXISTS', hash(id)) == 1 then
        replies[number] = { 'again', id }
    elseif known then
        replies[number] = { 'known', known }
    elseif first_unknown(after) then
        replies[number] = { 'missing', first_unknown(after) }
    else
        local waits, failed = 0, false
        for _, other in ipairs(after) do
            local status = redis.call('HGET', hash(other), 'st')
            if status == 'pending' or status == 'processing' then
                waits = waits + redis.call('SADD', prefix .. 's:' .. other, id)
            elseif status ~= 'completed' then
                failed = other
            end
        end
        redis.call('HSET', hash(id), 'at', 0, 'lv', level, 'du', int(due), 'rt', int(retain), 'ky', key, 'wa', waits,
            'mi', '', 'qs', level)
        if #after > 0 then
            redis.call('HSET', hash(id), 'af', cmsgpack.pack(after))
        end
        redis.call('SET', prefix .. 'b:' .. id, bytes(envelope))
        if key ~= '' then
            redis.call('SET', prefix .. 'k:' .. key, id)
        end
        move(id, false, 'pending', 0, '', '')
        if failed then
            redis.call('HSET', hash(id), 'wy', failed)
            finish(id, 'skipped', '', '')
        elseif waits == 0 then
            schedule(id, level, due)
        end
        replies[number] = { 'new', id }
    end
end
return replies
