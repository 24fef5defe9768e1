-- ARGV: id tok outcome result max_fails backoff_ms ttl_s dead_ttl_s
local id=ARGV[1]
local key=job_key(id)
local h=redis.call('HMGET',key,'state','tok','lane','entry')
if not h[1] then return {'unknown'} end
if h[2]~=ARGV[2] then return {'fenced',h[1]} end
if h[1]~='running' then return {'already',h[1]} end
drop(h[3],h[4])
tried(key,ARGV[3])
local st=ARGV[3]
local again=st=='requeue'
if st=='failed' then again=redis.call('HINCRBY',key,'fails',1)<tonumber(ARGV[5]) end
if again then
  redis.call('HSET',key,'state','waiting','due',now+ARGV[6],'result',ARGV[4],'entry','')
  return {'again'}
end
redis.call('HSET',key,'result',ARGV[4])
close(key,id,st,ARGV[7])
if st=='dead' then dead_letter(id,'refused',ARGV[2]) end
return {'ok'}
