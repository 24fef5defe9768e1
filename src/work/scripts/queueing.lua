-- Further head of the scripts that put a job into a lane, or tell runners of something.
local function hint(kind,what) redis.call('XADD','darkmux:hints','MAXLEN','~','1000','*','kind',kind,'what',what) end
-- Runners find the lane by its registration; `doc` is empty for the one that needs none.
local function register(lane,doc)
  if doc and doc~='' and redis.call('HSETNX','darkmux:lanes',lane,doc)==1 then hint('lane',lane) end
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
    -- Nobody is left to tell it of an end: who published it publishes it no more.
    hint('over',id)
    return 'dead'
  end
  redis.call('HSET',key,'state','waiting','tok','none','due',now+backoff,'entry','')
  if losses==1 or backoff==0 then requeue(key,id,h[6],'') end
  return 'requeued'
end
