-- Which observer also looks at what is queued: the first one, until it is silent for the time. ARGV: name ttl_ms
local leader=redis.call('GET',K..'reconciler')
if leader and leader~=ARGV[1] then return {'follows',leader} end
redis.call('SET',K..'reconciler',ARGV[1],'PX',ARGV[2])
return {'leads'}
