-- Says why no machine can run a queued job now, or that one can. ARGV: id why
local key=job_key(ARGV[1])
if redis.call('HGET',key,'state')~='queued' then return {'no'} end
if ARGV[2]=='' then return {redis.call('HDEL',key,'parked')==1 and 'freed' or 'no'} end
local old=redis.call('HGET',key,'parked')
redis.call('HSET',key,'parked',ARGV[2])
return {old and 'no' or 'parked'}
