-- Shared head of every script. G is the consumer group.
local G='darkmux-runners'
local t=redis.call('TIME')
-- Unix milliseconds, as text: to write a number down takes Redis longer than a text.
local now=t[1]..string.sub('00000'..t[2],-6,-4)
local function job_key(id) return 'darkmux:job:'..id end
local function checkpoint_key(id) return 'darkmux:checkpoint:'..id end
-- The job that an entry of a lane is of; none where it is not one of ours.
local function job_of(fields)
  for n=#fields-1,1,-2 do if fields[n]=='job' then return fields[n+1] end end
end
-- A group starts at 0, so that what was published before it is delivered too.
local function ensure(lane) redis.pcall('XGROUP','CREATE',lane,G,'0','MKSTREAM') end
-- The lane's entry goes: acknowledged and deleted, so that a group made anew does not deliver it again.
local function drop(lane,entry)
  if lane and entry and entry~='' then redis.pcall('XACK',lane,G,entry); redis.pcall('XDEL',lane,entry) end
end
-- The job's life is over; what stays of it goes after `ttl` seconds. Further fields are written with it.
local function close(key,id,state,ttl,...)
  redis.call('HSET',key,'state',state,'finished',now,...)
  redis.call('SREM','darkmux:live',id)
  redis.call('EXPIRE',key,ttl)
  local log,kept='darkmux:log:'..id,checkpoint_key(id)
  if redis.call('EXISTS',log,kept)>0 then
    redis.call('DEL',kept)
    -- Who waits for its output without a log has made one.
    if redis.call('EXPIRE',log,ttl)==1 then redis.call('XADD',log,'*','end',state) end
  end
end
local function dead_letter(id,why,tok) redis.call('XADD','darkmux:dead','MAXLEN','~','10000','*','job',id,'why',why,'tok',tok) end
-- How the running attempt ended, as field and value: `machine started ended how`.
local function try_of(attempt,machine,started,how)
  return 'try:'..(attempt or '0'),(machine or '?')..' '..(started or '0')..' '..now..' '..how
end
-- Whether Redis went back to before the claim that gave this token: the job waits, and nobody else began it since.
local function forgot(state,attempt,since,tok)
  local a=tonumber(string.match(tok,'^(%d+)')) or 0
  return (state=='queued' or state=='waiting') and (tonumber(attempt or 0) or 0)<a and (tonumber(since or 0) or 0)<a
end
