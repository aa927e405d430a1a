-- Return for each worker: name, description, whether its lease runs, microseconds since it has renewed its lease (-1:
-- more than an hour), how many entries it holds.
--
-- Arguments: streams (how many).
local holds, out = {}, {}
for number = 0, args.streams - 1 do
    for _, found in ipairs(redis.call('XPENDING', stream(number), 'lp')[4] or {}) do
        holds[found[1]] = (holds[found[1]] or 0) + tonumber(found[2])
    end
end

local function add(name, description, ago)
    local alive = redis.call('EXISTS', prefix .. 'w:' .. name)
    out[#out + 1] = { name, description, alive, ago, holds[name] or 0 }
    holds[name] = nil
end

local seen = redis.call('ZRANGE', prefix .. 'ws', 0, -1, 'WITHSCORES')
for place = 1, #seen, 2 do
    local name, description = string.match(seen[place], '^(%S*) (.*)$')
    add(name, description, math.max(0, now - tonumber(seen[place + 1])))
end
local forgotten = {}
for name in pairs(holds) do
    forgotten[#forgotten + 1] = name
end
for _, name in ipairs(forgotten) do
    add(name, '', -1)
end
return out
