-- A claimed job that nobody may run (a bad signature, say) ends dead.
-- ARGV: id tok why ttl_s result
local key=job_key(ARGV[1])
local h=redis.call('HMGET',key,'state','tok','lane','entry','attempt','since')
if not h[1] or forgot(h[1],h[5],h[6],ARGV[2]) then return {'unknown'} end
if h[2]~=ARGV[2] then return {'fenced',h[1]} end
if h[1]~='running' then return {'already',h[1]} end
drop(h[3],h[4])
tried(key,'refused')
redis.call('HSET',key,'result',ARGV[5],'why',ARGV[3])
close(key,ARGV[1],'dead',ARGV[4])
dead_letter(ARGV[1],ARGV[3],ARGV[2])
return {'ok'}
