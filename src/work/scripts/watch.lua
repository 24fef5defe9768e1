-- Somebody waits for a job's output, or for its end, which wakes whoever reads its log: there is one from now on,
-- also when the job says nothing. ARGV: id ttl_s
local log='darkmux:log:'..ARGV[1]
local state=redis.call('HGET',job_key(ARGV[1]),'state')
if not state or TERMINAL[state] or redis.call('EXISTS',log)==1 then return {'no'} end
redis.call('XADD',log,'*','watch','1')
redis.call('EXPIRE',log,ARGV[2])
return {'ok'}
