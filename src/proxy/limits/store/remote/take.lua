-- A bucket as the time at which it is full again. Every amount of tokens is the time in which they
-- come back, in whole seconds and nanoseconds, because a number here has 53 bits: both halves are
-- always exact, and neither is ever printed by tostring, which would round it.
--
-- KEYS[1]   the bucket
-- ARGV      1 2 what the request takes; 3 4 the bucket's size; 5 6 what is due besides, which is
--           charged first and whether it is there or not (both halves negative: given back)
-- returns   {1 if taken, else 0; what the bucket lacks now, in seconds; and nanoseconds}
local clock = redis.call('TIME')
local now_s, now_n = tonumber(clock[1]), tonumber(clock[2]) * 1000
local cost_s, cost_n = tonumber(ARGV[1]), tonumber(ARGV[2])
local size_s, size_n = tonumber(ARGV[3]), tonumber(ARGV[4])
local due_s, due_n = tonumber(ARGV[5]), tonumber(ARGV[6])

local function sum(a_s, a_n, b_s, b_n)
  local s, n = a_s + b_s, a_n + b_n
  if n >= 1000000000 then return s + 1, n - 1000000000 end
  if n < 0 then return s - 1, n + 1000000000 end
  return s, n
end

local function lacks(s, n)
  if s < 0 then return 0, 0 end
  return s, n
end

local debt_s, debt_n = 0, 0
local held = redis.call('GET', KEYS[1])
if held then
  local full_s, full_n = string.match(held, '^(%d+) (%d+)$')
  if full_s then
    debt_s, debt_n = lacks(sum(tonumber(full_s), tonumber(full_n), -now_s, -now_n))
  end
end

local is_due = due_s ~= 0 or due_n ~= 0
if is_due then debt_s, debt_n = lacks(sum(debt_s, debt_n, due_s, due_n)) end

local taken = 1
local after_s, after_n = sum(debt_s, debt_n, cost_s, cost_n)
local costs = cost_s > 0 or cost_n > 0
if costs and (after_s > size_s or (after_s == size_s and after_n > size_n)) then
  taken, after_s, after_n = 0, debt_s, debt_n
end

if is_due or (costs and taken == 1) then
  if after_s == 0 and after_n == 0 then
    redis.call('DEL', KEYS[1])
  else
    local full_s, full_n = sum(now_s, now_n, after_s, after_n)
    local left = after_s * 1000 + math.ceil(after_n / 1000000)
    redis.call('SET', KEYS[1], string.format('%.0f %.0f', full_s, full_n),
      'PX', string.format('%.0f', left))
  end
end
return {taken, after_s, after_n}
