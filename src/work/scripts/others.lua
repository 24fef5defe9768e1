-- Further head of the scripts that are not run for each job.
local TERMINAL={done=true,failed=true,cancelled=true,dead=true}
local function tried(key,how)
  local h=redis.call('HMGET',key,'attempt','machine','started')
  redis.call('HSET',key,try_of(h[1],h[2],h[3],how))
end
-- A key means this job, unless it means another one since Redis lost it.
local function remember_key(id,idem,ttl)
  if idem~='' then redis.call('SET','darkmux:idem:'..idem,id,'PX',ttl,'NX') end
end
