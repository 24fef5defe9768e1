-- Shared head of every script. K is the prefix of all keys, G the consumer group.
local K,G='darkmux:','darkmux-runners'
local t=redis.call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local TERMINAL={done=true,failed=true,cancelled=true,dead=true}
local function job_key(id) return K..'job:'..id end
local function checkpoint_key(id) return K..'checkpoint:'..id end
-- The job that an entry of a lane is of; none where it is not one of ours.
local function job_of(fields)
  local id
  for n=1,#fields,2 do if fields[n]=='job' then id=fields[n+1] end end
  return id
end
-- A group starts at 0, so that what was published before it is delivered too.
local function ensure(lane) redis.pcall('XGROUP','CREATE',lane,G,'0','MKSTREAM') end
-- A key means this job, unless it means another one since Redis lost it.
local function remember_key(id,idem,ttl)
  if idem~='' then redis.call('SET',K..'idem:'..idem,id,'PX',ttl,'NX') end
end
-- The lane's entry goes: acknowledged and deleted, so that a group made anew does not deliver it again.
local function drop(lane,entry)
  if lane and entry and entry~='' then redis.pcall('XACK',lane,G,entry); redis.pcall('XDEL',lane,entry) end
end
-- The job's life is over; what stays of it goes after `ttl` seconds. Further fields are written with it.
local function close(key,id,state,ttl,...)
  redis.call('HSET',key,'state',state,'finished',now,...)
  redis.call('SREM',K..'live',id)
  redis.call('EXPIRE',key,ttl)
  local log,kept=K..'log:'..id,checkpoint_key(id)
  if redis.call('EXISTS',log,kept)>0 then
    redis.call('DEL',kept)
    -- Who waits for its output without a log has made one.
    if redis.call('EXPIRE',log,ttl)==1 then redis.call('XADD',log,'*','end',state) end
  end
end
local function dead_letter(id,why,tok) redis.call('XADD',K..'dead','MAXLEN','~','10000','*','job',id,'why',why,'tok',tok) end
-- How the running attempt ended, as field and value: `machine started ended how`. `h` is what the hash says of
-- attempt, machine and start.
local function try_of(h,how) return 'try:'..(h[1] or '0'),(h[2] or '?')..' '..(h[3] or '0')..' '..now..' '..how end
local function tried(key,how)
  redis.call('HSET',key,try_of(redis.call('HMGET',key,'attempt','machine','started'),how))
end
-- Whether Redis went back to before the claim that gave this token: the job waits, and nobody else began it since.
local function forgot(state,attempt,since,tok)
  local a=tonumber(string.match(tok,'^(%d+)')) or 0
  return (state=='queued' or state=='waiting') and (tonumber(attempt or 0) or 0)<a and (tonumber(since or 0) or 0)<a
end
