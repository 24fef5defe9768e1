-- Forgets a lane that holds nothing. Whoever puts a job into it registers it again. ARGV: lane
local lane=ARGV[1]
if redis.call('XLEN',lane)>0 then return {'used'} end
redis.call('HDEL','darkmux:lanes',lane)
redis.call('DEL',lane)
return {'swept'}
