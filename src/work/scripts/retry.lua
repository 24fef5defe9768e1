-- An ended job is queued once more, with its attempts counted on; what those up to `since` tell later counts no
-- longer. ARGV: id max
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','lane','record','lanedoc','attempt')
if not h[1] then return {'unknown'} end
if not TERMINAL[h[1]] then return {'live',h[1]} end
if redis.call('SCARD',K..'live')>=tonumber(ARGV[2]) then return {'full'} end
redis.call('PERSIST',key)
redis.call('HDEL',key,'cancel','result','finished','why','legacy')
redis.call('HSET',key,'state','queued','tok','none','losses',0,'fails',0,'queued',now,'entry',enqueue(id,h[2],h[3],h[4]),'since',h[5] or 0)
redis.call('SADD',K..'live',id)
redis.call('DEL',K..'log:'..id)
return {'ok'}
