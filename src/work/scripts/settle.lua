-- The end of a job that waits in its lane: a runner of darkmux 1.9 took it, or nobody can run it.
-- ARGV: id state result ttl_s why
local key=job_key(ARGV[1])
local h=redis.call('HMGET',key,'state','lane','entry')
if h[1]~='queued' then return {'no',h[1] or ''} end
drop(h[2],h[3])
redis.call('HSET',key,'result',ARGV[3],'tok','none','why',ARGV[5])
close(key,ARGV[1],ARGV[2],ARGV[4])
hint('over',ARGV[1])
if ARGV[2]=='dead' then dead_letter(ARGV[1],ARGV[5],'none') end
return {'ok'}
