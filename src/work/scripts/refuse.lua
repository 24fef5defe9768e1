-- A claimed job that nobody may run (a bad signature, say) ends dead.
-- ARGV: id tok why ttl_s result
local key=job_key(ARGV[1])
local h=redis.call('HMGET',key,'state','tok','lane','entry')
if h[1]~='running' or h[2]~=ARGV[2] then return {'fenced'} end
drop(h[3],h[4])
tried(key,'refused')
redis.call('HSET',key,'result',ARGV[5],'why',ARGV[3])
close(key,ARGV[1],'dead',ARGV[4])
dead_letter(ARGV[1],ARGV[3],ARGV[2])
return {'ok'}
