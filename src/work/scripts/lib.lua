-- Shared head of every script. K is the prefix of all keys, G the consumer group.
local K,G='darkmux:','darkmux-runners'
local t=redis.call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local TERMINAL={done=true,failed=true,cancelled=true,dead=true}
local function job_key(id) return K..'job:'..id end
local function checkpoint_key(id) return K..'checkpoint:'..id end
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
local function hint(kind,what) redis.call('XADD',K..'hints','MAXLEN','~','1000','*','kind',kind,'what',what) end
-- Runners find the lane by its registration; `doc` is empty for the one that needs none.
local function register(lane,doc)
  if doc and doc~='' and redis.call('HSETNX',K..'lanes',lane,doc)==1 then hint('lane',lane) end
end
local function enqueue(id,lane,record,doc)
  register(lane,doc)
  ensure(lane)
  return redis.call('XADD',lane,'*','schema','3','record',record,'job',id)
end
local function requeue(key,id,lane,entry)
  drop(lane,entry)
  local h=redis.call('HMGET',key,'record','lanedoc')
  local e=enqueue(id,lane,h[1] or '',h[2])
  redis.call('HSET',key,'state','queued','entry',e,'queued',now,'acked','')
  -- No runner of 1.9 has this entry yet.
  redis.call('HDEL',key,'legacy')
end
-- The job's life is over; what stays of it goes after `ttl` seconds. Further fields are written with it.
local function close(key,id,state,ttl,...)
  redis.call('HSET',key,'state',state,'finished',now,...)
  redis.call('SREM',K..'live',id)
  redis.call('DEL',checkpoint_key(id))
  redis.call('EXPIRE',key,ttl)
  -- Who waits for its output without a log has made one.
  local log=K..'log:'..id
  if redis.call('EXPIRE',log,ttl)==1 then redis.call('XADD',log,'*','end',state) end
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
-- The running attempt was lost; h: state tok hb cancel entry lane. The job runs again after `backoff` ms, at once the
-- first time, or that was its end.
local function lose(key,id,h,max_losses,backoff,ttl)
  local losses=redis.call('HINCRBY',key,'losses',1)
  drop(h[6],h[5])
  tried(key,'lost')
  if h[4] and h[4]~='' then
    redis.call('HSET',key,'tok','none','why','cancelled; its runner was lost')
    close(key,id,'cancelled',ttl)
    return 'cancelled'
  end
  if losses>=max_losses then
    redis.call('HSET',key,'tok','none','why','its runner was lost')
    close(key,id,'dead',ttl)
    dead_letter(id,'lease-lost',h[2])
    return 'dead'
  end
  redis.call('HSET',key,'state','waiting','tok','none','due',now+backoff,'entry','')
  if losses==1 or backoff==0 then requeue(key,id,h[6],'') end
  return 'requeued'
end
