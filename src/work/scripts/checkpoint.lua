-- What the next attempt goes on from, told by the one that runs. ARGV: id tok bytes ttl_s
local h=redis.call('HMGET',job_key(ARGV[1]),'state','tok')
if h[1]~='running' or h[2]~=ARGV[2] then return {'fenced'} end
redis.call('SET',checkpoint_key(ARGV[1]),ARGV[3],'EX',ARGV[4])
return {'ok'}
