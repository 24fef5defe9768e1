-- Told again to a server that went back, it is of what was queued before `at_ms`: a retry is another wish.
-- ARGV: id reason ttl_s at_ms
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','entry','lane','queued')
if not h[1] then return {'unknown'} end
if TERMINAL[h[1]] or (ARGV[4]~='' and (tonumber(h[4] or 0) or 0)>=tonumber(ARGV[4])) then return {'already',h[1]} end
redis.call('HSET',key,'cancel',ARGV[2])
-- Also of one that waits: who published it publishes it no more.
hint('cancel',id)
if h[1]=='running' then return {'requested'} end
drop(h[3],h[2])
redis.call('HSET',key,'why',ARGV[2])
close(key,id,'cancelled',ARGV[3])
return {'cancelled'}
