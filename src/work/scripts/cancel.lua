-- ARGV: id reason ttl_s
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','entry','lane')
if not h[1] then return {'unknown'} end
if TERMINAL[h[1]] then return {'already',h[1]} end
redis.call('HSET',key,'cancel',ARGV[2])
-- Also of one that waits: who published it publishes it no more.
hint('cancel',id)
if h[1]=='running' then return {'requested'} end
drop(h[3],h[2])
redis.call('HSET',key,'why',ARGV[2])
close(key,id,'cancelled',ARGV[3])
return {'cancelled'}
